//! How much disks have grown between two looks.

use disk::{DiskError, DiskStore};
use model::pressure::{Growth, WINDOW};
use model::{DurationMs, MachineId};
use std::collections::HashMap;
use tokio::time::Instant;

/// What the disks of some machines took on the host at one moment.
#[derive(Debug)]
pub(super) struct Sizes {
    at: Instant,
    bytes: HashMap<MachineId, u64>,
}

/// What has come to them, and in how long.
#[derive(Debug)]
pub(super) struct Growths {
    pub(super) growths: Vec<Growth>,
    pub(super) within: DurationMs,
}

impl Sizes {
    /// Looks at the disks; a machine without one is left out.
    pub(super) fn of(disks: &DiskStore, machines: Vec<MachineId>, at: Instant) -> Self {
        let size = |machine: MachineId| match disks.usage(&machine) {
            Ok(bytes) => Some((machine, bytes)),
            Err(error) => {
                if !is_missing(&error) {
                    tracing::warn!(%machine, %error, "its disk cannot be measured");
                }
                None
            }
        };
        Self { at, bytes: machines.into_iter().filter_map(size).collect() }
    }

    /// The disks that have grown since `before`. One that is seen for the first time has not.
    pub(super) fn since(&self, before: &Self) -> Growths {
        let growths = self.bytes.iter().filter_map(|(machine, bytes)| {
            let grown = bytes.saturating_sub(*before.bytes.get(machine)?);
            (grown > 0).then(|| Growth { machine: machine.clone(), bytes: grown })
        });
        let within = self.at.saturating_duration_since(before.at).as_millis();
        let within = DurationMs(u64::try_from(within).unwrap_or(u64::MAX));
        Growths { growths: growths.collect(), within }
    }

    /// What the next look compares with: `now` when something was done about the growth or the
    /// window is over, else still these, and those that are new.
    pub(super) fn renewed(mut self, now: Self, was_acted_on: bool) -> Self {
        if was_acted_on || now.at.saturating_duration_since(self.at) >= WINDOW.to_std() {
            return now;
        }
        for (machine, bytes) in now.bytes {
            self.bytes.entry(machine).or_insert(bytes);
        }
        self
    }
}

fn is_missing(error: &DiskError) -> bool {
    matches!(error, DiskError::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn sizes(at: Instant, bytes: &[(u8, u64)]) -> Sizes {
        let id = |n: u8| MachineId::from_random([n; 7]);
        Sizes { at, bytes: bytes.iter().map(|(n, bytes)| (id(*n), *bytes)).collect() }
    }

    #[track_caller]
    fn check(before: &[(u8, u64)], now: &[(u8, u64)], expected: &[(u8, u64)]) {
        let at = Instant::now();
        let before = sizes(at, before);
        let mut grown = sizes(at + Duration::from_secs(2), now).since(&before);
        grown.growths.sort_by(|a, b| a.machine.cmp(&b.machine));
        let got: Vec<_> = grown.growths.into_iter().map(|g| (g.machine, g.bytes)).collect();
        let wanted = expected.iter().map(|(n, bytes)| (MachineId::from_random([*n; 7]), *bytes));
        assert_eq!(got, wanted.collect::<Vec<_>>());
        assert_eq!(grown.within, DurationMs(2_000));
    }

    #[test]
    fn only_what_grew_under_our_eyes_has_grown() {
        check(&[(1, 10), (2, 10)], &[(1, 30), (2, 10)], &[(1, 20)]);
        check(&[(1, 10)], &[(1, 5)], &[]);
        check(&[], &[(1, 5)], &[]);
        check(&[(1, 5)], &[], &[]);
    }

    #[test]
    fn growth_adds_up_within_the_window() {
        let at = Instant::now();
        let first = sizes(at, &[(1, 10)]);
        let second = sizes(at + Duration::from_secs(1), &[(1, 11), (2, 7)]);
        let kept = first.renewed(second, false);
        assert_eq!(kept.bytes, sizes(at, &[(1, 10), (2, 7)]).bytes);
        let third = sizes(at + WINDOW.to_std(), &[(1, 12)]);
        assert_eq!(kept.renewed(third, false).bytes, sizes(at, &[(1, 12)]).bytes);
    }

    #[test]
    fn growth_that_was_acted_on_is_forgotten() {
        let at = Instant::now();
        let kept = sizes(at, &[(1, 10)]).renewed(sizes(at, &[(1, 11)]), true);
        assert_eq!(kept.bytes, sizes(at, &[(1, 11)]).bytes);
    }
}
