//! The end of a run: seen by the shim, before the program ran, or found out after a reboot.

use super::draft::Draft;
use super::up;
use crate::cause::{Cause, Depth};
use crate::effect::{Effect, NewsKind};
use crate::event::{Exit, RunSeed};
use crate::spec::{RestartMode, RestartPolicy};
use crate::state::{AfterStop, Rest, Run, State, Waking};
use crate::units::UnixMs;

/// Why a run could not be brought up.
pub(super) struct FailedStart<'a> {
    pub(super) code: &'a str,
    pub(super) message: &'a str,
    pub(super) is_transient: bool,
}

/// What the state had in mind for the time after its run.
enum Plan<'a> {
    /// It was up, or asleep with its RAM, and nobody wanted the run to end.
    Unplanned,
    /// It was to be stopped.
    Down,
    /// It was to be started again.
    Up(&'a Cause),
    /// The update goes on.
    Update,
    /// The destroy goes on.
    Destroy,
    /// There was no run.
    NoRun,
}

fn plan(state: &State) -> Plan<'_> {
    match state {
        State::Starting { then: Some(Rest { depth: Depth::Stop, .. }), .. }
        | State::Resting { rest: Rest { depth: Depth::Stop, .. }, .. }
        | State::Stopping { then: AfterStop::Stay, .. } => Plan::Down,
        State::Stopping { then: AfterStop::Start { cause }, .. }
        | State::Suspending { wake: Some(cause), .. }
        | State::Suspended { wake: Some(Waking { cause, .. }), .. } => Plan::Up(cause),
        State::Starting { .. }
        | State::Started { .. }
        | State::Resting { .. }
        | State::Suspending { wake: None, .. }
        | State::Suspended { wake: None, .. } => Plan::Unplanned,
        State::Updating { run: Some(_), .. } => Plan::Update,
        State::Destroying { run: Some(_), .. } => Plan::Destroy,
        State::Updating { run: None, .. }
        | State::Destroying { run: None, .. }
        | State::Creating { .. }
        | State::Stopped { .. }
        | State::Backoff { .. }
        | State::Failed { .. }
        | State::Destroyed { .. } => Plan::NoRun,
    }
}

/// The run ended; the shim or recovery has seen it.
pub(super) fn run_exited(
    draft: &mut Draft,
    exit: &Exit,
    policy: RestartPolicy,
    auto_destroy: bool,
    seed: &RunSeed,
) {
    let Some(run) = draft.state().run() else { return };
    tell_unheard_start(draft, exit);
    draft.effect(Effect::Release(run.clone()));
    match plan(draft.state()) {
        Plan::Unplanned => unplanned_exit(draft, exit, policy, auto_destroy),
        Plan::Down => {
            let exit = &asked_for(draft.state(), exit);
            draft.tell_exit(exit, false);
            settle(draft, exit, auto_destroy);
        }
        Plan::Up(cause) => {
            let exit = &asked_for(draft.state(), exit);
            draft.tell_exit(exit, true);
            draft.launch(seed, cause);
        }
        Plan::Update => {
            draft.tell_exit(&asked_for(draft.state(), exit), false);
            go_on_updating(draft);
        }
        Plan::Destroy => {
            draft.tell_exit(&asked_for(draft.state(), exit), false);
            go_on_destroying(draft);
        }
        Plan::NoRun => {}
    }
}

/// A program may end before the shell has heard that it began: both are told, in order.
fn tell_unheard_start(draft: &mut Draft, exit: &Exit) {
    if let (State::Starting { run, .. }, Some(_)) = (draft.state(), exit.started_at) {
        draft.go(State::Started { run: Run { started_at: exit.started_at, ..run.clone() } });
        draft.tell(NewsKind::Start, None);
    }
}

/// An exit that a stop, update or destroy had asked for says so, whatever the shim knew of it.
fn asked_for(state: &State, exit: &Exit) -> Exit {
    let requested_stop = match state {
        State::Stopping { .. } | State::Updating { .. } | State::Destroying { .. } => true,
        State::Creating { .. }
        | State::Starting { .. }
        | State::Started { .. }
        | State::Resting { .. }
        | State::Stopped { .. }
        | State::Suspending { .. }
        | State::Suspended { .. }
        | State::Backoff { .. }
        | State::Failed { .. }
        | State::Destroyed { .. } => exit.requested_stop,
    };
    Exit { requested_stop, ..exit.clone() }
}

fn unplanned_exit(draft: &mut Draft, exit: &Exit, policy: RestartPolicy, auto_destroy: bool) {
    let restart = draft.machine.restarts.after_exit(policy, exit, draft.now);
    match restart.filter(|_| !is_held_down(draft)) {
        Some((restarts, until)) => {
            draft.machine.restarts = restarts;
            draft.tell_exit(exit, true);
            draft.go(State::Backoff { until, exit: exit.clone() });
        }
        None => {
            draft.tell_exit(exit, false);
            settle(draft, exit, auto_destroy);
        }
    }
}

fn settle(draft: &mut Draft, exit: &Exit, auto_destroy: bool) {
    draft.settle_stopped(Some(exit.clone()));
    if auto_destroy {
        go_on_destroying(draft);
        draft.tell(NewsKind::Destroy, None);
    }
}

fn go_on_updating(draft: &mut Draft) {
    if let State::Updating { launch, .. } = draft.state() {
        draft.effect(Effect::Prepare);
        let since = draft.now;
        draft.go(State::Updating { since, launch: *launch, run: None, order: None });
    }
}

fn go_on_destroying(draft: &mut Draft) {
    draft.effect(Effect::Remove);
    draft.go(State::Destroying { since: draft.now, run: None });
}

fn is_held_down(draft: &Draft) -> bool {
    draft.machine.hold_down.as_ref().is_some_and(|hold| hold.is_active(draft.now))
}

/// The run could not be brought up.
pub(super) fn run_failed(draft: &mut Draft, failure: &FailedStart<'_>, seed: &RunSeed) {
    let Some(run) = draft.state().run() else { return };
    draft.effect(Effect::Release(run.clone()));
    match plan(draft.state()) {
        Plan::Unplanned => unplanned_failure(draft, run, failure),
        Plan::Down => {
            let exit = asked_for(draft.state(), &Exit::unseen(run.started_at, draft.now));
            draft.settle_stopped(Some(exit));
            draft.tell_with(NewsKind::Stop, None, Some(failure.message));
        }
        Plan::Up(cause) => draft.launch(seed, cause),
        Plan::Update => go_on_updating(draft),
        Plan::Destroy => go_on_destroying(draft),
        Plan::NoRun => {}
    }
}

fn unplanned_failure(draft: &mut Draft, run: &Run, failure: &FailedStart<'_>) {
    let exit = Exit::unseen(run.started_at, draft.now);
    let retry = draft.machine.restarts.after_failed_start(draft.now);
    match retry.filter(|_| failure.is_transient) {
        Some(_) if is_held_down(draft) => {
            draft.settle_stopped(Some(exit));
            draft.tell_with(NewsKind::Stop, None, Some(failure.message));
        }
        Some((restarts, until)) => {
            draft.machine.restarts = restarts;
            draft.go(State::Backoff { until, exit });
            draft.tell_with(NewsKind::Restart, None, Some(failure.message));
        }
        None => up::fail(draft, failure.code, failure.message),
    }
}

/// The host is in another boot than the run, so nothing of the run is left, except RAM on disk.
pub(super) fn host_rebooted(
    draft: &mut Draft,
    seed: &RunSeed,
    policy: RestartPolicy,
    auto_destroy: bool,
) {
    let Some(run) = draft.state().run().filter(|run| run.boot != seed.boot) else { return };
    if let State::Suspended { depth: Depth::Suspend | Depth::Stop, .. } = draft.state() {
        move_to_boot(draft, seed);
        return;
    }
    draft.effect(Effect::Release(run.clone()));
    let exit = &asked_for(draft.state(), &Exit::unseen(run.started_at, draft.now));
    match plan(draft.state()) {
        Plan::Unplanned if policy.mode == RestartMode::No || is_held_down(draft) => {
            draft.tell_exit(exit, false);
            settle(draft, exit, auto_destroy);
        }
        Plan::Down => {
            draft.tell_exit(exit, false);
            settle(draft, exit, auto_destroy);
        }
        Plan::Unplanned | Plan::Up(_) => return_at(draft, exit, draft.now),
        Plan::Update => {
            draft.tell_exit(exit, false);
            go_on_updating(draft);
        }
        Plan::Destroy => {
            draft.tell_exit(exit, false);
            go_on_destroying(draft);
        }
        Plan::NoRun => {}
    }
}

/// Comes back through `Backoff`, where the shell decides how many start at once. A reboot is not
/// the program's fault: no restart is counted.
fn return_at(draft: &mut Draft, exit: &Exit, until: UnixMs) {
    draft.tell_exit(exit, true);
    draft.go(State::Backoff { until, exit: exit.clone() });
}

/// RAM on disk outlives the boot; a wake that was under way begins again.
fn move_to_boot(draft: &mut Draft, seed: &RunSeed) {
    if let State::Suspended { run, depth, since, ram_bytes, cause, wake } = draft.state() {
        let run = Run { boot: seed.boot.clone(), slot: seed.slot, ..run.clone() };
        let wake = wake.as_ref().map(|waking| Waking { since: draft.now, ..waking.clone() });
        if wake.is_some() {
            draft.effect(Effect::Wake { run: run.clone(), depth: *depth });
        }
        draft.go(State::Suspended {
            run,
            depth: *depth,
            since: *since,
            ram_bytes: *ram_bytes,
            cause: cause.clone(),
            wake,
        });
    }
}
