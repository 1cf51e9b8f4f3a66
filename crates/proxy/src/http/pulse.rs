//! When did something move last?

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// The moment of the last byte, readable from everywhere.
#[derive(Debug)]
pub(crate) struct Pulse {
    begun: Instant,
    /// Milliseconds after `begun`.
    moved_ms: AtomicU64,
}

impl Pulse {
    /// Moved just now.
    pub(crate) fn new() -> Self {
        Self { begun: Instant::now(), moved_ms: AtomicU64::new(0) }
    }

    /// Something moves now.
    pub(crate) fn touch(&self) {
        let since = self.begun.elapsed().as_millis();
        self.moved_ms.store(u64::try_from(since).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// When something moved last.
    pub(crate) fn moved_at(&self) -> Instant {
        self.begun + Duration::from_millis(self.moved_ms.load(Ordering::Relaxed))
    }

    /// For how long nothing has moved.
    pub(crate) fn silence(&self) -> Duration {
        self.moved_at().elapsed()
    }

    /// Returns when nothing has moved for `longest`.
    pub(crate) async fn stopped(&self, longest: Duration) {
        while self.silence() < longest {
            tokio::time::sleep_until(self.moved_at() + longest).await;
        }
    }
}
