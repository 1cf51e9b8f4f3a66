//! How far a pull is: written by those who work, read by those who wait.

use crate::error::ControlError;
use crate::facade::{LayerProgress, PullProgress, PullStage};
use image::{BlobRef, Progress, Step};
use model::Digest;
use std::sync::Arc;
use store::ImageRecord;
use tokio::sync::watch;

/// What a pull led to.
#[derive(Clone, Debug)]
pub(super) struct Brought {
    pub(super) record: ImageRecord,
    /// Whether this pull put it there.
    pub(super) is_new: bool,
}

pub(super) type Outcome = Result<Brought, Arc<ControlError>>;

/// What those who wait for a pull see.
#[derive(Clone, Debug)]
pub(super) struct JobState {
    pub(super) progress: PullProgress,
    /// Set once, at the end.
    pub(super) outcome: Option<Outcome>,
}

impl JobState {
    fn begun(digest: Digest) -> Self {
        let progress = PullProgress {
            stage: PullStage::Resolving,
            digest: Some(digest),
            layers: Vec::new(),
            done_bytes: 0,
            total_bytes: 0,
        };
        Self { progress, outcome: None }
    }

    pub(super) fn ended(brought: Brought) -> Self {
        let mut state = Self::begun(brought.record.image.digest.clone());
        state.progress.stage = PullStage::Done;
        state.outcome = Some(Ok(brought));
        state
    }
}

/// The writers' side; clones write to the same board.
#[derive(Clone, Debug)]
pub(super) struct Board {
    state: Arc<watch::Sender<JobState>>,
}

impl Board {
    pub(super) fn new(digest: Digest) -> (Self, watch::Receiver<JobState>) {
        let (sender, receiver) = watch::channel(JobState::begun(digest));
        (Self { state: Arc::new(sender) }, receiver)
    }

    /// Lists the blobs; nothing of them is here yet.
    pub(super) fn list(&self, blobs: &[BlobRef]) {
        let layers = blobs.iter().map(|blob| LayerProgress {
            digest: blob.digest.clone(),
            done_bytes: 0,
            total_bytes: blob.size_bytes,
        });
        self.change(|progress| {
            progress.layers = layers.collect();
            progress.stage = PullStage::Downloading;
        });
    }

    /// Notes how much of a blob is here.
    pub(super) fn put(&self, blob: &Digest, done_bytes: u64) {
        self.change(|progress| {
            if let Some(layer) = progress.layers.iter_mut().find(|layer| layer.digest == *blob) {
                layer.done_bytes = done_bytes;
            }
        });
    }

    pub(super) fn stage(&self, stage: PullStage) {
        self.change(|progress| progress.stage = stage);
    }

    pub(super) fn end(&self, outcome: Outcome) {
        self.state.send_modify(|state| {
            if outcome.is_ok() {
                state.progress.stage = PullStage::Done;
            }
            state.outcome = Some(outcome);
        });
    }

    fn change(&self, change: impl FnOnce(&mut PullProgress)) {
        self.state.send_modify(|state| {
            let progress = &mut state.progress;
            change(progress);
            let sum = |size: fn(&LayerProgress) -> u64| {
                progress.layers.iter().map(size).fold(0, u64::saturating_add)
            };
            let (done, total) = (sum(|layer| layer.done_bytes), sum(|layer| layer.total_bytes));
            (progress.done_bytes, progress.total_bytes) = (done, total);
        });
    }
}

impl Progress for Board {
    fn report(&self, step: Step) {
        self.stage(match step {
            Step::Reading { .. } => PullStage::Downloading,
            Step::Unpacking { .. } => PullStage::Unpacking,
            Step::Packing | Step::Publishing => PullStage::Packing,
        });
    }
}
