//! `beat`: "I am alive", for peers. Volatile: kept in the host's own RAM, in no record, no trace.

use model::{DurationMs, UnixMs};

/// Beats closer than this are one: a peer's rule counts in seconds.
pub const BEAT_EVERY: DurationMs = DurationMs::from_secs(1);

/// The time of the last beat after one at `now`; `None` when it counts as part of the last. When it
/// is `Some`, the machines whose rules read this one's `age_s` must be evaluated.
#[must_use]
pub const fn beat(last: Option<UnixMs>, now: UnixMs) -> Option<UnixMs> {
    match last {
        Some(last) if last.0 <= now.0 && now.since(last).0 < BEAT_EVERY.0 => None,
        Some(_) | None => Some(now),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beats_within_a_second_are_one() {
        let now = UnixMs(1_800_000_000_000);
        assert_eq!(beat(None, now), Some(now));
        assert_eq!(beat(Some(now), UnixMs(now.0 + 999)), None);
        assert_eq!(beat(Some(now), UnixMs(now.0 + 1000)), Some(UnixMs(now.0 + 1000)));
        assert_eq!(beat(Some(now), UnixMs(now.0 - 1)), Some(UnixMs(now.0 - 1)), "set back");
    }
}
