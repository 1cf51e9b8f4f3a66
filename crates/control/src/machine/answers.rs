//! Those who wait for the machine to be up, and what they are told.

use super::Reply;
use super::task::Task;
use crate::error::ControlError;
use crate::facade::Wanted;
use model::State;
use store::StoreError;

/// Somebody who waits for the machine to be up.
pub(super) struct Waiting {
    pub(super) previous_state: String,
    pub(super) reply: Reply<Wanted>,
}

impl Task {
    /// Tells those who wait for the machine what the store says: nobody knows how long it will.
    pub(super) fn refuse_waiting(&mut self, error: &StoreError) {
        for waiting in self.waiting_up.drain(..) {
            answer_to(waiting.reply, Err(ControlError::Store(error.clone())));
        }
    }

    /// Answers those who wait for the machine to be up, once that is decided.
    pub(super) fn answer_waiting(&mut self) {
        if self.waiting_up.is_empty() {
            return;
        }
        let outcome: Result<(), ()> = match self.state() {
            State::Started { .. } | State::Resting { .. } => Ok(()),
            State::Stopped { .. }
            | State::Failed { .. }
            | State::Backoff { .. }
            | State::Destroying { .. }
            | State::Destroyed { .. } => Err(()),
            State::Creating { .. }
            | State::Starting { .. }
            | State::Stopping { .. }
            | State::Suspending { .. }
            | State::Suspended { .. }
            | State::Updating { .. } => return,
        };
        let state = self.state().api_name();
        for waiting in self.waiting_up.drain(..) {
            let answer = match (&outcome, &self.last_failure) {
                (Ok(()), _) => Ok(Wanted {
                    previous_state: waiting.previous_state,
                    state: state.to_owned(),
                    timings: self.timings.all(),
                }),
                (Err(()), Some((code, message))) => {
                    Err(ControlError::StartFailed { code: code.clone(), message: message.clone() })
                }
                (Err(()), None) => Ok(Wanted {
                    previous_state: waiting.previous_state,
                    state: state.to_owned(),
                    timings: self.timings.all(),
                }),
            };
            answer_to(waiting.reply, answer);
        }
    }
}

/// Answers; whoever asked may have left, which is no news.
pub(super) fn answer_to<T>(reply: Reply<T>, answer: Result<T, ControlError>) {
    drop(reply.send(answer));
}
