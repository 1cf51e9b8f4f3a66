//! Starts, and what the end of a plan leads to.

use super::draft::Draft;
use crate::admit::{Asked, Refused};
use crate::cause::{Cause, Depth};
use crate::effect::{Effect, NewsKind};
use crate::event::RunSeed;
use crate::state::{AfterStop, Preparation, Run, State, Waking};
use crate::units::UnixMs;

/// Somebody wants it up, and no gate objects.
pub(super) fn want(draft: &mut Draft, cause: &Cause, seed: &RunSeed) -> Result<(), Refused> {
    match draft.state() {
        State::Stopped { .. } | State::Failed { .. } | State::Backoff { .. } => {
            draft.launch(seed, cause);
        }
        State::Creating { since, launch: false } => {
            draft.machine.state = State::Creating { since: *since, launch: true };
        }
        State::Updating { since, launch: false, run, order } => {
            draft.machine.state =
                State::Updating { since: *since, launch: true, run: run.clone(), order: *order };
        }
        State::Starting { run, cause, then } => {
            start_again(draft, run, cause, then.is_some(), seed)
        }
        State::Resting { run, .. } => draft.go(State::Started { run: run.clone() }),
        State::Stopping { run, since, deadline, order, then: AfterStop::Stay } => {
            let then = after_stop(cause);
            draft.machine.state = State::Stopping {
                run: run.clone(),
                since: *since,
                deadline: *deadline,
                order: *order,
                then,
            };
        }
        State::Suspending { run, depth, since, cause: slept_for, wake: None } => {
            // Writing RAM takes long, and is given up as long as nothing is lost.
            if *depth == Depth::Suspend {
                draft.effect(Effect::Wake { run: run.clone(), depth: *depth });
            }
            draft.machine.state = State::Suspending {
                run: run.clone(),
                depth: *depth,
                since: *since,
                cause: slept_for.clone(),
                wake: Some(cause.clone()),
            };
        }
        State::Suspended { depth: Depth::Suspend | Depth::Stop, wake: None, .. } => {
            move_to_slot(draft, seed);
            wake(draft, cause);
        }
        State::Suspended { depth: Depth::Freeze, wake: None, .. } => wake(draft, cause),
        State::Started { .. }
        | State::Creating { launch: true, .. }
        | State::Updating { launch: true, .. }
        | State::Stopping { then: AfterStop::Start { .. }, .. }
        | State::Suspending { wake: Some(_), .. }
        | State::Suspended { wake: Some(_), .. } => {}
        State::Destroying { .. } | State::Destroyed { .. } => {
            return Err(draft.refuse(Asked::Start));
        }
    }
    Ok(())
}

/// A start while one is under way: only takes back a rest that was to follow.
fn start_again(draft: &mut Draft, run: &Run, cause: &Cause, rest_follows: bool, seed: &RunSeed) {
    if cfg!(feature = "planted-double-start") {
        draft.launch(seed, cause);
    } else if rest_follows {
        draft.machine.state =
            State::Starting { run: run.clone(), cause: cause.clone(), then: None };
    }
}

/// What follows a stop during which somebody wanted it up.
fn after_stop(cause: &Cause) -> AfterStop {
    if cfg!(feature = "planted-lost-wake") {
        return AfterStop::Stay;
    }
    AfterStop::Start { cause: cause.clone() }
}

/// What sleeps on disk has given its place back, and comes up at another.
fn move_to_slot(draft: &mut Draft, seed: &RunSeed) {
    if let State::Suspended { run, .. } = &mut draft.machine.state {
        run.slot = seed.slot;
    }
}

/// Thaws or resumes what has come to sleep; the state stays `Suspended` until the processes run.
pub(super) fn wake(draft: &mut Draft, waker: &Cause) {
    let State::Suspended { run, depth, since, ram_bytes, cause, .. } = draft.machine.state.clone()
    else {
        return;
    };
    draft.effect(Effect::Wake { run: run.clone(), depth });
    let waking = Waking { cause: waker.clone(), since: draft.now };
    draft.go(State::Suspended { run, depth, since, ram_bytes, cause, wake: Some(waking) });
    draft.tell(NewsKind::Start, Some(waker));
}

/// The program runs.
pub(super) fn run_started(draft: &mut Draft, at: UnixMs) {
    match draft.state() {
        State::Starting { run, then, .. } => {
            let run = Run { started_at: Some(at), ..run.clone() };
            draft.go(State::Started { run: run.clone() });
            draft.tell(NewsKind::Start, None);
            if let Some(rest) = then {
                draft.rest(&run, rest);
            }
        }
        State::Creating { .. }
        | State::Started { .. }
        | State::Resting { .. }
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

/// The create or update plan is done.
pub(super) fn prepared(draft: &mut Draft, seed: &RunSeed) -> Result<(), Refused> {
    draft.machine.unprepared = None;
    match draft.state() {
        State::Creating { launch: true, .. } | State::Updating { launch: true, run: None, .. } => {
            draft.launch(seed, &Cause::Plan);
        }
        State::Creating { launch: false, .. } => draft.settle_stopped(None),
        State::Updating { launch: false, run: None, .. } => {
            draft.settle_stopped(None);
            draft.tell(NewsKind::Update, None);
        }
        State::Updating { run: Some(_), .. }
        | State::Starting { .. }
        | State::Started { .. }
        | State::Resting { .. }
        | State::Stopping { .. }
        | State::Stopped { .. }
        | State::Suspending { .. }
        | State::Suspended { .. }
        | State::Backoff { .. }
        | State::Failed { .. }
        | State::Destroying { .. }
        | State::Destroyed { .. } => return Err(draft.refuse(Asked::Report)),
    }
    Ok(())
}

/// The create or update plan cannot be done.
pub(super) fn prepare_failed(draft: &mut Draft, code: &str, message: &str) -> Result<(), Refused> {
    draft.machine.unprepared = Some(match draft.state() {
        State::Creating { .. } => Preparation::Create,
        State::Updating { run: None, .. } => Preparation::Update,
        State::Updating { run: Some(_), .. }
        | State::Starting { .. }
        | State::Started { .. }
        | State::Resting { .. }
        | State::Stopping { .. }
        | State::Stopped { .. }
        | State::Suspending { .. }
        | State::Suspended { .. }
        | State::Backoff { .. }
        | State::Failed { .. }
        | State::Destroying { .. }
        | State::Destroyed { .. } => return Err(draft.refuse(Asked::Report)),
    });
    fail(draft, code, message);
    Ok(())
}

/// It cannot be brought up until somebody does something about it.
pub(super) fn fail(draft: &mut Draft, code: &str, message: &str) {
    let (code, text) = (code.to_owned(), message.to_owned());
    draft.go(State::Failed { since: draft.now, code, message: text });
    draft.tell_with(NewsKind::Failure, None, Some(message));
}
