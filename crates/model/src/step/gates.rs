//! What gates leave behind on the machine: an owed wake, a hold-down.

use super::draft::Draft;
use crate::admit::gates::owed_until;
use crate::admit::{Asked, Refused};
use crate::cause::{Cause, CauseClass, Want};
use crate::deadline::OWED_WAIT_MAX;
use crate::state::{AfterStop, HoldDown, OwedWake, State};
use crate::units::UnixMs;

/// A gate stopped a wake: it is kept until the gate opens. The first cause is kept; the earliest
/// moment of several counts.
pub(super) fn owe(draft: &mut Draft, cause: &Cause, not_before: UnixMs) -> Result<(), Refused> {
    if draft.state().is_going_away() {
        return Err(draft.refuse(Asked::Start));
    }
    if draft.state().leads_up() {
        return Ok(());
    }
    let not_before = not_before.min(draft.now.plus(OWED_WAIT_MAX));
    draft.machine.owed = Some(match &draft.before.owed {
        Some(owed) if owed.cause != *cause => {
            OwedWake { not_before: owed.not_before.min(not_before), ..owed.clone() }
        }
        Some(owed) => OwedWake { not_before, ..owed.clone() },
        None => OwedWake { cause: cause.clone(), since: draft.now, not_before },
    });
    Ok(())
}

/// Holds it down, or lets go of it. What is up stays up; what would come up by itself does not.
pub(super) fn hold_down(draft: &mut Draft, hold: Option<&HoldDown>) -> Result<(), Refused> {
    if draft.state().is_going_away() {
        return Err(draft.refuse(Asked::Stop));
    }
    draft.machine.hold_down = hold.cloned();
    if let Some(hold) = hold.filter(|hold| hold.is_active(draft.now)) {
        cancel_start_to_come(draft, hold);
    }
    Ok(())
}

/// A wake by rule, alarm, message and the like is owed from now on; others were asked for by
/// somebody who sees that it is held down.
fn still_owed(draft: &mut Draft, cause: &Cause, hold: &HoldDown) {
    if cause.class(Want::Up) == CauseClass::Governed {
        let not_before = owed_until(hold.until, draft.now);
        draft.machine.owed = Some(OwedWake { cause: cause.clone(), since: draft.now, not_before });
    }
}

fn cancel_start_to_come(draft: &mut Draft, hold: &HoldDown) {
    match draft.state() {
        State::Creating { since, launch: true } => {
            draft.machine.state = State::Creating { since: *since, launch: false };
        }
        State::Updating { since, launch: true, run, order } => {
            draft.machine.state =
                State::Updating { since: *since, launch: false, run: run.clone(), order: *order };
        }
        State::Stopping { run, since, deadline, order, then: AfterStop::Start { cause } } => {
            still_owed(draft, cause, hold);
            draft.machine.state = State::Stopping {
                run: run.clone(),
                since: *since,
                deadline: *deadline,
                order: *order,
                then: AfterStop::Stay,
            };
        }
        State::Suspending { run, depth, since, cause, wake: Some(waker) } => {
            still_owed(draft, waker, hold);
            draft.machine.state = State::Suspending {
                run: run.clone(),
                depth: *depth,
                since: *since,
                cause: cause.clone(),
                wake: None,
            };
        }
        State::Backoff { exit, .. } => draft.settle_stopped(Some(exit.clone())),
        State::Creating { launch: false, .. }
        | State::Updating { launch: false, .. }
        | State::Stopping { then: AfterStop::Stay, .. }
        | State::Suspending { wake: None, .. }
        | State::Starting { .. }
        | State::Started { .. }
        | State::Resting { .. }
        | State::Stopped { .. }
        | State::Suspended { .. }
        | State::Failed { .. }
        | State::Destroying { .. }
        | State::Destroyed { .. } => {}
    }
}
