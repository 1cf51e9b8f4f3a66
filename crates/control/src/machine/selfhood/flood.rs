//! Bounds for those who write without end.

use model::bucket::{Bucket, Pace};
use std::time::Duration;
use tokio::time::Instant;

/// Writes that come from inside a machine at once without being refused.
const BURST: u32 = 200;

/// Writes a second that may go on for ever: fewer than the store commits one by one.
pub(crate) const PER_SECOND: u32 = 50;

/// Refused writes of one machine that get an entry in its trace within [`REFUSALS_WINDOW`]: the trace
/// is for reading, and a flood would cut off what led to it.
const REFUSALS_MAX: u32 = 60;

/// The window of [`REFUSALS_MAX`].
const REFUSALS_WINDOW: Duration = Duration::from_secs(60);

/// What has been written and refused lately.
#[derive(Debug)]
pub(in crate::machine) struct Flood {
    bucket: Bucket<Instant>,
    window_began: Instant,
    n_traced: u32,
    n_untraced: u64,
}

impl Default for Flood {
    fn default() -> Self {
        let now = Instant::now();
        let bucket = Bucket::full(Pace { burst: BURST, per_second: PER_SECOND }, now);
        Self { bucket, window_began: now, n_traced: 0, n_untraced: 0 }
    }
}

impl Flood {
    /// Whether one more write from inside may be made now.
    pub(super) fn admits(&mut self, now: Instant) -> bool {
        self.bucket.take(now).is_ok()
    }

    /// Whether a refused write gets an entry; then how many before it got none.
    pub(super) fn traces(&mut self, now: Instant) -> Option<u64> {
        if now.saturating_duration_since(self.window_began) >= REFUSALS_WINDOW {
            self.window_began = now;
            self.n_traced = 0;
        }
        if self.n_traced >= REFUSALS_MAX {
            self.n_untraced += 1;
            return None;
        }
        self.n_traced += 1;
        Some(std::mem::take(&mut self.n_untraced))
    }
}

/// The line of an entry about refusals that have none.
pub(super) fn untraced(n: u64) -> Option<String> {
    (n > 0).then(|| format!("{n} more were refused before it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_pass_at_their_pace() {
        let mut flood = Flood::default();
        let now = Instant::now();
        let n_admitted = (0..1000).filter(|_| flood.admits(now)).count();
        assert_eq!(n_admitted, 200);
        let later = now + Duration::from_secs(1);
        let n_admitted = (0..1000).filter(|_| flood.admits(later)).count();
        assert_eq!(n_admitted, 50);
    }

    #[test]
    fn refusals_are_counted_when_they_are_too_many_to_trace() {
        let mut flood = Flood::default();
        let now = Instant::now();
        let n_traced = (0..100).filter(|_| flood.traces(now).is_some()).count();
        assert_eq!(n_traced, 60);
        let later = now + REFUSALS_WINDOW;
        assert_eq!(flood.traces(later), Some(40));
        assert_eq!(flood.traces(later), Some(0));
        assert_eq!(untraced(0), None);
    }
}
