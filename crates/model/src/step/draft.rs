//! A step in the making: the machine before, and what is to follow.
//!
//! Timers are not armed by the handlers: [`Draft::finish`] compares the timers of the machine
//! before and after and adds what differs, so an armed timer and the stored state cannot disagree.

use crate::admit::{Asked, Refused};
use crate::cause::{Cause, Depth};
use crate::deadline;
use crate::effect::{Effect, ExitNews, News, NewsKind, NewsSource, TimerKind};
use crate::event::{Exit, RunSeed, StopOrder};
use crate::ids::RunId;
use crate::restart::RestartLog;
use crate::state::{AfterStop, Machine, Nudges, Preparation, Rest, Run, State};
use crate::step::Next;
use crate::units::UnixMs;

pub(super) struct Draft<'a> {
    pub(super) before: &'a Machine,
    pub(super) machine: Machine,
    pub(super) now: UnixMs,
    news: Vec<News>,
    effects: Vec<Effect>,
    fired: Option<TimerKind>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(before: &'a Machine, now: UnixMs) -> Self {
        let machine = before.clone();
        Self { before, machine, now, news: Vec::new(), effects: Vec::new(), fired: None }
    }

    /// The state before the step.
    pub(super) fn state(&self) -> &'a State {
        &self.before.state
    }

    /// This timer has fired, so it is armed no more.
    pub(super) fn timer_fired(&mut self, kind: TimerKind) {
        self.fired = Some(kind);
    }

    /// Goes on only if `run` is the current run.
    pub(super) fn expect_run(&self, run: &RunId) -> Result<(), Refused> {
        if self.state().run().is_some_and(|current| current.id == *run) {
            Ok(())
        } else {
            Err(Refused::StaleRun)
        }
    }

    pub(super) fn refuse(&self, asked: Asked) -> Refused {
        Refused::State { state: self.state().api_name(), asked }
    }

    pub(super) fn go(&mut self, state: State) {
        self.machine.state = state;
        self.machine.nudges = Nudges::default();
    }

    pub(super) fn effect(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    /// News about the state reached so far.
    pub(super) fn tell(&mut self, kind: NewsKind, cause: Option<&Cause>) {
        self.tell_with(kind, cause, cause.and_then(Cause::figures).as_deref());
    }

    pub(super) fn tell_with(
        &mut self,
        kind: NewsKind,
        cause: Option<&Cause>,
        message: Option<&str>,
    ) {
        self.news.push(News {
            kind,
            status: self.machine.state.api_name().to_owned(),
            source: cause.map_or(NewsSource::Flyd, source),
            exit: None,
            cause: cause.cloned(),
            message: message.map(str::to_owned),
        });
    }

    /// News that the user asked for it, where no cause travels with the request.
    pub(super) fn tell_user(&mut self, kind: NewsKind) {
        self.tell(kind, None);
        if let Some(news) = self.news.last_mut() {
            news.source = NewsSource::User;
        }
    }

    /// News that a run ended. Its status is `stopped` whatever follows, as clients expect.
    pub(super) fn tell_exit(&mut self, exit: &Exit, restarting: bool) {
        let restart_count = self.machine.restarts.total;
        self.news.push(News {
            kind: NewsKind::Exit,
            status: "stopped".to_owned(),
            source: NewsSource::Flyd,
            exit: Some(ExitNews { exit: exit.clone(), restarting, restart_count }),
            cause: None,
            message: None,
        });
    }

    /// Begins a run. The only place that launches, and only when no run is left. What was never made
    /// ready is made ready first.
    pub(super) fn launch(&mut self, seed: &RunSeed, cause: &Cause) {
        if let Some(preparation) = self.machine.unprepared {
            return self.prepare_again(preparation, cause);
        }
        let run = Run {
            id: seed.run.clone(),
            slot: seed.slot,
            boot: seed.boot.clone(),
            accepted_at: self.now,
            started_at: None,
        };
        let kind = if matches!(cause, Cause::RestartPolicy) {
            NewsKind::Restart
        } else {
            self.machine.restarts = RestartLog::default();
            NewsKind::Start
        };
        self.effect(Effect::Launch(run.clone()));
        self.go(State::Starting { run, cause: cause.clone(), then: None });
        self.tell(kind, Some(cause));
    }

    /// Takes a plan up again that had failed; a launch follows.
    fn prepare_again(&mut self, preparation: Preparation, cause: &Cause) {
        let since = self.now;
        self.effect(Effect::Prepare);
        self.go(match preparation {
            Preparation::Create => State::Creating { since, launch: true },
            Preparation::Update => State::Updating { since, launch: true, run: None, order: None },
        });
        self.tell(NewsKind::Start, Some(cause));
    }

    /// Tells the program to end.
    pub(super) fn stop(&mut self, run: &Run, order: StopOrder, then: AfterStop) {
        self.effect(Effect::Stop { run: run.id.clone(), order });
        let deadline = self.now.plus(order.timeout);
        self.go(State::Stopping { run: run.clone(), since: self.now, deadline, order, then });
    }

    /// Begins a rest of a running program.
    pub(super) fn rest(&mut self, run: &Run, rest: &Rest) {
        match rest.depth {
            Depth::Stop => {
                self.stop(run, rest.order, AfterStop::Stay);
                self.tell(NewsKind::Stop, Some(&rest.cause));
            }
            depth @ (Depth::Freeze | Depth::Suspend) => {
                self.effect(Effect::Sleep { run: run.id.clone(), depth });
                self.go(State::Suspending {
                    run: run.clone(),
                    depth,
                    since: self.now,
                    cause: Some(rest.cause.clone()),
                    wake: None,
                });
                self.tell(NewsKind::Suspend, Some(&rest.cause));
            }
        }
    }

    /// Comes to rest without a run.
    pub(super) fn settle_stopped(&mut self, exit: Option<Exit>) {
        self.go(State::Stopped { since: self.now, exit });
    }

    /// The finished step, with timers set as the new machine needs them.
    pub(super) fn finish(mut self) -> Next {
        if self.machine.state.leads_up() || self.machine.state.is_going_away() {
            self.machine.owed = None;
        }
        if self.machine != *self.before || !self.news.is_empty() {
            self.machine.revision = self.before.revision.saturating_add(1);
        }
        let fired = self.fired;
        let mut old = deadline::timers(self.before);
        old.retain(|(kind, _)| Some(*kind) != fired);
        let new = deadline::timers(&self.machine);
        for (kind, _) in &old {
            if !new.iter().any(|(still, _)| still == kind) {
                self.effects.push(Effect::Disarm(*kind));
            }
        }
        for (kind, at) in new {
            if !old.contains(&(kind, at)) {
                self.effects.push(Effect::Arm { kind, at });
            }
        }
        Next { machine: self.machine, news: self.news, effects: self.effects }
    }
}

/// `user` for people and their programs, `flyd` for the host. Source: machines-api 3.5.
fn source(cause: &Cause) -> NewsSource {
    match cause {
        Cause::Api { .. } | Cause::Guest => NewsSource::User,
        Cause::Knock { .. }
        | Cause::Rule { .. }
        | Cause::Alarm { .. }
        | Cause::Message
        | Cause::Peer { .. }
        | Cause::RestUntil
        | Cause::Idle { .. }
        | Cause::Excess { .. }
        | Cause::Age { .. }
        | Cause::RestartPolicy
        | Cause::Schedule
        | Cause::HostReboot
        | Cause::Plan
        | Cause::DiskPressure { .. }
        | Cause::DiskRoom { .. } => NewsSource::Flyd,
    }
}
