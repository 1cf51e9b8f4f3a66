//! Counters since control began, for `GET /metrics`.
//!
//! Few labels with few values each: words of this file and of `model`, never names of apps or
//! machines.

use crate::vms::WarmStats;
use model::Depth;
use model::cause::Cause;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Bounds of all histograms, in seconds: a start takes milliseconds, a bad one seconds.
pub const METER_BOUNDS_S: [f64; 12] =
    [0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];

/// The parts of a start that are counted; others are details of these.
const PARTS: [&str; 6] = ["admission", "net", "commit", "disk", "engine", "outcome"];

/// How often something took how long.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// How many took at most as long as each of [`METER_BOUNDS_S`].
    pub by_bound: [u64; METER_BOUNDS_S.len()],
    /// How many there were.
    pub n: u64,
    /// Their sum, in seconds.
    pub sum_s: f64,
}

/// What was counted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metered {
    /// Starts and wakes that reached the program, by the word of their cause.
    pub ups: BTreeMap<&'static str, u64>,
    /// How long those took that somebody wished for: from the wish to the answer.
    pub starts: BTreeMap<&'static str, Histogram>,
    /// Parts of these.
    pub parts: BTreeMap<&'static str, Histogram>,
    /// Starts and wakes that did not, by the word of their cause.
    pub failed: BTreeMap<&'static str, u64>,
    /// Virtual machines that wait for a run, and starts that found one or none.
    pub warm_vms: WarmStats,
    /// Rests that began, by the word of their cause and how deep.
    pub rests: BTreeMap<(&'static str, &'static str), u64>,
}

/// Counters since control began.
#[derive(Debug, Default)]
pub(crate) struct Meters(Mutex<Metered>);

impl Histogram {
    fn add(&mut self, took: Duration) {
        let took_s = took.as_secs_f64();
        for (bound, n) in METER_BOUNDS_S.iter().zip(&mut self.by_bound) {
            *n += u64::from(took_s <= *bound);
        }
        self.n += 1;
        self.sum_s += took_s;
    }
}

impl Meters {
    /// A machine is up; `took` counts from the wish, if that was made to this process.
    pub(crate) fn up(&self, cause: &Cause, took: Option<Duration>, parts: &[(String, u32)]) {
        let mut metered = self.lock();
        *metered.ups.entry(word(cause)).or_default() += 1;
        let Some(took) = took else { return };
        metered.starts.entry(word(cause)).or_default().add(took);
        for part in PARTS {
            let us = parts.iter().find(|(name, _)| name == part).map_or(0, |(_, us)| *us);
            let part = metered.parts.entry(part).or_default();
            part.add(Duration::from_micros(us.into()));
        }
    }

    /// A machine did not come up.
    pub(crate) fn failed(&self, cause: &Cause) {
        *self.lock().failed.entry(word(cause)).or_default() += 1;
    }

    /// A machine begins to rest.
    pub(crate) fn rests(&self, cause: &Cause, depth: Depth) {
        let depth = match depth {
            Depth::Freeze => "freeze",
            Depth::Suspend => "suspend",
            Depth::Stop => "stop",
        };
        *self.lock().rests.entry((word(cause), depth)).or_default() += 1;
    }

    /// All of it.
    pub(crate) fn all(&self) -> Metered {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Metered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The word of a cause, as events have it.
const fn word(cause: &Cause) -> &'static str {
    match cause {
        Cause::Api { .. } => "api",
        Cause::Guest => "guest",
        Cause::Knock { .. } => "knock",
        Cause::Rule { .. } => "rule",
        Cause::Alarm { .. } => "alarm",
        Cause::Message => "message",
        Cause::Peer { .. } => "peer",
        Cause::RestUntil => "rest_until",
        Cause::Idle { .. } => "idle",
        Cause::Excess { .. } => "excess",
        Cause::Age { .. } => "age",
        Cause::RestartPolicy => "restart_policy",
        Cause::Schedule => "schedule",
        Cause::HostReboot => "host_reboot",
        Cause::Plan => "plan",
        Cause::DiskPressure { .. } => "disk_pressure",
        Cause::DiskRoom { .. } => "disk_room",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_took_long_counts_only_above() {
        let mut histogram = Histogram::default();
        histogram.add(Duration::from_millis(2));
        histogram.add(Duration::from_secs(60));
        assert_eq!(histogram.by_bound, [0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]);
        assert_eq!((histogram.n, histogram.sum_s), (2, 60.002));
    }

    #[test]
    fn the_words_are_those_of_events() {
        for cause in [Cause::knock(), Cause::idle(), Cause::RestUntil, Cause::HostReboot] {
            let event = serde_json::to_value(&cause).expect("plain");
            assert_eq!(event["cause"], word(&cause));
        }
    }

    #[test]
    fn a_start_is_counted_with_all_its_parts() {
        let meters = Meters::default();
        let parts = [("admission".to_owned(), 7), ("cgroup".to_owned(), 9)];
        meters.up(&Cause::knock(), Some(Duration::from_millis(3)), &parts);
        meters.up(&Cause::knock(), None, &[]);
        meters.rests(&Cause::idle(), Depth::Freeze);
        let all = meters.all();
        assert_eq!((all.ups["knock"], all.starts["knock"].n), (2, 1));
        assert_eq!(all.parts.len(), PARTS.len());
        assert_eq!(all.rests[&("idle", "freeze")], 1);
    }
}
