//! How many posts a hook takes.
//!
//! Of a hook with a secret only posts that are signed count: nobody without it can keep those who
//! have it out.

use model::AppName;
use model::bucket::{Bucket, Pace};
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::Instant;

/// Posts to one hook that may come at once: a service that had been away sends what it has kept.
pub const HOOK_BURST: u32 = 60;

/// Posts to one hook in a second that may go on for ever; more fills any inbox within two minutes.
pub const HOOK_PER_SECOND: u32 = 10;

const PACE: Pace = Pace { burst: HOOK_BURST, per_second: HOOK_PER_SECOND };

/// Buckets that are looked through for full ones, which need not be kept, before another is added.
const KEPT_MAX: usize = 1024;

/// App and name of a hook.
type Key = (AppName, String);

/// The buckets that are not full.
#[derive(Debug, Default)]
pub(super) struct Rates {
    buckets: HashMap<Key, Bucket<Instant>>,
}

impl Rates {
    /// Counts one post.
    ///
    /// # Errors
    /// How long to wait.
    pub(super) fn admit(&mut self, hook: Key, now: Instant) -> Result<(), Duration> {
        if self.buckets.len() >= KEPT_MAX {
            self.buckets.retain(|_, bucket| !bucket.is_full(now));
        }
        self.buckets.entry(hook).or_insert(Bucket::full(PACE, now)).take(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        ("app".parse().unwrap(), name.to_owned())
    }

    #[test]
    fn each_hook_has_a_bucket_of_its_own() {
        let (mut rates, now) = (Rates::default(), Instant::now());
        let n_admitted = (0..100).filter(|_| rates.admit(key("a"), now).is_ok()).count();
        assert_eq!(n_admitted, HOOK_BURST as usize);
        assert_eq!(rates.admit(key("a"), now), Err(PACE.each()));
        assert_eq!(rates.admit(key("b"), now), Ok(()));
    }

    #[test]
    fn full_buckets_are_forgotten() {
        let (mut rates, now) = (Rates::default(), Instant::now());
        for n in 0..KEPT_MAX {
            assert_eq!(rates.admit(key(&n.to_string()), now), Ok(()));
        }
        assert_eq!(rates.admit(key("last"), now + PACE.each()), Ok(()));
        assert_eq!(rates.buckets.len(), 1);
    }
}
