//! A token bucket: how many of something may come at once, and how many go on for ever.
//!
//! The moment comes as an argument, of any clock that only goes forward. A bucket is kept as the
//! one moment at which it is full again, so one that is full need not be kept.

use std::ops::{Add, Sub};
use std::time::Duration;

/// How fast something may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// So many at once; at least one.
    pub burst: u32,
    /// So many a second, for ever; at least one.
    pub per_second: u32,
}

impl Pace {
    /// The time that one takes.
    #[must_use]
    pub const fn each(self) -> Duration {
        Duration::from_nanos(1_000_000_000 / self.per_second as u64)
    }

    /// The time in which an empty bucket fills.
    const fn full(self) -> Duration {
        self.each().saturating_mul(self.burst)
    }
}

/// What is left of a pace; `T` is a moment of the caller's clock.
#[derive(Clone, Copy, Debug)]
pub struct Bucket<T> {
    pace: Pace,
    full_at: T,
}

impl<T: Copy + Ord + Add<Duration, Output = T> + Sub<Output = Duration>> Bucket<T> {
    /// One that is full at `now`.
    pub const fn full(pace: Pace, now: T) -> Self {
        Self { pace, full_at: now }
    }

    /// Takes one out.
    ///
    /// # Errors
    /// How long it is until there is one; nothing was taken.
    pub fn take(&mut self, now: T) -> Result<(), Duration> {
        let next = self.full_at.max(now) + self.pace.each();
        let latest = now + self.pace.full();
        if next > latest {
            return Err(next - latest);
        }
        self.full_at = next;
        Ok(())
    }

    /// Whether a new one would be no other.
    pub fn is_full(&self, now: T) -> bool {
        self.full_at <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    const PACE: Pace = Pace { burst: 60, per_second: 10 };

    fn n_taken(bucket: &mut Bucket<Instant>, now: Instant) -> usize {
        (0..1_000).filter(|_| bucket.take(now).is_ok()).count()
    }

    #[test]
    fn a_burst_passes_and_then_so_many_a_second() {
        let now = Instant::now();
        let mut bucket = Bucket::full(PACE, now);
        assert_eq!(n_taken(&mut bucket, now), 60);
        let later = now + Duration::from_secs(1);
        assert_eq!(n_taken(&mut bucket, later), 10);
        let much_later = later + Duration::from_secs(3_600);
        assert_eq!(n_taken(&mut bucket, much_later), 60, "no more than a burst is saved up");
    }

    #[test]
    fn a_refusal_says_how_long_to_wait_and_takes_nothing() {
        let now = Instant::now();
        let mut bucket = Bucket::full(PACE, now);
        assert_eq!(n_taken(&mut bucket, now), 60);
        let wait = bucket.take(now).expect_err("it is empty");
        assert_eq!(wait, PACE.each());
        let almost = now + wait - Duration::from_nanos(1);
        assert_eq!(bucket.take(almost), Err(Duration::from_nanos(1)));
        assert_eq!(bucket.take(now + wait), Ok(()));
    }

    #[test]
    fn an_even_stream_at_the_pace_is_never_refused() {
        let start = Instant::now();
        let mut bucket = Bucket::full(PACE, start);
        assert_eq!(n_taken(&mut bucket, start), 60);
        for n in 1..10_000 {
            assert_eq!(bucket.take(start + PACE.each() * n), Ok(()), "{n}");
        }
    }

    #[test]
    fn a_bucket_that_nobody_takes_from_is_full_again() {
        let now = Instant::now();
        let mut bucket = Bucket::full(PACE, now);
        assert!(bucket.is_full(now));
        assert_eq!(bucket.take(now), Ok(()));
        assert!(!bucket.is_full(now));
        assert!(bucket.is_full(now + PACE.each()));
    }
}
