//! Disks that are kept for a while after an update to another image, and their end.
//!
//! Each has its own end in the store. One timer waits for the next of them; nothing is looked at in
//! between.

use crate::blocking::off_runtime;
use crate::error::ControlError;
use crate::inner::Inner;
use disk::DiskStore;
use model::{DurationMs, UnixMs};
use std::sync::Arc;
use std::time::Duration;
use store::{CheckpointRecord, Store};
use tokio::sync::Notify;

/// How long the disk of a machine is kept after an update to another image. Source: design,
/// section 4, "`rootfs.persist`".
pub const CHECKPOINT_RETENTION: DurationMs = DurationMs::from_secs(24 * 3_600);

/// Wait before a checkpoint that could not be removed is tried again.
const RETRY: Duration = Duration::from_secs(60);

/// Removes each checkpoint when its time has come.
pub(crate) async fn expire_for_ever(inner: Arc<Inner>) {
    loop {
        let busy = Arc::clone(&inner);
        let removed = off_runtime(move || expire_due(&busy.store, &busy.disks));
        let next = match removed.await {
            Ok(next) => next.map(|at| wait_until(at, model::clock::now())),
            Err(error) => {
                tracing::warn!(%error, "a checkpoint that has expired could not be removed");
                Some(RETRY)
            }
        };
        wait(next, &inner.checkpoint_kept).await;
    }
}

/// Waits until the next one expires, or there is a new one.
async fn wait(next: Option<Duration>, kept: &Notify) {
    match next {
        Some(wait) => drop(tokio::time::timeout(wait, kept.notified()).await),
        None => kept.notified().await,
    }
}

/// Never longer than a checkpoint lives: a clock that was set back keeps none for ever.
fn wait_until(at: UnixMs, now: UnixMs) -> Duration {
    at.since(now).to_std().min(CHECKPOINT_RETENTION.to_std())
}

/// Removes what has expired; answers when the next one will.
fn expire_due(store: &Store, disks: &DiskStore) -> Result<Option<UnixMs>, ControlError> {
    while let Some(next) = store.read(|reader| reader.next_checkpoint_to_expire())? {
        if next.expires_at > model::clock::now() {
            return Ok(Some(next.expires_at));
        }
        remove(store, disks, &next)?;
    }
    Ok(None)
}

/// The disk first: a record without a disk is found again, a disk without a record is not.
fn remove(
    store: &Store,
    disks: &DiskStore,
    checkpoint: &CheckpointRecord,
) -> Result<(), ControlError> {
    disks.remove_checkpoint(&checkpoint.machine, checkpoint.id.as_str())?;
    let id = checkpoint.id.clone();
    store.write_blocking("checkpoint.expire", move |tx| tx.delete_checkpoint(&id))?;
    tracing::info!(machine = %checkpoint.machine, checkpoint = %checkpoint.id, "it has expired");
    Ok(())
}

#[cfg(test)]
mod tests;
