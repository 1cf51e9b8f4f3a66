//! The daemon in small: one machine's task with its store, timers, crashes and recovery.

use crate::chance::Chance;
use crate::checks::Checks;
use crate::visitors::{self, Wish};
use crate::world::{Deed, How, Phase, Report, World};
use model::deadline;
use model::event::StopOrder;
use model::spec::{RestartMode, RestartPolicy};
use model::state::HoldDown;
use model::{
    Admission, Answer, Cause, Depth, DurationMs, Effect, Event, Exit, Machine, Next, RunId,
    RunSeed, SlotId, State, TimerKind, UnixMs, Want, admit, admit_call, answer, resume, step,
    timers,
};
use std::collections::{BTreeMap, BinaryHeap};

/// Something to come, at a moment of true time.
#[derive(Debug)]
pub(crate) enum Item {
    Deed(Deed),
    Report(Report),
    Timer { kind: TimerKind, epoch: u64 },
    OwedWake(Cause),
    Visitor,
    ProgramEnds(RunId),
    DaemonDies,
    DaemonReturns,
    HostReboots,
    ClockJumps,
    DiskFills,
    DiskEmpties,
}

/// The agenda's order: by moment, then by number.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Slot {
    at: std::cmp::Reverse<(u64, u64)>,
}

/// A machine, its daemon and its world.
#[derive(Debug)]
pub(crate) struct Sim {
    chance: Chance,
    /// True time since the beginning, in milliseconds.
    pub(crate) elapsed: u64,
    /// What the wall clock shows beyond it.
    wall_offset: u64,
    agenda: BinaryHeap<Slot>,
    items: BTreeMap<u64, Item>,
    n_items: u64,
    /// What the store holds: all that a crash leaves.
    stored: Machine,
    is_up: bool,
    is_disk_full: bool,
    /// The timers of this daemon process: number of the arming, by kind.
    armed: BTreeMap<TimerKind, u64>,
    world: World,
    policy: RestartPolicy,
    can_suspend: bool,
    rested_at: Option<UnixMs>,
    checks: Checks,
    pub(crate) n_steps: u64,
}

/// Steps of one life: ten times what the longest one takes.
const STEPS_MAX: u64 = 50_000;

const WALL_BEGIN: u64 = 1_800_000_000_000;

/// Mean times between what happens to a machine and its host, in milliseconds.
const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const VISITOR: u64 = 8 * MINUTE;
const PROGRAM: u64 = HOUR;
const DAEMON: u64 = 3 * HOUR;
const REBOOT: u64 = 40 * HOUR;
const JUMP: u64 = 20 * HOUR;
const FULL: u64 = 30 * HOUR;

impl Sim {
    pub(crate) fn new(seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let modes = [RestartMode::No, RestartMode::OnFailure, RestartMode::Always];
        let mode = modes[usize::try_from(chance.below(3)).expect("below three")];
        let can_suspend = chance.percent(50);
        let first = model::create(chance.percent(70), UnixMs(WALL_BEGIN));
        let mut sim = Self {
            chance,
            elapsed: 0,
            wall_offset: WALL_BEGIN,
            agenda: BinaryHeap::new(),
            items: BTreeMap::new(),
            n_items: 0,
            stored: first.machine.clone(),
            is_up: true,
            is_disk_full: false,
            armed: BTreeMap::new(),
            world: World::new(),
            policy: RestartPolicy { mode, max_retries: 5 },
            can_suspend,
            rested_at: None,
            checks: Checks::default(),
            n_steps: 0,
        };
        for (mean, item) in [
            (VISITOR, Item::Visitor),
            (DAEMON, Item::DaemonDies),
            (REBOOT, Item::HostReboots),
            (JUMP, Item::ClockJumps),
            (FULL, Item::DiskFills),
        ] {
            sim.after_about(mean, item);
        }
        sim.carry_out(first);
        sim
    }

    /// Lives for `hours`, or until the machine is destroyed.
    pub(crate) fn live(&mut self, hours: u64) {
        while self.elapsed < hours * HOUR && !matches!(self.stored.state, State::Destroyed { .. }) {
            let Some(Slot { at: std::cmp::Reverse((at, number)) }) = self.agenda.pop() else {
                break;
            };
            self.elapsed = at;
            self.checks.time_passed(at, &self.stored, self.is_up && !self.is_disk_full);
            let item = self.items.remove(&number).expect("an item for each slot");
            self.happen(item);
        }
    }

    fn now(&self) -> UnixMs {
        UnixMs(self.elapsed + self.wall_offset)
    }

    fn at(&mut self, at: u64, item: Item) {
        self.n_items += 1;
        self.items.insert(self.n_items, item);
        self.agenda.push(Slot { at: std::cmp::Reverse((at, self.n_items)) });
    }

    fn after(&mut self, delay_ms: u64, item: Item) {
        self.at(self.elapsed + delay_ms, item);
    }

    fn after_about(&mut self, mean_ms: u64, item: Item) {
        let delay = self.chance.around(mean_ms);
        self.after(delay, item);
    }

    fn happen(&mut self, item: Item) {
        match item {
            Item::Deed(deed) => self.act(deed),
            Item::Report(report) => self.hear(report),
            Item::Timer { kind, epoch } => {
                if self.armed.get(&kind) == Some(&epoch) {
                    let (seed, stop) = (self.seed(), order());
                    self.armed.remove(&kind);
                    if !self.submit(&Event::Timer { kind, seed, stop }) {
                        self.arm(kind, 1_000);
                    }
                }
            }
            Item::OwedWake(cause) if self.is_up => self.want(Want::Up, cause),
            Item::OwedWake(_) => {}
            Item::Visitor => {
                self.after_about(VISITOR, Item::Visitor);
                self.visit();
            }
            Item::ProgramEnds(run) => {
                let how = [How::Code(0), How::Code(1), How::OutOfMemory, How::ShimLost];
                let how = how[usize::try_from(self.chance.below(4)).expect("below four")];
                self.act(Deed::End { run, how });
            }
            Item::DaemonDies => {
                self.after_about(DAEMON, Item::DaemonDies);
                self.die(3_000);
            }
            Item::DaemonReturns => self.recover(),
            Item::HostReboots => {
                self.after_about(REBOOT, Item::HostReboots);
                self.world.reboot();
                self.die(60_000);
            }
            Item::ClockJumps => {
                self.after_about(JUMP, Item::ClockJumps);
                let span = if self.chance.percent(50) { 10_000 } else { 48 * HOUR };
                self.wall_offset += self.chance.below(2 * span);
                self.wall_offset -= span;
            }
            Item::DiskFills => {
                self.after_about(FULL, Item::DiskFills);
                self.is_disk_full = true;
                self.after_about(5 * MINUTE, Item::DiskEmpties);
            }
            Item::DiskEmpties => self.is_disk_full = false,
        }
    }

    fn die(&mut self, mean_downtime_ms: u64) {
        if self.is_up {
            self.is_up = false;
            self.armed.clear();
            self.after_about(mean_downtime_ms, Item::DaemonReturns);
        }
    }

    /// The world moves on, whether anybody looks or not.
    fn act(&mut self, deed: Deed) {
        let now = self.now();
        if let Some(report) = self.world.act(deed, now) {
            if let Report::Plain(Event::RunStarted { run, .. } | Event::Woke { run }) = &report {
                self.after_about(PROGRAM, Item::ProgramEnds(run.clone()));
            }
            let delay = self.chance.below(20);
            self.after(delay, Item::Report(report));
        }
    }

    /// A report that cannot be stored comes again; one that nobody hears is found by recovery.
    fn hear(&mut self, report: Report) {
        if self.is_up {
            let event = self.complete(report.clone());
            if !self.submit(&event) && self.is_up {
                self.after(1_000, Item::Report(report));
            }
        }
    }

    fn complete(&mut self, report: Report) -> Event {
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
    fn submit(&mut self, event: &Event) -> bool {
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
    fn carry_out(&mut self, next: Next) {
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

    fn arm(&mut self, kind: TimerKind, delay_ms: u64) {
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
    fn recover(&mut self) {
        self.is_up = true;
        for (kind, _) in timers(&self.stored) {
            self.arm_as_stored(kind);
        }
        let reboot = Event::HostRebooted { seed: self.seed(), policy: self.policy };
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

    fn visit(&mut self) {
        if !self.is_up {
            return;
        }
        self.checks.settled(&self.stored, self.world.is_alive(), self.items.values());
        match visitors::wish(&mut self.chance) {
            Wish::Want(want, cause) => self.want(want, cause),
            Wish::Call(call) => self.call(call),
            Wish::HoldDown(on) => {
                let until = Some(self.now().plus(DurationMs(HOUR)));
                let hold = on.then(|| HoldDown { reason: "repair".to_owned(), until });
                self.submit(&Event::HoldDown { hold });
            }
        }
    }

    fn call(&mut self, call: model::Call) {
        let now = self.now();
        let facts = visitors::facts(&mut self.chance, now, &self.stored, self.rested_at);
        let cause = visitors::api();
        if admit_call(&self.stored, &facts, call, &cause, self.now()) != Admission::Go {
            return;
        }
        assert_eq!(answer(&self.stored.state, call), Answer::Go);
        let (seed, stop) = (self.seed(), order());
        let event = match call {
            model::Call::Restart => Event::Restart { cause, seed, stop },
            model::Call::Update => Event::Update { launch: self.chance.percent(30), stop },
            model::Call::Destroy => Event::Destroy { force: false },
            _ => Event::Destroy { force: true },
        };
        assert!(step(&self.stored, &event, self.now()).is_ok(), "admitted, so it is legal");
        self.submit(&event);
    }

    fn want(&mut self, want: Want, cause: Cause) {
        let now = self.now();
        let mut facts = visitors::facts(&mut self.chance, now, &self.stored, self.rested_at);
        facts.can_suspend = self.can_suspend;
        match admit(&self.stored, &facts, want, &cause, self.now()) {
            Admission::Go => {
                let event = self.rest_or_want(want, cause);
                assert!(step(&self.stored, &event, self.now()).is_ok(), "admitted, so it is legal");
                self.submit(&event);
            }
            Admission::Owed { not_before, .. } => {
                self.submit(&Event::Owe { cause, not_before });
            }
            Admission::Already | Admission::Refused(_) => {}
        }
    }

    /// Some guests listen for rest notices.
    fn rest_or_want(&mut self, want: Want, cause: Cause) -> Event {
        let (seed, stop) = (self.seed(), order());
        match want {
            Want::Down(depth)
                if cause == Cause::Idle && matches!(self.stored.state, State::Started { .. }) =>
            {
                let rest = model::state::Rest { depth, cause, order: stop };
                let vetoes = u8::try_from(self.chance.below(4)).expect("below four");
                Event::Notice { rest, vetoes }
            }
            want => Event::Want { want, cause, seed, stop },
        }
    }

    fn seed(&mut self) -> RunSeed {
        let run = RunId::new(self.now(), self.chance.bytes());
        RunSeed { run, slot: Some(SlotId(1)), boot: self.world.boot.clone() }
    }
}

fn order() -> StopOrder {
    StopOrder { signal: 2, timeout: DurationMs(5_000) }
}
