//! One queued change, with the place its answer goes to.

use crate::error::StoreError;
use crate::row::Tx;
use std::panic::{AssertUnwindSafe, catch_unwind};
use tokio::sync::oneshot;

/// A change of any result type, as the writer sees it.
pub(super) trait Change: Send {
    /// Says in errors and logs whose change it is.
    fn name(&self) -> &'static str;

    /// Runs it, once. What it wrote may stay only if it answers `Ok`.
    fn run(&mut self, tx: &Tx<'_>) -> Result<(), StoreError>;

    /// Puts this failure in the place of a success, or of a run that never came.
    fn undo(&mut self, why: StoreError);

    /// Tells the caller, last of all.
    fn answer(self: Box<Self>);
}

/// A change whose caller waits.
pub(super) struct Pending<T, F> {
    name: &'static str,
    change: Option<F>,
    outcome: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Pending<T, F> {
    pub(super) fn new(
        name: &'static str,
        change: F,
    ) -> (Self, oneshot::Receiver<Result<T, StoreError>>) {
        let (reply, answer) = oneshot::channel();
        (Self { name, change: Some(change), outcome: None, reply }, answer)
    }
}

impl<T, F> Change for Pending<T, F>
where
    T: Send,
    F: FnOnce(&Tx<'_>) -> Result<T, StoreError> + Send,
{
    fn name(&self) -> &'static str {
        self.name
    }

    fn run(&mut self, tx: &Tx<'_>) -> Result<(), StoreError> {
        let change = self.change.take().expect("the writer runs each change once");
        // What a panicking change leaves half-written is in its savepoint, which is rolled back;
        // whatever else it captured is dropped with it.
        let outcome = catch_unwind(AssertUnwindSafe(|| change(tx)))
            .unwrap_or(Err(StoreError::Panicked { change: self.name }));
        let verdict = outcome.as_ref().map(|_| ()).map_err(Clone::clone);
        self.outcome = Some(outcome);
        verdict
    }

    fn undo(&mut self, why: StoreError) {
        if !matches!(self.outcome, Some(Err(_))) {
            self.outcome = Some(Err(why));
        }
    }

    fn answer(self: Box<Self>) {
        // A caller that has gone away does not need its answer.
        let outcome = self.outcome.expect("a change has run or was undone before its answer");
        drop(self.reply.send(outcome));
    }
}
