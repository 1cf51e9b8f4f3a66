//! How often and when something is tried again.
//!
//! The waits are decided by a plain struct; chance comes in as an argument.

use crate::error::RegistryError;
use std::time::Duration;

/// Tries in a row without any success. With the usual first wait the four waits between them take
/// about three seconds, longer than the restart of a registry.
const TRIES_MAX: u32 = 5;
/// Longest wait between two tries that nobody asked for.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// Longest wait that a registry may ask for; one that wants more gets its wish: the caller learns
/// how much, and nobody is held up.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);

/// Counts failures in a row.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    first: Duration,
    n_failures: u32,
}

impl Backoff {
    /// No failure yet; the first wait takes at most `first`.
    pub(crate) fn new(first: Duration) -> Self {
        Self { first, n_failures: 0 }
    }

    /// Something came: the next failure is the first again.
    pub(crate) fn succeeded(&mut self) {
        self.n_failures = 0;
    }

    /// How long to wait before the next try after `error`; the error itself when there is none.
    ///
    /// Doubles with each failure and takes, by `chance` (any number), between half and all of it.
    pub(crate) fn failed(
        &mut self,
        error: RegistryError,
        chance: u32,
    ) -> Result<Duration, RegistryError> {
        self.n_failures += 1;
        if !error.is_retryable() || self.n_failures >= TRIES_MAX {
            return Err(error);
        }
        let doubled = self.first.saturating_mul(1 << (self.n_failures - 1)).min(WAIT_MAX);
        let jittered = doubled / 2 + (doubled / 2).mul_f64(f64::from(chance) / f64::from(u32::MAX));
        match error.retry_after() {
            Some(asked) if asked > RETRY_AFTER_MAX => Err(error),
            Some(asked) => Ok(asked.max(jittered)),
            None => Ok(jittered),
        }
    }
}

/// A number by chance; a host without randomness gets no jitter.
pub(crate) fn chance() -> u32 {
    getrandom::u32().unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: Duration = Duration::from_millis(250);

    fn limited(retry_after: Option<Duration>) -> RegistryError {
        RegistryError::RateLimited { host: "r.io".into(), retry_after, said_text: String::new() }
    }

    #[test]
    fn waits_double_within_their_bounds() {
        let mut longest = Backoff::new(BASE);
        let mut shortest = Backoff::new(BASE);
        for expected_ms in [250, 500, 1_000, 2_000] {
            let wait = longest.failed(limited(None), u32::MAX).expect("tried again");
            assert_eq!(wait, Duration::from_millis(expected_ms));
            let wait = shortest.failed(limited(None), 0).expect("tried again");
            assert_eq!(wait, Duration::from_millis(expected_ms / 2));
        }
        assert!(longest.failed(limited(None), 0).is_err());
    }

    #[test]
    fn success_starts_anew() {
        let mut backoff = Backoff::new(BASE);
        for _ in 0..100 {
            assert_eq!(backoff.failed(limited(None), 0).ok(), Some(BASE / 2));
            backoff.succeeded();
        }
    }

    #[test]
    fn a_registry_may_ask_for_time_but_not_for_all_of_it() {
        let asked = |secs| Backoff::new(BASE).failed(limited(Some(Duration::from_secs(secs))), 0);
        assert_eq!(asked(7).ok(), Some(Duration::from_secs(7)));
        assert_eq!(asked(0).ok(), Some(BASE / 2));
        assert_eq!(
            asked(3_600).expect_err("refused").retry_after(),
            Some(Duration::from_secs(3_600))
        );
    }

    #[test]
    fn what_a_retry_does_not_help_is_not_tried_again() {
        let denied = RegistryError::Denied {
            host: "r.io".into(),
            repository: "a".into(),
            said_text: String::new(),
        };
        assert!(Backoff::new(BASE).failed(denied, 0).is_err());
    }
}
