//! When a machine that sleeps goes deeper, whoever put it to sleep.

use crate::cause::Depth;
use crate::units::DurationMs;
use serde::{Deserialize, Serialize};

/// How long a machine sleeps at most before it goes deeper. Ages count from the moment it began to
/// fall asleep, and no deeper sleep begins them anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deepen {
    /// Until its RAM goes to disk; within [`DEEPEN_MIN`] and [`DEEPEN_MAX`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend_after: Option<DurationMs>,
    /// Until its RAM is dropped; as above, and longer than that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_after: Option<DurationMs>,
}

/// Shortest age at which a machine goes deeper.
pub const DEEPEN_MIN: DurationMs = DurationMs::from_secs(1);

/// Longest age at which a machine goes deeper: 365 days.
pub const DEEPEN_MAX: DurationMs = DurationMs::from_secs(365 * 24 * 3600);

impl Deepen {
    /// The depths that it goes to and at which age, the shallower first.
    pub fn steps(self) -> impl Iterator<Item = (Depth, DurationMs)> {
        let suspend = self.suspend_after.map(|after| (Depth::Suspend, after));
        let stop = self.stop_after.map(|after| (Depth::Stop, after));
        suspend.into_iter().chain(stop)
    }
}
