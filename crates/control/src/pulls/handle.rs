//! A pull, as its caller sees it.

use super::Job;
use super::board::{Brought, JobState};
use crate::control::Control;
use crate::error::ControlError;
use crate::facade::{ImageInfo, PullProgress, PulledImage};
use model::spec::ImageRef;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Shortest time between two reports of progress: ten a second are enough for an eye.
const REPORT_EVERY: Duration = Duration::from_millis(100);

/// A pull under way or done. It goes on when this is dropped.
#[derive(Debug)]
pub struct PullHandle {
    control: Control,
    image: ImageRef,
    reports: Reports,
    cached_because: Option<String>,
}

/// The progress of a pull, told no faster than an eye can follow, and its end at once.
#[derive(Debug)]
struct Reports {
    state: watch::Receiver<JobState>,
    next_at: Instant,
}

impl PullHandle {
    pub(crate) fn new(control: Control, job: Job, cached_because: Option<String>) -> Self {
        let Job { mut state, image } = job;
        state.mark_changed();
        let reports = Reports { state, next_at: Instant::now() };
        Self { control, image, reports, cached_because }
    }

    /// The latest progress, once there is something new, at most ten times a second; `None` as soon
    /// as the pull has ended.
    pub async fn next(&mut self) -> Option<PullProgress> {
        self.reports.next().await
    }

    /// Waits for the image.
    ///
    /// # Errors
    /// Why it did not come.
    pub async fn finish(self) -> Result<PulledImage, ControlError> {
        let job = Job { state: self.reports.state, image: self.image };
        let Brought { record, is_new } = job.outcome().await?;
        let info = self.control.image(&record.image.digest)?.info;
        let info = ImageInfo { image: record.image, ..info };
        Ok(PulledImage { info, is_new, cached_because: self.cached_because })
    }
}

impl Reports {
    async fn next(&mut self) -> Option<PullProgress> {
        let mut end = self.state.clone();
        let ended = end.wait_for(|state| state.outcome.is_some());
        if tokio::time::timeout_at(self.next_at, ended).await.is_ok() {
            return None;
        }
        self.state.changed().await.ok()?;
        let state = self.state.borrow_and_update();
        self.next_at = Instant::now() + REPORT_EVERY;
        state.outcome.is_none().then(|| state.progress.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facade::PullStage;
    use crate::pulls::board::Board;
    use std::sync::Arc;

    #[tokio::test]
    async fn the_end_is_told_at_once_and_progress_now_and_then() {
        let digest = format!("sha256:{}", "0".repeat(64)).parse().expect("a digest");
        let (board, mut state) = Board::new(digest);
        state.mark_changed();
        let mut reports = Reports { state, next_at: Instant::now() };
        let first = reports.next().await.expect("it goes on");
        assert_eq!(first.stage, PullStage::Resolving);
        board.stage(PullStage::Unpacking);
        // Not yet: somebody was told a moment ago. With no time to wait, only what is so now counts.
        let at_once = tokio::time::timeout(Duration::ZERO, reports.next()).await;
        assert!(at_once.is_err(), "{at_once:?}");
        board.end(Err(Arc::new(ControlError::ShuttingDown)));
        let at_once = tokio::time::timeout(Duration::ZERO, reports.next()).await;
        assert_eq!(at_once, Ok(None));
    }
}
