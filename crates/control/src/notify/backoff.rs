//! When a letter is sent again, and when it is given up.

use model::{DurationMs, UnixMs};

/// Shortest wait before another try: the restart of a service.
pub const WAIT_FIRST: DurationMs = DurationMs::from_secs(5);

/// Longest wait before another try: whoever was away for a day learns it within the hour.
const WAIT_MAX: DurationMs = DurationMs::from_secs(3600);

/// A letter that does not arrive for so long is given up: its receiver is gone, or does not want it.
pub const GIVE_UP_AFTER: DurationMs = DurationMs::from_secs(24 * 3600);

/// How long to wait after `n_failures` tries, at least one.
///
/// Doubles each time, plus up to a half by `chance` (any number), so that letters which failed
/// together do not come together again.
pub(super) fn wait_after(n_failures: u32, chance: u64) -> DurationMs {
    let n_doublings = n_failures.saturating_sub(1).min(u64::BITS / 2);
    let least = WAIT_FIRST.0.saturating_mul(1 << n_doublings);
    let more = chance % (least / 2 + 1);
    DurationMs(least.saturating_add(more).min(WAIT_MAX.0))
}

/// The moment up to which letters are due, where the first is due at `first`: now, unless that lies
/// further away than any wait. Then the clock was set back, and the letter has waited.
pub(super) fn due_by(first: Option<UnixMs>, now: UnixMs) -> UnixMs {
    first.filter(|first| first.since(now) > WAIT_MAX).unwrap_or(now)
}

/// Whether it is too late for another try at a letter of `created_at`.
pub(super) fn is_too_late(created_at: UnixMs, now: UnixMs) -> bool {
    now.since(created_at) >= GIVE_UP_AFTER
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn waits_grow_from_seconds_to_an_hour() {
        let waits: Vec<u64> = (1..=12).map(|n| wait_after(n, 0).0 / 1000).collect();
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600]);
    }

    #[test]
    fn a_clock_set_back_keeps_no_letter_waiting() {
        let now = UnixMs(1_000_000);
        let check =
            |first: Option<UnixMs>, expected: UnixMs| assert_eq!(due_by(first, now), expected);
        check(None, now);
        check(Some(UnixMs(0)), now);
        check(Some(now.plus(WAIT_MAX)), now);
        check(Some(now.plus(GIVE_UP_AFTER)), now.plus(GIVE_UP_AFTER));
    }

    proptest! {
        #[test]
        fn a_wait_is_between_its_bounds(n_failures in any::<u32>(), chance in any::<u64>()) {
            let wait = wait_after(n_failures, chance);
            prop_assert!((WAIT_FIRST..=WAIT_MAX).contains(&wait));
            prop_assert!(wait <= wait_after(n_failures.saturating_add(1), 0).max(wait_after(n_failures, u64::MAX)));
        }

        #[test]
        fn chance_adds_at_most_a_half(n_failures in 1_u32..40, chance in any::<u64>()) {
            let (least, wait) = (wait_after(n_failures, 0), wait_after(n_failures, chance));
            prop_assert!(wait >= least && wait.0 <= least.0 + least.0 / 2);
        }

        #[test]
        fn another_failure_never_shortens_the_least_wait(n_failures in any::<u32>()) {
            let next = wait_after(n_failures.saturating_add(1), 0);
            prop_assert!(wait_after(n_failures, 0) <= next);
        }

        #[test]
        fn a_letter_is_tried_for_a_day(tries in prop::collection::vec(any::<u64>(), 64)) {
            let mut now = UnixMs(0);
            let mut n_tries = 0_u32;
            while !is_too_late(UnixMs(0), now) {
                let chance = tries[usize::try_from(n_tries).unwrap()];
                n_tries += 1;
                now = now.plus(wait_after(n_tries, chance));
            }
            prop_assert!((25..=40).contains(&n_tries), "{}", n_tries);
        }
    }
}
