//! Quantities with their unit in the name.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A moment, in milliseconds since 1970-01-01T00:00:00Z.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct UnixMs(pub u64);

/// A length of time, in milliseconds.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct DurationMs(pub u64);

/// A share, in thousandths; shown in percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PerMille(pub u16);

/// A number of bytes; shown in the largest unit of which there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bytes(pub(crate) u64);

impl UnixMs {
    /// The moment `by` later; saturates at the end of time.
    #[must_use]
    pub const fn plus(self, by: DurationMs) -> Self {
        Self(self.0.saturating_add(by.0))
    }

    /// Time from `earlier` to `self`; zero when the clock went backwards.
    #[must_use]
    pub const fn since(self, earlier: Self) -> DurationMs {
        DurationMs(self.0.saturating_sub(earlier.0))
    }
}

impl DurationMs {
    /// `s` seconds.
    #[must_use]
    pub const fn from_secs(s: u64) -> Self {
        Self(s.saturating_mul(1000))
    }

    /// As the standard library's duration.
    #[must_use]
    pub const fn to_std(self) -> std::time::Duration {
        std::time::Duration::from_millis(self.0)
    }
}

impl PerMille {
    /// `part` of `whole`, rounded down; nothing of nothing is none.
    #[must_use]
    pub fn of(part: u64, whole: u64) -> Self {
        let thousandths = u128::from(part) * 1000 / u128::from(whole).max(1);
        Self(u16::try_from(thousandths).unwrap_or(u16::MAX))
    }

    /// This share of `whole`, rounded down.
    #[must_use]
    pub const fn part_of(self, whole: u64) -> u64 {
        (whole / 1000).saturating_mul(self.0 as u64)
    }
}

impl fmt::Display for PerMille {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{} %", self.0 / 10, self.0 % 10)
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, name) = match self.0 {
            0x4000_0000.. => (1 << 30, "GiB"),
            0x10_0000.. => (1 << 20, "MiB"),
            _ => (1 << 10, "KiB"),
        };
        let tenths = u128::from(self.0) * 10 / unit;
        write!(f, "{}.{} {name}", tenths / 10, tenths % 10)
    }
}

#[cfg(test)]
mod tests {
    use super::{Bytes, PerMille};

    #[test]
    fn shares_and_sizes_read_well() {
        assert_eq!(PerMille::of(41, 1000).to_string(), "4.1 %");
        assert_eq!(PerMille::of(u64::MAX, u64::MAX), PerMille(1000));
        assert_eq!(PerMille::of(0, 0), PerMille(0));
        assert_eq!(PerMille(50).part_of(100_000), 5_000);
        assert_eq!(Bytes(1_288_490_189).to_string(), "1.2 GiB");
        assert_eq!(Bytes(3 << 19).to_string(), "1.5 MiB");
        assert_eq!(Bytes(100).to_string(), "0.0 KiB");
    }
}
