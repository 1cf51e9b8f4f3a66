//! A pull, as its caller sees it.

use super::Job;
use super::board::{Brought, JobState};
use crate::control::Control;
use crate::error::ControlError;
use crate::facade::{PullProgress, PulledImage};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Shortest time between two reports of progress: ten a second are enough for an eye.
const REPORT_EVERY: Duration = Duration::from_millis(100);

/// A pull under way or done. It goes on when this is dropped.
#[derive(Debug)]
pub struct PullHandle {
    control: Control,
    state: watch::Receiver<JobState>,
    cached_because: Option<String>,
    next_at: Instant,
}

impl PullHandle {
    pub(crate) fn new(control: Control, job: Job, cached_because: Option<String>) -> Self {
        let Job(mut state) = job;
        state.mark_changed();
        Self { control, state, cached_because, next_at: Instant::now() }
    }

    /// The latest progress, once there is something new, at most ten times a second; `None` when the
    /// pull has ended.
    pub async fn next(&mut self) -> Option<PullProgress> {
        tokio::time::sleep_until(self.next_at).await;
        self.state.changed().await.ok()?;
        let state = self.state.borrow_and_update();
        self.next_at = Instant::now() + REPORT_EVERY;
        state.outcome.is_none().then(|| state.progress.clone())
    }

    /// Waits for the image.
    ///
    /// # Errors
    /// Why it did not come.
    pub async fn finish(self) -> Result<PulledImage, ControlError> {
        let Brought { record, is_new } = Job(self.state).outcome().await?;
        let info = self.control.image(&record.image.digest)?.info;
        Ok(PulledImage { info, is_new, cached_because: self.cached_because })
    }
}
