//! Where the time of a start went: the parts that every wake tells (`Server-Timing`), and what the
//! shim tells in more detail.
//!
//! The shim attaches the disk while the intent goes to the store, so the parts overlap: their sum is
//! more than the whole.

use shim_proto::message::Timing;
use std::time::{Duration, Instant};

/// How the names of the shim's parts of the disk begin.
const DISK_PREFIX: &str = "disk";

/// The parts of one start, in microseconds.
#[derive(Debug, Default)]
pub(super) struct Timings {
    /// When it was asked for.
    began: Option<Instant>,
    /// Gates and room on the host.
    admission: u32,
    /// A slot, and the machine's addresses on it.
    net: u32,
    /// The intent, until it was on the disk.
    commit: u32,
    /// The outcome, until it was on the disk.
    outcome: u32,
    /// What the shim said.
    of_shim: Vec<(String, u32)>,
}

impl Timings {
    /// Begins anew for a start that was asked for at `began` and has been admitted now.
    pub(super) fn begin(&mut self, began: Instant) {
        *self = Self { began: Some(began), admission: micros_since(began), ..Self::default() };
    }

    /// How long ago the start was asked for; `None` when that was not said to this process. Asked
    /// once for each start.
    pub(super) fn take_total(&mut self) -> Option<Duration> {
        self.began.take().map(|began| began.elapsed())
    }

    /// The network took from `began` to now.
    pub(super) fn add_net(&mut self, began: Instant) {
        self.net = self.net.saturating_add(micros_since(began));
    }

    /// A commit took from `began` to now: the first one is the intent, the last one the outcome.
    pub(super) fn add_commit(&mut self, began: Instant) {
        let us = micros_since(began);
        if self.commit == 0 {
            self.commit = us.max(1);
        } else {
            self.outcome = us;
        }
    }

    /// Notes what the shim said.
    pub(super) fn add_of_shim(&mut self, timings: Vec<Timing>) {
        self.of_shim.extend(timings.into_iter().map(|timing| (timing.part, timing.us)));
    }

    /// All parts: those of every wake first, then the shim's own words for `disk` and `engine`.
    pub(super) fn all(&self) -> Vec<(String, u32)> {
        let sum = |is_disk: bool| {
            let parts = self.of_shim.iter();
            let parts = parts.filter(|(part, _)| part.starts_with(DISK_PREFIX) == is_disk);
            parts.fold(0_u32, |sum, (_, us)| sum.saturating_add(*us))
        };
        let parts = [
            ("admission", self.admission),
            ("net", self.net),
            ("commit", self.commit),
            ("disk", sum(true)),
            ("engine", sum(false)),
            ("outcome", self.outcome),
        ];
        let parts = parts.into_iter().map(|(part, us)| (part.to_owned(), us));
        parts.chain(self.of_shim.iter().cloned()).collect()
    }
}

fn micros_since(began: Instant) -> u32 {
    u32::try_from(began.elapsed().as_micros()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_a_wake_is_told_and_then_the_details() {
        let mut timings = Timings::default();
        timings.begin(Instant::now());
        timings.add_net(Instant::now());
        timings.add_commit(Instant::now());
        let said = [("disk_attach", 7), ("cgroup", 2), ("disk_mount", 3)];
        timings.add_of_shim(said.map(|(part, us)| Timing { part: part.to_owned(), us }).into());
        let all = timings.all();
        let names: Vec<&str> = all.iter().map(|(part, _)| part.as_str()).collect();
        let wake = ["admission", "net", "commit", "disk", "engine", "outcome"];
        assert_eq!(names[..6], wake);
        assert_eq!((all[3].1, all[4].1), (10, 2));
        assert_eq!(names[6..], ["disk_attach", "cgroup", "disk_mount"]);
    }

    #[test]
    fn a_new_start_forgets_the_one_before() {
        let mut timings = Timings::default();
        timings.add_of_shim(vec![Timing { part: "clone".to_owned(), us: 5 }]);
        timings.begin(Instant::now());
        assert_eq!(timings.all().len(), 6);
    }
}
