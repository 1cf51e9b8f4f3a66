//! The daemon in small: one machine's task with its store, timers, crashes and recovery.

mod door;
mod task;

use crate::chance::Chance;
use crate::checks::Checks;
use crate::world::{Deed, How, Report, World};
use model::event::StopOrder;
use model::spec::{RestartMode, RestartPolicy};
use model::{
    Cause, DurationMs, Event, Machine, RunId, RunSeed, SlotId, State, TimerKind, UnixMs, Want,
};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

/// Something to come, at a moment of true time.
#[derive(Debug)]
pub(crate) enum Item {
    Deed(Deed),
    /// For the daemon process of this number: what is on its way when one dies is lost with it.
    Report {
        report: Report,
        to: u64,
    },
    Timer {
        kind: TimerKind,
        epoch: u64,
    },
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
    at: Reverse<(u64, u64)>,
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
    n_daemons: u64,
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
/// Visitors that come while the last one's wish is still being fulfilled.
const CLOSE_BEHIND: u64 = 150;
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
            n_daemons: 0,
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
            let Some(Slot { at: Reverse((at, number)) }) = self.agenda.pop() else {
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
        self.agenda.push(Slot { at: Reverse((at, self.n_items)) });
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
            Item::Report { report, to } if to == self.n_daemons => self.hear(report),
            Item::Report { .. } => {}
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
                let is_close_behind = self.chance.percent(50);
                let mean = if is_close_behind { CLOSE_BEHIND } else { VISITOR };
                self.after_about(mean, Item::Visitor);
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
            self.n_daemons += 1;
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
            if self.is_up {
                self.after(delay, Item::Report { report, to: self.n_daemons });
            }
        }
    }

    /// A report that cannot be stored comes again; one that nobody hears is found by recovery.
    fn hear(&mut self, report: Report) {
        if self.is_up {
            let event = self.complete(report.clone());
            if !self.submit(&event) && self.is_up {
                self.after(1_000, Item::Report { report, to: self.n_daemons });
            }
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
