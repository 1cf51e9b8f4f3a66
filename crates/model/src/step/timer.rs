//! Deadlines: what happens when a state has lasted too long.
//!
//! A timer may fire for a state that is over; it is early then, and the timer that is due is armed
//! again.

use super::draft::Draft;
use super::up;
use crate::cause::{Cause, Depth};
use crate::deadline::{OWED_RECHECK, PREPARE_TRIES, WAKE_TRIES, span};
use crate::effect::{Effect, NewsKind, TimerKind};
use crate::event::RunSeed;
use crate::resume::resume;
use crate::state::{Nudges, OwedWake, Preparation, Run, State};

/// Takes note that the timer fired; says whether it is due.
fn is_due(draft: &mut Draft, kind: TimerKind) -> bool {
    draft.timer_fired(kind);
    span(draft.before, kind).is_some_and(|span| !span.is_early(draft.now))
}

pub(super) fn stuck(draft: &mut Draft) {
    if !is_due(draft, TimerKind::Stuck) {
        return;
    }
    let nudges = Nudges { count: draft.before.nudges.count.saturating_add(1), at: draft.now };
    match draft.state() {
        State::Creating { .. } if nudges.count >= PREPARE_TRIES => {
            give_up_preparing(draft, Preparation::Create);
        }
        State::Updating { run: None, .. } if nudges.count >= PREPARE_TRIES => {
            give_up_preparing(draft, Preparation::Update);
        }
        State::Creating { .. }
        | State::Updating { run: None, .. }
        | State::Destroying { run: None, .. } => repeat(draft, nudges),
        State::Starting { run, .. }
        | State::Stopping { run, .. }
        | State::Updating { run: Some(run), .. }
        | State::Destroying { run: Some(run), .. } => kill(draft, run, nudges),
        State::Suspending { run, depth, .. } => give_up_sleep(draft, run, *depth),
        State::Suspended { run, wake: Some(_), .. } if nudges.count >= WAKE_TRIES => {
            kill(draft, run, nudges);
        }
        State::Suspended { wake: Some(_), .. } => repeat(draft, nudges),
        State::Suspended { wake: None, .. }
        | State::Started { .. }
        | State::Resting { .. }
        | State::Stopped { .. }
        | State::Backoff { .. }
        | State::Failed { .. }
        | State::Destroyed { .. } => {}
    }
}

fn give_up_preparing(draft: &mut Draft, preparation: Preparation) {
    draft.machine.unprepared = Some(preparation);
    up::fail(draft, "prepare_stuck", "preparing the image and disk took too long");
}

/// Carries the state's effects out once more.
fn repeat(draft: &mut Draft, nudges: Nudges) {
    draft.machine.nudges = nudges;
    for effect in resume(draft.before) {
        draft.effect(effect);
    }
}

fn kill(draft: &mut Draft, run: &Run, nudges: Nudges) {
    draft.machine.nudges = nudges;
    draft.effect(Effect::Kill { run: run.id.clone() });
}

/// It runs on; whatever of it stands still already is woken.
fn give_up_sleep(draft: &mut Draft, run: &Run, depth: Depth) {
    draft.effect(Effect::Wake { run: run.clone(), depth });
    draft.go(State::Started { run: run.clone() });
    draft.tell_with(NewsKind::Suspend, None, Some("going to sleep took too long; it runs on"));
}

pub(super) fn backoff(draft: &mut Draft, seed: &RunSeed) {
    if !is_due(draft, TimerKind::Backoff) {
        return;
    }
    draft.launch(seed, &Cause::RestartPolicy);
}

pub(super) fn rest(draft: &mut Draft) {
    if !is_due(draft, TimerKind::Rest) {
        return;
    }
    if let State::Resting { run, rest, .. } = draft.state() {
        draft.rest(run, rest);
    }
}

pub(super) fn owed(draft: &mut Draft) {
    if !is_due(draft, TimerKind::Owed) {
        return;
    }
    if let Some(owed) = &draft.before.owed {
        draft.effect(Effect::WakeOwed { cause: owed.cause.clone() });
        let not_before = draft.now.plus(OWED_RECHECK);
        draft.machine.owed = Some(OwedWake { not_before, ..owed.clone() });
    }
}
