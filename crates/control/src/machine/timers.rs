//! The timers of one machine.
//!
//! The model names moments of the wall clock; here they become waits on the monotonic one, so that a
//! clock that is set back stalls nothing.

use model::{DurationMs, Machine, TimerKind, UnixMs};
use std::collections::BTreeMap;
use tokio::time::Instant;

/// Armed timers and when each fires.
#[derive(Debug, Default)]
pub(super) struct Timers {
    due: BTreeMap<TimerKind, Instant>,
}

impl Timers {
    /// The timers that a stored machine calls for.
    pub(super) fn of(machine: &Machine, now: UnixMs) -> Self {
        let mut timers = Self::default();
        for (kind, _) in model::timers(machine) {
            timers.arm(machine, kind, now);
        }
        timers
    }

    /// Makes sure that the timer fires when the machine's state says.
    pub(super) fn arm(&mut self, machine: &Machine, kind: TimerKind, now: UnixMs) {
        match model::deadline::wait(machine, kind, now) {
            Some(wait) => self.put_off(kind, wait),
            None => self.disarm(kind),
        }
    }

    /// Makes the timer fire after `wait`, whatever was armed before.
    pub(super) fn put_off(&mut self, kind: TimerKind, wait: DurationMs) {
        self.due.insert(kind, Instant::now() + wait.to_std());
    }

    /// Makes sure that the timer does not fire.
    pub(super) fn disarm(&mut self, kind: TimerKind) {
        self.due.remove(&kind);
    }

    /// Whether none is armed.
    pub(super) fn is_empty(&self) -> bool {
        self.due.is_empty()
    }

    /// When the next one fires.
    pub(super) fn next(&self) -> Option<Instant> {
        self.due.values().min().copied()
    }

    /// Takes those that fire now.
    pub(super) fn take_due(&mut self) -> Vec<TimerKind> {
        let now = Instant::now();
        let due: Vec<TimerKind> =
            self.due.iter().filter(|(_, at)| **at <= now).map(|(kind, _)| *kind).collect();
        for kind in &due {
            self.due.remove(kind);
        }
        due
    }
}
