//! Stops, rests and rest notices.

use super::draft::Draft;
use crate::admit::{Asked, Refused};
use crate::cause::{Cause, CauseClass, Depth, Want};
use crate::deadline::REST_NOTICE;
use crate::effect::{Effect, NewsKind};
use crate::event::{Exit, StopOrder};
use crate::state::{AfterStop, Rest, Run, State};

/// Vetoes in a row after which a rest is no longer put off. Source: design, section 7.
pub(super) const VETOES_MAX: u8 = 3;

/// Somebody wants it down, and no gate objects.
pub(super) fn want(
    draft: &mut Draft,
    depth: Depth,
    cause: &Cause,
    order: StopOrder,
) -> Result<(), Refused> {
    mute(draft, depth, cause);
    match depth {
        Depth::Stop => want_stopped(draft, cause, order),
        Depth::Freeze | Depth::Suspend => {
            want_asleep(draft, &Rest { depth, cause: cause.clone(), order })
        }
    }
}

/// A stop by a person mutes the wake that is owed: it was wanted before, and they know better now.
fn mute(draft: &mut Draft, depth: Depth, cause: &Cause) {
    if cause.class(Want::Down(depth)) == CauseClass::ApiRest {
        draft.machine.owed = None;
    }
}

fn want_stopped(draft: &mut Draft, cause: &Cause, order: StopOrder) -> Result<(), Refused> {
    let rest = Rest { depth: Depth::Stop, cause: cause.clone(), order };
    match draft.state() {
        State::Creating { since, launch: true } => {
            draft.machine.state = State::Creating { since: *since, launch: false };
            draft.tell(NewsKind::Stop, Some(cause));
        }
        State::Updating { since, launch: true, run, order } => {
            draft.machine.state =
                State::Updating { since: *since, launch: false, run: run.clone(), order: *order };
            draft.tell(NewsKind::Stop, Some(cause));
        }
        State::Starting { run, cause: started_by, then } => {
            if then.as_ref().is_none_or(|then| then.depth != Depth::Stop) {
                draft.machine.state = State::Starting {
                    run: run.clone(),
                    cause: started_by.clone(),
                    then: Some(rest),
                };
                draft.tell(NewsKind::Stop, Some(cause));
            }
        }
        State::Started { run } | State::Resting { run, .. } | State::Suspending { run, .. } => {
            draft.rest(run, &rest);
        }
        State::Suspended { run, depth: Depth::Freeze, .. }
        | State::Suspended { run, wake: Some(_), .. } => draft.rest(run, &rest),
        State::Suspended { run, depth: Depth::Suspend | Depth::Stop, wake: None, .. } => {
            drop_ram(draft, run);
            draft.tell(NewsKind::Stop, Some(cause));
        }
        State::Stopping { run, .. } => stop_again(draft, run, cause, order),
        State::Failed { .. } => {
            draft.settle_stopped(None);
            draft.tell(NewsKind::Stop, Some(cause));
        }
        State::Backoff { exit, .. } => {
            draft.settle_stopped(Some(exit.clone()));
            draft.tell(NewsKind::Stop, Some(cause));
        }
        State::Stopped { .. }
        | State::Creating { launch: false, .. }
        | State::Updating { launch: false, .. }
        | State::Destroying { .. } => {}
        State::Destroyed { .. } => return Err(draft.refuse(Asked::Stop)),
    }
    Ok(())
}

/// A second stop takes back a start that was to follow, and hurries the first if it asks for less
/// patience.
fn stop_again(draft: &mut Draft, run: &Run, cause: &Cause, order: StopOrder) {
    let State::Stopping { since, deadline, order: first, then, .. } = draft.state() else {
        return;
    };
    if draft.now.plus(order.timeout) < *deadline {
        draft.stop(run, order, AfterStop::Stay);
        draft.tell(NewsKind::Stop, Some(cause));
    } else if *then != AfterStop::Stay {
        draft.machine.state = State::Stopping {
            run: run.clone(),
            since: *since,
            deadline: *deadline,
            order: *first,
            then: AfterStop::Stay,
        };
        draft.tell(NewsKind::Stop, Some(cause));
    }
}

/// Drops RAM that lies on disk; nothing of the run is alive.
pub(super) fn drop_ram(draft: &mut Draft, run: &Run) {
    draft.effect(Effect::Release(run.clone()));
    let exit = Exit { requested_stop: true, ..Exit::unseen(run.started_at, draft.now) };
    draft.settle_stopped(Some(exit));
}

fn want_asleep(draft: &mut Draft, rest: &Rest) -> Result<(), Refused> {
    match draft.state() {
        State::Starting { run, cause, then: None } => {
            draft.machine.state = State::Starting {
                run: run.clone(),
                cause: cause.clone(),
                then: Some(rest.clone()),
            };
        }
        State::Started { run } | State::Resting { run, .. } => draft.rest(run, rest),
        State::Suspending { run, depth, since, wake: Some(_), .. } => {
            draft.machine.state = State::Suspending {
                run: run.clone(),
                depth: *depth,
                since: *since,
                cause: Some(rest.cause.clone()),
                wake: None,
            };
            draft.tell(NewsKind::Suspend, Some(&rest.cause));
        }
        State::Suspended { run, depth, wake: None, .. } if *depth < rest.depth => {
            draft.rest(run, rest);
        }
        State::Suspending { wake: None, .. } | State::Suspended { wake: None, .. } => {
            sleep_on(draft, &rest.cause);
        }
        State::Starting { then: Some(_), .. } => {}
        State::Suspended { wake: Some(_), .. }
        | State::Creating { .. }
        | State::Stopping { .. }
        | State::Stopped { .. }
        | State::Backoff { .. }
        | State::Updating { .. }
        | State::Failed { .. }
        | State::Destroying { .. }
        | State::Destroyed { .. } => return Err(draft.refuse(Asked::Suspend)),
    }
    Ok(())
}

/// What sleeps for want of room alone is wanted asleep: room does not wake it any more.
fn sleep_on(draft: &mut Draft, why: &Cause) {
    if !draft.state().is_pressed() || matches!(why, Cause::DiskPressure { .. }) {
        return;
    }
    if let State::Suspending { cause, .. } | State::Suspended { cause, .. } =
        &mut draft.machine.state
    {
        *cause = Some(why.clone());
    }
    draft.tell(NewsKind::Suspend, Some(why));
}

/// Tells the guest of a decided rest and gives it time to object.
pub(super) fn notice(draft: &mut Draft, rest: &Rest, vetoes: u8) -> Result<(), Refused> {
    match draft.state() {
        State::Started { run } => {
            let deadline = draft.now.plus(REST_NOTICE);
            draft.effect(Effect::NotifyRest { run: run.id.clone(), deadline });
            let (run, rest) = (run.clone(), rest.clone());
            draft.go(State::Resting { run, rest, deadline, vetoes });
        }
        State::Resting { .. } => {}
        State::Creating { .. }
        | State::Starting { .. }
        | State::Stopping { .. }
        | State::Stopped { .. }
        | State::Suspending { .. }
        | State::Suspended { .. }
        | State::Backoff { .. }
        | State::Updating { .. }
        | State::Failed { .. }
        | State::Destroying { .. }
        | State::Destroyed { .. } => return Err(draft.refuse(Asked::Suspend)),
    }
    Ok(())
}

/// The guest objects. It is heard [`VETOES_MAX`] times in a row.
pub(super) fn vetoed(draft: &mut Draft) {
    match draft.state() {
        State::Resting { run, vetoes, .. } if *vetoes < VETOES_MAX => {
            draft.go(State::Started { run: run.clone() });
        }
        State::Resting { .. }
        | State::Creating { .. }
        | State::Starting { .. }
        | State::Started { .. }
        | State::Stopping { .. }
        | State::Stopped { .. }
        | State::Suspending { .. }
        | State::Suspended { .. }
        | State::Backoff { .. }
        | State::Updating { .. }
        | State::Failed { .. }
        | State::Destroying { .. }
        | State::Destroyed { .. } => {}
    }
}
