//! What the platform says of a step: when a machine was woken, came up, rested, ended. Pure.
//!
//! A report follows from the state before and after, so a step that recovery makes after a crash
//! reports what happened meanwhile, with the times that the shim gives.

use govern::selfhood::LastWake;
use govern::{Report, Selfhood, Write};
use model::cause::CauseClass;
use model::state::{AfterStop, Waking};
use model::{Cause, Effect, Event, Exit, Next, State, UnixMs, Want};

/// A step, as far as reports follow from it.
#[derive(Debug)]
pub(super) struct Step<'a> {
    pub(super) event: &'a Event,
    pub(super) before: &'a State,
    pub(super) next: &'a Next,
    /// The self before the step.
    pub(super) selfhood: &'a Selfhood,
    /// Something may follow from its record: then a wake is noted before anything runs.
    pub(super) is_governed: bool,
    /// The RAM of its last run was lost while it slept.
    pub(super) is_cold: bool,
    /// The machine put itself to rest: its word has silenced what there was.
    pub(super) is_own_word: bool,
    pub(super) now: UnixMs,
}

/// Something to note, and the moment that it is about.
pub(super) type Note = (Write, UnixMs);

/// What is to be noted of a step, in its order.
pub(super) fn of_step(step: &Step<'_>) -> Vec<Note> {
    let mut notes = Vec::new();
    if step.silences() {
        notes.push((Write::Stop, step.now));
    }
    notes.extend(step.untold_wake());
    notes.extend(step.outcome().into_iter().map(|report| (Write::Report(report), step.now)));
    notes.extend(step.woken());
    notes
}

impl Step<'_> {
    fn after(&self) -> &State {
        &self.next.machine.state
    }

    /// A stop or suspend by somebody who calls.
    fn silences(&self) -> bool {
        match self.event {
            Event::Want { want: want @ Want::Down(_), cause, .. } => {
                cause.class(*want) == CauseClass::ApiRest && !self.is_own_word
            }
            _ => false,
        }
    }

    /// A wake that is under way and has been noted.
    fn told(&self) -> Option<&LastWake> {
        self.selfhood.wake.as_ref().filter(|wake| !wake.reached && !wake.ended)
    }

    /// A wake that was not noted when it began, because nothing follows from it: it is noted with
    /// what came of it.
    fn untold_wake(&self) -> Option<Note> {
        let State::Starting { run, cause, .. } = self.before else { return None };
        let is_over = !matches!(self.after(), State::Starting { .. });
        let is_told = self.told().is_some_and(|wake| is_same(&wake.cause, cause));
        let woken = || Report::Woken { cause: cause.clone() };
        (is_over && !is_told).then(|| (Write::Report(woken()), run.accepted_at))
    }

    /// A wake that begins with this step.
    fn woken(&self) -> Option<Note> {
        let cause = self.waker()?;
        let is_deferred = matches!(self.after(), State::Starting { .. })
            && !self.is_governed
            && cause.class(Want::Up) != CauseClass::Governed;
        let is_told = self.before.leads_up()
            && !matches!(self.before, State::Backoff { .. })
            && self.told().is_some_and(|wake| is_same(&wake.cause, cause));
        let woken = || Report::Woken { cause: cause.clone() };
        (!is_deferred && !is_told).then(|| (Write::Report(woken()), self.now))
    }

    /// Why a run, or a wake from sleep, begins or is certain from now on.
    fn waker(&self) -> Option<&Cause> {
        let begins =
            self.next.effects.iter().any(|e| matches!(e, Effect::Launch(_) | Effect::Wake { .. }));
        let is_up = matches!(self.before, State::Resting { .. } | State::Starting { .. });
        let turns = !is_up && !self.before.leads_up() && self.after().leads_up();
        if !begins && !turns {
            return None;
        }
        match self.after() {
            State::Starting { cause, .. }
            | State::Suspended { wake: Some(Waking { cause, .. }), .. }
            | State::Suspending { wake: Some(cause), .. }
            | State::Stopping { then: AfterStop::Start { cause }, .. } => Some(cause),
            State::Creating { launch: true, .. } | State::Updating { launch: true, .. } => {
                match self.event {
                    Event::Want { cause, .. } => Some(cause),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// What has come of what was under way.
    fn outcome(&self) -> Vec<Report> {
        let is_up = matches!(self.after(), State::Started { .. } | State::Resting { .. });
        match (self.event, self.before) {
            (Event::RunStarted { at, .. }, State::Starting { .. }) => {
                vec![Report::Up { at: *at, cold: self.is_cold }]
            }
            (Event::Woke { .. }, State::Suspended { .. }) if is_up => {
                vec![Report::Up { at: self.now, cold: false }]
            }
            (Event::RunExited { exit, .. }, State::Starting { .. }) => unheard(exit, self.is_cold),
            (Event::RunExited { exit, .. }, _) => vec![exited(exit)],
            (Event::RunFailed { .. }, State::Starting { .. }) => vec![Report::WakeFailed],
            (Event::RunFailed { .. }, _) => vec![rested(self.now)],
            (Event::Slept { .. }, State::Suspending { .. }) => vec![rested(self.now)],
            // One that was asleep has not come deeper, and runs instead.
            (_, State::Suspending { .. }) if is_up && self.selfhood.usage.up_since.is_none() => {
                vec![Report::Up { at: self.now, cold: false }]
            }
            (Event::HostRebooted { .. }, before) => {
                let is_over = before.run().is_some() && self.after().run().is_none();
                let was_up = is_over && self.selfhood.usage.up_since.is_some();
                was_up.then(|| rested(self.now)).into_iter().collect()
            }
            (Event::Vetoed, State::Resting { .. })
                if matches!(self.after(), State::Started { .. }) =>
            {
                vec![Report::Vetoed]
            }
            // A plan that was to launch it has failed, or was given up.
            (_, State::Creating { launch: true, .. } | State::Updating { launch: true, .. })
                if matches!(self.after(), State::Failed { .. }) && self.told().is_some() =>
            {
                vec![Report::WakeFailed]
            }
            _ => Vec::new(),
        }
    }
}

/// Whether a wake for `noted` is the one that begins for `cause`: a plan that was wished for by
/// somebody launches in its own name.
fn is_same(noted: &Cause, cause: &Cause) -> bool {
    noted == cause || matches!(cause, Cause::Plan)
}

/// A run that ended before its start was heard of.
fn unheard(exit: &Exit, cold: bool) -> Vec<Report> {
    match exit.started_at {
        Some(at) => vec![Report::Up { at, cold }, exited(exit)],
        None => vec![Report::WakeFailed],
    }
}

fn exited(exit: &Exit) -> Report {
    Report::Exited { exit: exit.clone(), served: false }
}

const fn rested(at: UnixMs) -> Report {
    Report::Rested { at, served: false }
}

/// Whether a step has lost the RAM of a machine that slept, and that is to come up again.
pub(super) fn loses_ram(event: &Event, before: &State, after: &State) -> bool {
    let slept = matches!(before, State::Suspended { .. } | State::Suspending { .. });
    let is_lost = matches!(
        event,
        Event::RunExited { .. } | Event::RunFailed { .. } | Event::HostRebooted { .. }
    );
    slept && is_lost && matches!(after, State::Starting { .. } | State::Backoff { .. })
}

#[cfg(test)]
mod tests;
