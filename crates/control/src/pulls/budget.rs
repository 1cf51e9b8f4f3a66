//! Unused images go when all images together take too much.

use crate::blocking::off_runtime;
use crate::error::ControlError;
use crate::inner::Inner;
use image::{Keep, PruneCandidate, plan_prune};
use model::{Digest, DurationMs, UnixMs};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use store::{ImageRecord, StoreError};

/// Images take at most this part of the data file system, unless the operator says otherwise.
const SHARE: u64 = 5;

/// An image that was used within this time stays, whatever the budget: whoever tries things out
/// creates a machine from it again.
const GRACE: DurationMs = DurationMs::from_secs(3_600);

/// Time between two looks when no image comes: what was too young has grown old.
const LOOK_EVERY: Duration = GRACE.to_std();

/// The budget of those who name none, in bytes.
pub(super) fn default_bytes(data_dir: &Path) -> Result<u64, ControlError> {
    Ok(disk::room(data_dir)?.total_bytes / SHARE)
}

/// All images, with what decides whether they may go.
pub(crate) fn shelf(inner: &Inner) -> Result<Vec<(ImageRecord, PruneCandidate)>, ControlError> {
    let (records, used) =
        inner.store.read(|reader| Ok((reader.images()?, reader.digests_in_use()?)))?;
    let candidate = |record: ImageRecord| {
        let digest = record.image.digest.clone();
        let is_in_use = used.contains(&digest) || inner.pulls.is_wanted(&digest);
        let (size_bytes, last_used_at) = (record.size_bytes, record.last_used_at);
        (record, PruneCandidate { digest, size_bytes, last_used_at, is_in_use })
    };
    Ok(records.into_iter().map(candidate).collect())
}

/// Takes an image out of the store's record, unless somebody needs it. Blocking, on a thread of the
/// runtime.
pub(crate) fn let_go(inner: &Inner, digest: &Digest) -> Result<(), ControlError> {
    let target = digest.clone();
    let deleted = inner.write_freeing("image.remove", move |tx| tx.delete_image(&target));
    match tokio::runtime::Handle::current().block_on(deleted) {
        // Without a record it is nobody's.
        Ok(()) | Err(StoreError::NotFound { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Whether the image is out of the record now: nobody needs it, and nobody has begun to.
pub(crate) fn is_let_go(inner: &Inner, digest: &Digest) -> bool {
    !inner.pulls.is_wanted(digest)
        && let_go(inner, digest)
            .inspect_err(|error| tracing::debug!(%digest, %error, "an image stays"))
            .is_ok()
}

/// Keeps the images within the budget: at once, after each pull, and now and then.
pub(crate) async fn free_for_ever(inner: Arc<Inner>) {
    loop {
        let busy = Arc::clone(&inner);
        if let Err(error) = off_runtime(move || free(&busy, model::clock::now())).await {
            tracing::warn!(%error, "the budget for images cannot be kept");
        }
        // Either way it is time for the next look.
        drop(tokio::time::timeout(LOOK_EVERY, inner.pulls.brought.notified()).await);
    }
}

fn free(inner: &Inner, now: UnixMs) -> Result<(), ControlError> {
    let young = UnixMs(now.0.saturating_sub(GRACE.0));
    let mut shelf: Vec<PruneCandidate> =
        shelf(inner)?.into_iter().map(|(_, candidate)| candidate).collect();
    for image in &mut shelf {
        image.is_in_use |= image.last_used_at > young;
    }
    for (digest, size_bytes) in plan_prune(&shelf, Keep::Bytes(inner.pulls.budget_bytes)).images {
        failpoint::hit("image.budget");
        if inner.images.remove_if(&digest, || is_let_go(inner, &digest))? {
            tracing::info!(%digest, size_bytes, "an unused image went to keep the budget");
        }
    }
    Ok(())
}
