//! Deciding, storing, carrying out, recovering: what a machine's task in the daemon does.

use super::{Item, STEPS_MAX, Sim};
use crate::world::{Phase, Report};
use model::{Depth, Effect, Event, Exit, Next, State, TimerKind, deadline, resume, step, timers};

impl Sim {
    pub(super) fn complete(&mut self, report: Report) -> Event {
        let seed = self.seed();
        match report {
            Report::Plain(event) => event,
            Report::Prepared => Event::Prepared { seed },
            Report::Failed { run, is_transient } => {
                let (code, message) = ("start_failed".to_owned(), "it did not boot".to_owned());
                Event::RunFailed { run, code, message, is_transient, seed }
            }
            Report::Exited { run, exit } => {
                let auto_destroy = self.chance.percent(1);
                Event::RunExited { run, exit, policy: self.policy, auto_destroy, seed }
            }
        }
    }

    /// Decides, stores, carries out. Says whether the event has been dealt with.
    pub(super) fn submit(&mut self, event: &Event) -> bool {
        let now = self.now();
        let Ok(next) = step(&self.stored, event, now) else { return true };
        let is_new = next.machine != self.stored || !next.news.is_empty();
        if is_new && self.is_disk_full {
            return false;
        }
        self.n_steps += 1;
        assert!(self.n_steps < STEPS_MAX, "a busy loop: {event:?} at {now:?} in {:?}", self.stored);
        self.checks.stored(&self.stored, event, &next, now);
        if self.stored.state.run().is_some() && next.machine.state.run().is_none() {
            self.rested_at = Some(now);
        }
        self.stored = next.machine.clone();
        self.carry_out(next);
        true
    }

    /// The effects, in order; now and then the daemon dies among them.
    pub(super) fn carry_out(&mut self, next: Next) {
        for effect in next.effects {
            if self.chance.below(500) == 0 {
                self.die(3_000);
            }
            if self.is_up {
                self.carry_out_one(&effect);
            }
        }
        if self.is_up {
            self.check_timers();
        }
    }

    fn carry_out_one(&mut self, effect: &Effect) {
        match effect {
            Effect::Arm { kind, .. } => self.arm_as_stored(*kind),
            Effect::Disarm(kind) => drop(self.armed.remove(kind)),
            Effect::WakeOwed { cause } => self.after(0, Item::OwedWake(cause.clone())),
            effect => {
                for (delay, deed) in self.world.carry_out(effect, &mut self.chance) {
                    self.after(delay, Item::Deed(deed));
                }
            }
        }
    }

    fn arm_as_stored(&mut self, kind: TimerKind) {
        if let Some(delay) = deadline::wait(&self.stored, kind, self.now()) {
            self.arm(kind, delay.0);
        }
    }

    pub(super) fn arm(&mut self, kind: TimerKind, delay_ms: u64) {
        let epoch = self.n_items + 1;
        self.armed.insert(kind, epoch);
        self.after(delay_ms, Item::Timer { kind, epoch });
    }

    fn check_timers(&self) {
        let wanted: Vec<_> = timers(&self.stored).into_iter().map(|(kind, _)| kind).collect();
        let armed: Vec<_> = self.armed.keys().copied().collect();
        assert!(wanted.iter().all(|kind| armed.contains(kind)), "{wanted:?} of {:?}", self.stored);
    }

    /// Starting is recovering: what the store says, what the world says, what follows.
    pub(super) fn recover(&mut self) {
        self.is_up = true;
        for (kind, _) in timers(&self.stored) {
            self.arm_as_stored(kind);
        }
        let auto_destroy = self.chance.percent(1);
        let reboot = Event::HostRebooted { seed: self.seed(), policy: self.policy, auto_destroy };
        self.submit_for_sure(&reboot);
        self.reap();
        if let Some(report) = self.inspect() {
            let event = self.complete(report);
            self.submit_for_sure(&event);
        }
        for effect in resume(&self.stored) {
            if self.is_up {
                self.carry_out_one(&effect);
            }
        }
    }

    /// Recovery does not open its doors before it can write.
    fn submit_for_sure(&mut self, event: &Event) {
        self.is_disk_full = false;
        if self.is_up {
            assert!(self.submit(event), "the disk has room");
        }
    }

    /// What no stored state explains is removed.
    fn reap(&mut self) {
        let known = self.stored.state.run().map(|run| run.id.clone());
        self.world.process.take_if(|process| Some(&process.run) != known.as_ref());
    }

    /// What happened to the run while nobody looked.
    fn inspect(&self) -> Option<Report> {
        let run = self.stored.state.run()?;
        let id = run.id.clone();
        let Some(process) = &self.world.process else {
            let exit = Exit { shim_lost: true, ..Exit::unseen(run.started_at, self.now()) };
            let never_began = matches!(self.stored.state, State::Starting { .. });
            return (!never_began).then_some(Report::Exited { run: id, exit });
        };
        let slept = |depth| Report::Plain(Event::Slept { run: id.clone(), depth, ram_bytes: 1 });
        match &process.phase {
            Phase::Ended(exit) => Some(Report::Exited { run: id, exit: exit.clone() }),
            Phase::Running { since } if matches!(self.stored.state, State::Starting { .. }) => {
                Some(Report::Plain(Event::RunStarted { run: id, at: *since }))
            }
            Phase::Running { .. } if matches!(self.stored.state, State::Suspended { .. }) => {
                Some(Report::Plain(Event::Woke { run: id }))
            }
            Phase::Frozen { .. } => Some(slept(Depth::Freeze)),
            Phase::Saved { .. } => Some(slept(Depth::Suspend)),
            Phase::Booting | Phase::Running { .. } => None,
        }
    }
}
