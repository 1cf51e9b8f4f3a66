//! Images that go: one by one, or by a plan.
//!
//! Who needs an image is recorded elsewhere, in the store's `refs`; an image here and its record
//! there cannot change in one step. A mark in the image's directory (`unclaimed`) bridges the gap:
//! it is set before an image can be in the record, and again before the record is asked to let it
//! go. What carries the mark and is in no record may be removed; what is in no record without the
//! mark is put away, never destroyed.

use crate::DOOR;
use crate::content::digest_of_hex;
use crate::error::ImageError;
use crate::gc::PrunePlan;
use crate::layout::UNCLAIMED;
use crate::mount;
use crate::pull::before_window;
use crate::store::ImageStore;
use model::ids::Digest;
use model::units::UnixMs;
use std::collections::HashSet;
use std::path::PathBuf;

/// What was done about a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PruneOutcome {
    /// Images that are gone.
    pub removed: Vec<Digest>,
    /// Images that somebody needs after all.
    pub kept: Vec<Digest>,
    /// Bytes of the images that are gone.
    pub freed_bytes: u64,
}

impl ImageStore {
    /// Notes that the image is recorded: from now on it is never removed just because no record
    /// knows it. Does nothing when that was noted before.
    ///
    /// Call it when the record of a new image is committed.
    ///
    /// # Errors
    /// [`ImageError::Io`].
    pub fn claim(&self, digest: &Digest) -> Result<(), ImageError> {
        Ok(durable::remove_file(&self.layout.unclaimed(digest))?)
    }

    /// Removes the image when `let_go`, called once, has taken it out of the record for good; tells
    /// whether it had. Dies it in between, [`Self::reconcile`] does the rest.
    ///
    /// # Errors
    /// [`ImageError::Io`], with `ResourceBusy` while something uses its mount; a repeat helps.
    pub fn remove_if(
        &self,
        digest: &Digest,
        let_go: impl FnOnce() -> bool,
    ) -> Result<bool, ImageError> {
        if self.layout.image_dir(digest).exists() {
            self.mark(digest)?;
        }
        if !let_go() {
            self.claim(digest)?;
            return Ok(false);
        }
        failpoint::hit("image.remove.let_go");
        self.remove(digest).map(|()| true)
    }

    /// Sets the mark. A disk too full for it must not keep images from going: without the mark a
    /// crash leads to the quarantine.
    fn mark(&self, digest: &Digest) -> Result<(), ImageError> {
        let mark = self.layout.unclaimed(digest);
        let marked = DOOR.replace(&self.layout.temporary(), &mark, b"");
        match marked.map_err(ImageError::from) {
            Err(error) if error.is_disk_full() => {
                tracing::warn!(%digest, "no room to mark an image that goes");
                Ok(())
            }
            result => result,
        }
    }

    /// Unmounts and removes the image with the documents that only it had; does nothing when that
    /// was done before. The caller knows that no machine refers to it.
    ///
    /// # Errors
    /// [`ImageError::Io`], with `ResourceBusy` while it is used; a repeat helps.
    pub fn remove(&self, digest: &Digest) -> Result<(), ImageError> {
        let publishing = self.publishing();
        self.gates.with(digest, |gate| {
            mount::unmount_erofs(&self.layout.mount_point(digest))?;
            gate.is_checked = false;
            let dir = self.layout.image_dir(digest);
            if !dir.exists() {
                return Ok(());
            }
            let doomed = self.layout.temporary();
            DOOR.rename(&dir, &doomed)?;
            durable::sync_parent(&dir)?;
            Ok::<_, ImageError>(durable::remove_tree(&doomed)?)
        })?;
        failpoint::hit("image.remove.sweep");
        self.sweep(&publishing, before_window(model::clock::now()))
    }

    /// Removes the images of the plan, asking `let_go` (as [`Self::remove_if`]) for each, and the
    /// blobs of every pull that nobody is at work on. A dry run is the plan itself.
    ///
    /// # Errors
    /// Those of [`Self::remove_if`]; what was removed before stays removed.
    pub fn prune(
        &self,
        plan: &PrunePlan,
        mut let_go: impl FnMut(&Digest) -> bool,
        now: UnixMs,
    ) -> Result<PruneOutcome, ImageError> {
        let mut outcome = PruneOutcome::default();
        for (digest, size_bytes) in &plan.images {
            if self.remove_if(digest, || let_go(digest))? {
                outcome.removed.push(digest.clone());
                outcome.freed_bytes += size_bytes;
            } else {
                outcome.kept.push(digest.clone());
            }
        }
        self.sweep_blobs(now)?;
        Ok(outcome)
    }

    /// Makes the store agree with the record: an image in `known` is claimed, one that carries the
    /// mark is removed, any other is moved to the quarantine; returns where to.
    ///
    /// # Errors
    /// [`ImageError::Io`]; what was done before stays done.
    pub fn reconcile(&self, known: &HashSet<Digest>) -> Result<Vec<PathBuf>, ImageError> {
        let mut moved = Vec::new();
        for name in self.image_names()? {
            let dir = self.layout.images().join(&name);
            match digest_of_hex(&name) {
                Some(digest) if known.contains(&digest) => self.claim(&digest)?,
                Some(digest) if dir.join(UNCLAIMED).exists() => {
                    tracing::info!(%digest, "image that nobody recorded removed");
                    self.remove(&digest)?;
                }
                _ => moved.push(DOOR.set_aside(&dir, &self.layout.quarantine())?),
            }
        }
        Ok(moved)
    }
}
