//! Restart, update, destroy.

use super::{down, draft::Draft};
use crate::admit::{Asked, Refused};
use crate::cause::{Cause, Depth};
use crate::effect::{Effect, NewsKind};
use crate::event::{RunSeed, StopOrder};
use crate::state::{AfterStop, Run, State};

/// Stops and starts the same version.
pub(super) fn restart(
    draft: &mut Draft,
    cause: &Cause,
    seed: &RunSeed,
    order: StopOrder,
) -> Result<(), Refused> {
    match draft.state() {
        State::Started { run }
        | State::Resting { run, .. }
        | State::Suspended { run, depth: Depth::Freeze, wake: None, .. } => {
            draft.stop(run, order, AfterStop::Start { cause: cause.clone() });
            draft.tell(NewsKind::Restart, Some(cause));
        }
        State::Suspended { run, depth: Depth::Suspend | Depth::Stop, wake: None, .. } => {
            down::drop_ram(draft, run);
            draft.launch(seed, cause);
        }
        State::Stopped { .. } | State::Failed { .. } | State::Backoff { .. } => {
            draft.launch(seed, cause);
        }
        State::Suspended { wake: Some(_), .. }
        | State::Creating { .. }
        | State::Starting { .. }
        | State::Stopping { .. }
        | State::Suspending { .. }
        | State::Updating { .. }
        | State::Destroying { .. }
        | State::Destroyed { .. } => return Err(draft.refuse(Asked::Restart)),
    }
    Ok(())
}

/// Puts a new version in place, after the run of the old one has ended.
pub(super) fn update(draft: &mut Draft, launch: bool, order: StopOrder) -> Result<(), Refused> {
    match draft.state() {
        State::Creating { launch: launching, .. } => {
            let launch = *launching || launch;
            draft.effect(Effect::Prepare);
            draft.go(State::Creating { since: draft.now, launch });
        }
        State::Starting { run, then, .. } => {
            let was_up = then.as_ref().is_none_or(|rest| rest.depth != Depth::Stop);
            replace_run(draft, run, None, was_up || launch);
        }
        State::Started { run } | State::Resting { run, .. } => {
            replace_run(draft, run, Some(order), true);
        }
        State::Stopping { run, then, .. } => {
            let was_up = *then != AfterStop::Stay;
            replace_run(draft, run, Some(order), was_up || launch);
        }
        State::Suspending { run, wake, .. } => {
            replace_run(draft, run, Some(order), wake.is_some() || launch);
        }
        State::Suspended { run, depth: Depth::Freeze, wake, .. }
        | State::Suspended { run, wake: wake @ Some(_), .. } => {
            replace_run(draft, run, Some(order), wake.is_some() || launch);
        }
        State::Suspended { run, depth: Depth::Suspend | Depth::Stop, wake: None, .. } => {
            down::drop_ram(draft, run);
            prepare(draft, launch);
        }
        State::Stopped { .. } | State::Failed { .. } => prepare(draft, launch),
        State::Backoff { .. } => prepare(draft, true),
        State::Updating { .. } | State::Destroying { .. } | State::Destroyed { .. } => {
            return Err(draft.refuse(Asked::Update));
        }
    }
    draft.tell_user(NewsKind::Update);
    Ok(())
}

fn prepare(draft: &mut Draft, launch: bool) {
    draft.effect(Effect::Prepare);
    draft.go(State::Updating { since: draft.now, launch, run: None, order: None });
}

/// Ends the run first; `None` kills it, because its program does not run yet.
fn replace_run(draft: &mut Draft, run: &Run, order: Option<StopOrder>, launch: bool) {
    let id = run.id.clone();
    draft.effect(match order {
        Some(order) => Effect::Stop { run: id, order },
        None => Effect::Kill { run: id },
    });
    draft.go(State::Updating { since: draft.now, launch, run: Some(run.clone()), order });
}

/// Removes it. Works in every state when forced; else only when it is down.
pub(super) fn destroy(draft: &mut Draft, force: bool) -> Result<(), Refused> {
    match draft.state() {
        State::Creating { .. } | State::Stopped { .. } | State::Failed { .. } => remove(draft),
        State::Suspended { run, depth: Depth::Suspend | Depth::Stop, wake: None, .. } => {
            draft.effect(Effect::Release(run.clone()));
            remove(draft);
        }
        State::Suspended { run, depth: Depth::Freeze, wake: None, .. } => kill(draft, run),
        State::Backoff { .. } | State::Updating { run: None, .. } if force => remove(draft),
        State::Starting { run, .. }
        | State::Started { run }
        | State::Resting { run, .. }
        | State::Stopping { run, .. }
        | State::Suspending { run, .. }
        | State::Suspended { run, wake: Some(_), .. }
        | State::Updating { run: Some(run), .. }
            if force =>
        {
            kill(draft, run);
        }
        State::Destroying { .. } => return Ok(()),
        State::Starting { .. }
        | State::Started { .. }
        | State::Resting { .. }
        | State::Stopping { .. }
        | State::Suspending { .. }
        | State::Suspended { wake: Some(_), .. }
        | State::Backoff { .. }
        | State::Updating { .. }
        | State::Destroyed { .. } => return Err(draft.refuse(Asked::Destroy)),
    }
    draft.tell_user(NewsKind::Destroy);
    Ok(())
}

fn remove(draft: &mut Draft) {
    draft.effect(Effect::Remove);
    draft.go(State::Destroying { since: draft.now, run: None });
}

fn kill(draft: &mut Draft, run: &Run) {
    draft.effect(Effect::Kill { run: run.id.clone() });
    draft.go(State::Destroying { since: draft.now, run: Some(run.clone()) });
}

/// The destroy plan is done.
pub(super) fn removed(draft: &mut Draft) -> Result<(), Refused> {
    match draft.state() {
        State::Destroying { run: None, .. } => {
            draft.go(State::Destroyed { since: draft.now });
            draft.tell(NewsKind::Destroy, None);
        }
        State::Destroyed { .. } => {}
        State::Destroying { run: Some(_), .. }
        | State::Creating { .. }
        | State::Starting { .. }
        | State::Started { .. }
        | State::Resting { .. }
        | State::Stopping { .. }
        | State::Stopped { .. }
        | State::Suspending { .. }
        | State::Suspended { .. }
        | State::Backoff { .. }
        | State::Updating { .. }
        | State::Failed { .. } => return Err(draft.refuse(Asked::Report)),
    }
    Ok(())
}
