//! How fast bytes come.

use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;

/// What counts: long enough to read a number, short enough to see a stall.
const WINDOW: Duration = Duration::from_secs(3);

/// Bytes that were here at the moments of the last seconds; at most one entry for each line of a
/// pull.
#[derive(Debug, Default)]
pub(super) struct Speed(VecDeque<(Instant, u64)>);

impl Speed {
    /// Bytes per second over the last seconds, `done_bytes` being here at `now`.
    pub(super) fn at(&mut self, now: Instant, done_bytes: u64) -> u64 {
        self.0.push_back((now, done_bytes));
        while self.0.len() > 2 && self.0.get(1).is_some_and(|(at, _)| now - *at >= WINDOW) {
            self.0.pop_front();
        }
        let Some((since, before_bytes)) = self.0.front() else { return 0 };
        let elapsed_ms = (now - *since).as_millis();
        let came_bytes = u128::from(done_bytes.saturating_sub(*before_bytes));
        let per_second = (came_bytes * 1000).checked_div(elapsed_ms).unwrap_or(0);
        u64::try_from(per_second).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_seconds_count() {
        let begin = Instant::now();
        let mut speed = Speed::default();
        let mut at = |ms, bytes| speed.at(begin + Duration::from_millis(ms), bytes);
        assert_eq!(at(0, 5_000_000), 0, "what was here before has not come");
        assert_eq!(at(0, 5_000_000), 0);
        assert_eq!(at(500, 5_500_000), 1_000_000);
        assert_eq!(at(4_000, 5_500_000), 0, "it has stalled for longer than the window");
        assert_eq!(at(5_000, 9_500_000), 4_000_000 * 1000 / 4500);
        assert_eq!(at(9_000, 0), 0, "never below zero");
    }
}
