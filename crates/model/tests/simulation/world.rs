//! The world under one machine: its processes, its image and disk, what the shim has seen.
//!
//! It takes effects and says which reports come of them, and when. Effects may be given twice.
//! It panics where a real host would be harmed: two runs over one disk.

use crate::chance::Chance;
use model::{BootId, Depth, Effect, Event, Exit, Run, RunId, UnixMs};

/// What is left of a run on the host.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Process {
    pub(crate) run: RunId,
    pub(crate) phase: Phase,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Phase {
    /// The launcher is at work.
    Booting,
    /// The program runs.
    Running { since: UnixMs },
    /// All processes stand still.
    Frozen { since: UnixMs },
    /// Nothing but RAM on disk.
    Saved { since: UnixMs },
    /// Gone; the shim's exit file says how.
    Ended(Exit),
}

/// What is to happen to the world itself.
#[derive(Clone, Debug)]
pub(crate) enum Deed {
    /// The launch comes to its end.
    Boot(RunId),
    /// The launch fails, nothing is left.
    BootFails { run: RunId, is_transient: bool },
    /// The program ends.
    End { run: RunId, how: How },
    /// It stands still now.
    Fall(RunId, Depth),
    /// It cannot be put to sleep.
    FallFails(RunId),
    /// It runs again now. Only who was told to when it was on disk comes back from there: a shim that puts
    /// it on disk ends, and with it what it was told before.
    Rise { run: RunId, from_disk: bool },
    /// The plan that prepares ends.
    Prepare { is_good: bool },
    /// The plan that removes ends.
    Remove,
    /// The guest objects to a rest.
    Veto,
}

/// How a program ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum How {
    Code(i32),
    Told,
    Killed,
    OutOfMemory,
    ShimLost,
}

/// A report for the shell, without what the shell adds itself.
#[derive(Clone, Debug)]
pub(crate) enum Report {
    Plain(Event),
    Prepared,
    Failed { run: RunId, is_transient: bool },
    Exited { run: RunId, exit: Exit },
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) boot: BootId,
    pub(crate) process: Option<Process>,
    n_boots: u64,
}

impl World {
    pub(crate) fn new() -> Self {
        Self { boot: boot_id(0), process: None, n_boots: 0 }
    }

    /// The power goes: only RAM on disk is left.
    pub(crate) fn reboot(&mut self) {
        self.n_boots += 1;
        self.boot = boot_id(self.n_boots);
        self.process = self.process.take().filter(|p| matches!(p.phase, Phase::Saved { .. }));
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.process.as_ref().is_some_and(|p| !matches!(p.phase, Phase::Ended(_)))
    }

    fn phase_of(&self, run: &RunId) -> Option<&Phase> {
        self.process.as_ref().filter(|p| p.run == *run).map(|p| &p.phase)
    }

    /// Begins to make an effect true: deeds to come, each with its delay in milliseconds.
    pub(crate) fn carry_out(&mut self, effect: &Effect, chance: &mut Chance) -> Vec<(u64, Deed)> {
        let hangs = chance.percent(3);
        match effect {
            Effect::Launch(run) => self.launch(run, hangs, chance),
            Effect::Stop { run, order } => {
                let how = if chance.percent(20) { How::Killed } else { How::Told };
                let after = chance.below(order.timeout.0 + 1);
                unless(hangs, after, Deed::End { run: run.clone(), how })
            }
            Effect::Kill { run } => {
                unless(hangs, chance.below(200), Deed::End { run: run.clone(), how: How::Killed })
            }
            Effect::Sleep { run, depth } if chance.percent(90) => {
                unless(hangs, chance.below(3_000), Deed::Fall(run.clone(), *depth))
            }
            Effect::Sleep { run, .. } => {
                unless(hangs, chance.below(3_000), Deed::FallFails(run.clone()))
            }
            Effect::Wake { run, .. } => {
                let from_disk = matches!(self.phase_of(&run.id), Some(Phase::Saved { .. }));
                let deed = Deed::Rise { run: run.id.clone(), from_disk };
                unless(hangs, chance.below(500), deed)
            }
            Effect::NotifyRest { .. } => {
                unless(chance.percent(60), chance.below(4_000), Deed::Veto)
            }
            Effect::Prepare => {
                let is_good = chance.percent(95);
                unless(hangs, chance.below(90_000), Deed::Prepare { is_good })
            }
            Effect::Remove => unless(hangs, chance.below(5_000), Deed::Remove),
            Effect::Release(run) => {
                self.release(run);
                Vec::new()
            }
            Effect::WakeOwed { .. } | Effect::Arm { .. } | Effect::Disarm(_) => Vec::new(),
        }
    }

    fn launch(&mut self, run: &Run, hangs: bool, chance: &mut Chance) -> Vec<(u64, Deed)> {
        match &self.process {
            Some(process) if process.run == run.id => {
                let is_booting = process.phase == Phase::Booting;
                return unless(!is_booting, chance.below(50), Deed::Boot(run.id.clone()));
            }
            Some(other) => panic!("double start: {run:?} beside {other:?}"),
            None => {}
        }
        self.process = Some(Process { run: run.id.clone(), phase: Phase::Booting });
        let deed = if chance.percent(95) {
            Deed::Boot(run.id.clone())
        } else {
            Deed::BootFails { run: run.id.clone(), is_transient: chance.percent(80) }
        };
        unless(hangs, chance.below(300), deed)
    }

    fn release(&mut self, run: &Run) {
        if let Some(process) = self.process.take_if(|p| p.run == run.id) {
            let is_over = matches!(process.phase, Phase::Ended(_) | Phase::Saved { .. });
            assert!(is_over, "released while it is alive: {process:?}");
        }
    }

    /// Does the deed, if it still makes sense; returns what the shim reports.
    pub(crate) fn act(&mut self, deed: Deed, now: UnixMs) -> Option<Report> {
        match deed {
            Deed::Boot(run) => {
                self.phase_of(&run).filter(|phase| **phase == Phase::Booting)?;
                self.set(&run, Phase::Running { since: now });
                Some(Report::Plain(Event::RunStarted { run, at: now }))
            }
            Deed::BootFails { run, is_transient } => {
                self.phase_of(&run).filter(|phase| **phase == Phase::Booting)?;
                self.process = None;
                Some(Report::Failed { run, is_transient })
            }
            Deed::End { run, how } => self.end(run, how, now),
            Deed::Fall(run, depth) => {
                let (Phase::Running { since } | Phase::Frozen { since }) = *self.phase_of(&run)?
                else {
                    return None;
                };
                self.set(&run, fallen(depth, since));
                Some(Report::Plain(Event::Slept { run, depth, ram_bytes: 1 }))
            }
            Deed::FallFails(run) => {
                let (Phase::Running { since } | Phase::Frozen { since }) = *self.phase_of(&run)?
                else {
                    return None;
                };
                self.set(&run, Phase::Running { since });
                Some(Report::Plain(Event::SleepFailed { run, message: "busy".to_owned() }))
            }
            Deed::Rise { run, from_disk } => {
                let since = match *self.phase_of(&run)? {
                    Phase::Saved { .. } if !from_disk => return None,
                    Phase::Frozen { since } | Phase::Saved { since } | Phase::Running { since } => {
                        since
                    }
                    Phase::Booting | Phase::Ended(_) => return None,
                };
                self.set(&run, Phase::Running { since });
                Some(Report::Plain(Event::Woke { run }))
            }
            Deed::Prepare { is_good: true } => Some(Report::Prepared),
            Deed::Prepare { is_good: false } => Some(Report::Plain(Event::PrepareFailed {
                code: "image_missing".to_owned(),
                message: "the registry is gone".to_owned(),
            })),
            Deed::Remove => Some(Report::Plain(Event::Removed)),
            Deed::Veto => Some(Report::Plain(Event::Vetoed)),
        }
    }

    fn end(&mut self, run: RunId, how: How, now: UnixMs) -> Option<Report> {
        let started_at = match self.phase_of(&run)? {
            Phase::Booting => None,
            Phase::Running { since } | Phase::Frozen { since } => Some(*since),
            Phase::Saved { since } if matches!(how, How::Told | How::Killed) => Some(*since),
            Phase::Saved { .. } | Phase::Ended(_) => return None,
        };
        let exit = exit(how, started_at, now);
        self.set(&run, Phase::Ended(exit.clone()));
        Some(Report::Exited { run, exit })
    }

    fn set(&mut self, run: &RunId, phase: Phase) {
        self.process = Some(Process { run: run.clone(), phase });
    }
}

fn unless(hangs: bool, after_ms: u64, deed: Deed) -> Vec<(u64, Deed)> {
    if hangs { Vec::new() } else { vec![(after_ms, deed)] }
}

fn fallen(depth: Depth, since: UnixMs) -> Phase {
    match depth {
        Depth::Freeze => Phase::Frozen { since },
        Depth::Suspend | Depth::Stop => Phase::Saved { since },
    }
}

fn exit(how: How, started_at: Option<UnixMs>, now: UnixMs) -> Exit {
    let unseen = Exit::unseen(started_at, now);
    match how {
        How::Code(code) => Exit { code: Some(code), ..unseen },
        How::Told => Exit { code: Some(0), requested_stop: true, ..unseen },
        How::Killed => Exit { signal: Some(9), requested_stop: started_at.is_some(), ..unseen },
        How::OutOfMemory => Exit { signal: Some(9), oom_killed: true, ..unseen },
        How::ShimLost => Exit { shim_lost: true, ..unseen },
    }
}

fn boot_id(n: u64) -> BootId {
    format!("00000000-0000-4000-8000-{n:012x}").parse().expect("a boot id")
}
