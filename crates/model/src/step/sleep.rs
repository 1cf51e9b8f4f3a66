//! What the engine says about freeze, suspend, thaw and resume.

use super::draft::Draft;
use super::up;
use crate::cause::Depth;
use crate::effect::{Effect, NewsKind};
use crate::state::{Run, State};

/// All processes stand still, or the RAM is on disk.
pub(super) fn slept(draft: &mut Draft, depth: Depth, ram_bytes: u64) {
    match draft.state() {
        State::Suspending { run, cause, wake, .. } => {
            // What sleeps on disk gives its place to others, unless it comes back at once.
            let keeps_slot = depth == Depth::Freeze || wake.is_some();
            let slot = run.slot.filter(|_| keeps_slot);
            draft.go(State::Suspended {
                run: Run { slot, ..run.clone() },
                depth,
                since: draft.now,
                ram_bytes,
                cause: cause.clone(),
                wake: None,
            });
            draft.tell(NewsKind::Suspend, None);
            if let Some(waker) = wake {
                up::wake(draft, waker);
            }
        }
        // The sleep was given up, and came about nevertheless: it belongs awake.
        State::Started { run } | State::Resting { run, .. } => {
            draft.effect(Effect::Wake { run: run.clone(), depth });
        }
        State::Creating { .. }
        | State::Starting { .. }
        | State::Stopping { .. }
        | State::Stopped { .. }
        | State::Suspended { .. }
        | State::Backoff { .. }
        | State::Updating { .. }
        | State::Failed { .. }
        | State::Destroying { .. }
        | State::Destroyed { .. } => {}
    }
}

/// It could not be frozen or suspended; it runs on.
pub(super) fn sleep_failed(draft: &mut Draft, message: &str) {
    match draft.state() {
        State::Suspending { run, .. } => {
            draft.go(State::Started { run: run.clone() });
            draft.tell_with(NewsKind::Suspend, None, Some(message));
        }
        State::Creating { .. }
        | State::Starting { .. }
        | State::Started { .. }
        | State::Resting { .. }
        | State::Stopping { .. }
        | State::Stopped { .. }
        | State::Suspended { .. }
        | State::Backoff { .. }
        | State::Updating { .. }
        | State::Failed { .. }
        | State::Destroying { .. }
        | State::Destroyed { .. } => {}
    }
}

/// All processes run again.
pub(super) fn woke(draft: &mut Draft) {
    match draft.state() {
        State::Suspended { run, .. } => {
            draft.go(State::Started { run: run.clone() });
            draft.tell(NewsKind::Resume, None);
        }
        State::Creating { .. }
        | State::Starting { .. }
        | State::Started { .. }
        | State::Resting { .. }
        | State::Stopping { .. }
        | State::Stopped { .. }
        | State::Suspending { .. }
        | State::Backoff { .. }
        | State::Updating { .. }
        | State::Failed { .. }
        | State::Destroying { .. }
        | State::Destroyed { .. } => {}
    }
}
