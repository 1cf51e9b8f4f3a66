//! What must be undone, however the run ends.
//!
//! Whoever starts a process or makes something in the kernel leaves an action here. It is carried
//! out when its [`Guard`] is dropped (the usual end, an error or a panic), or, newest first, when a
//! signal ends the run. One lock covers both, so nothing is undone twice and the process does not
//! end half-way. A second lock keeps steps whole that would otherwise go on while they are undone.

use crate::{sys, words};
use anyhow::Context as _;
use std::io::Read as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a shell shows for a program ended by signal n is 128 + n.
const EXIT_SIGNAL_BASE: i32 = 128;

type Action = Box<dyn FnOnce() + Send>;

static ACTIONS: Mutex<Actions> = Mutex::new(Actions { next_id: 0, waiting: Vec::new() });

/// Held during a step that must not be cut in two. Taken before [`ACTIONS`], never after.
static STEP: Mutex<()> = Mutex::new(());

struct Actions {
    next_id: u64,
    waiting: Vec<(u64, Action)>,
}

/// Carries out its action when dropped.
#[derive(Debug)]
#[must_use = "dropping it undoes what it guards"]
pub(crate) struct Guard(u64);

/// Does `step` whole: a signal waits for its end before anything is undone. `step` may register
/// actions.
pub(crate) fn uninterrupted<T>(step: impl FnOnce() -> T) -> T {
    let _held = STEP.lock().unwrap_or_else(PoisonError::into_inner);
    step()
}

/// Registers `action`. It must not register or drop others: the lock is held while it runs.
pub(crate) fn at_end(action: impl FnOnce() + Send + 'static) -> Guard {
    let mut actions = lock();
    let id = actions.next_id;
    actions.next_id += 1;
    actions.waiting.push((id, Box::new(action)));
    Guard(id)
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut actions = lock();
        if let Some(place) = actions.waiting.iter().position(|(id, _)| *id == self.0) {
            let (_, action) = actions.waiting.remove(place);
            action();
        }
    }
}

/// Makes SIGINT, SIGTERM and SIGHUP end the run tidily.
pub(crate) fn listen_for_signals() -> anyhow::Result<()> {
    let mut signals = sys::ending_signals().context("cannot listen for signals")?;
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            let mut number = [0];
            if signals.read_exact(&mut number).is_ok() {
                words::tell("stopped by a signal; cleaning up");
                end_everything(EXIT_SIGNAL_BASE + i32::from(number[0]));
            }
        })
        .context("cannot start the thread that waits for signals")?;
    Ok(())
}

/// Returns at once, unless a signal is ending the run: then never, because the process ends.
pub(crate) fn wait_if_ending() {
    drop(lock());
}

#[expect(clippy::exit, reason = "other threads may be blocked in a read; this is the one way out")]
fn end_everything(code: i32) -> ! {
    let _no_step_begins = STEP.lock().unwrap_or_else(PoisonError::into_inner);
    let mut actions = lock();
    while let Some((_, action)) = actions.waiting.pop() {
        action();
    }
    // The locks are never given back: other threads wait at them until the process ends.
    std::process::exit(code)
}

fn lock() -> MutexGuard<'static, Actions> {
    ACTIONS.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::at_end;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn an_action_runs_once_also_in_a_panic() {
        let runs = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&runs);
        let panicked = std::panic::catch_unwind(move || {
            let _guard = at_end(move || {
                count.fetch_add(1, Ordering::SeqCst);
            });
            panic!("on purpose");
        });
        assert!(panicked.is_err());
        assert_eq!(runs.load(Ordering::SeqCst), 1);
    }
}
