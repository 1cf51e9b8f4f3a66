//! How many posts a hook takes.
//!
//! Of a hook with a secret only posts that are signed count: nobody without it can keep those who
//! have it out. The arithmetic is that of a token bucket, kept as the one moment at which the bucket
//! is full again.

use model::{AppName, DurationMs, UnixMs};
use std::collections::HashMap;

/// Posts to one hook that may come at once: a service that had been away sends what it has kept.
pub const HOOK_BURST: u64 = 60;

/// Posts to one hook in a second that may go on for ever; more fills any inbox within two minutes.
pub const HOOK_PER_SECOND: u64 = 10;

/// What one post takes, of time.
const EACH: DurationMs = DurationMs(1000 / HOOK_PER_SECOND);

/// What a full bucket holds, of time.
const FULL: DurationMs = DurationMs(EACH.0 * HOOK_BURST);

/// Buckets that are looked through for full ones, which need not be kept, before another is added.
const KEPT_MAX: usize = 1024;

/// App and name of a hook.
type Key = (AppName, String);

/// The buckets that are not full.
#[derive(Debug, Default)]
pub(super) struct Rates {
    full_at: HashMap<Key, UnixMs>,
}

impl Rates {
    /// Counts one post.
    ///
    /// # Errors
    /// How long to wait.
    pub(super) fn admit(&mut self, hook: Key, now: UnixMs) -> Result<(), DurationMs> {
        if self.full_at.len() >= KEPT_MAX {
            self.full_at.retain(|_, full_at| *full_at > now);
        }
        let full_at = self.full_at.entry(hook).or_insert(now);
        // A clock that was set back must not keep anybody out for longer than an empty bucket.
        let from = (*full_at).clamp(now, now.plus(FULL));
        let next = from.plus(EACH);
        let wait = next.since(now.plus(FULL));
        if wait.0 > 0 {
            *full_at = from;
            return Err(wait);
        }
        *full_at = next;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        ("app".parse().unwrap(), name.to_owned())
    }

    fn admitted(rates: &mut Rates, n: u64, now: u64) -> u64 {
        (0..n).map(|_| u64::from(rates.admit(key("a"), UnixMs(now)).is_ok())).sum()
    }

    #[test]
    fn a_burst_passes_and_then_so_many_a_second() {
        let mut rates = Rates::default();
        assert_eq!(admitted(&mut rates, 100, 5_000), HOOK_BURST);
        assert_eq!(rates.admit(key("a"), UnixMs(5_000)), Err(EACH));
        assert_eq!(rates.admit(key("b"), UnixMs(5_000)), Ok(()));
        assert_eq!(admitted(&mut rates, 100, 6_000), HOOK_PER_SECOND);
        assert_eq!(admitted(&mut rates, 100, 600_000), HOOK_BURST);
    }

    #[test]
    fn a_clock_set_back_keeps_nobody_out_for_long() {
        let mut rates = Rates::default();
        assert_eq!(admitted(&mut rates, 1, 1_000_000_000), 1);
        assert_eq!(rates.admit(key("a"), UnixMs(1_000)), Err(EACH));
        assert_eq!(admitted(&mut rates, 1, 1_000 + EACH.0), 1);
    }

    #[test]
    fn full_buckets_are_forgotten() {
        let mut rates = Rates::default();
        for n in 0..KEPT_MAX {
            assert_eq!(rates.admit(key(&n.to_string()), UnixMs(0)), Ok(()));
        }
        assert_eq!(rates.admit(key("last"), UnixMs(EACH.0)), Ok(()));
        assert_eq!(rates.full_at.len(), 1);
    }
}
