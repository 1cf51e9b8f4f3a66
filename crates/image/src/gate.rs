//! One at a time, image by image: who mounts, checks or removes it.

use model::ids::Digest;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// What this process knows of an image; held while its mount point changes.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    /// Its whole content was compared with its record since this process opened the store.
    pub(crate) is_checked: bool,
}

/// The gates of all images that this process has dealt with: a few bytes for each.
#[derive(Debug, Default)]
pub(crate) struct Gates {
    by_digest: Mutex<HashMap<Digest, Arc<Mutex<Gate>>>>,
}

impl Gates {
    /// Does `work` while nobody else does anything to this image.
    pub(crate) fn with<T>(&self, digest: &Digest, work: impl FnOnce(&mut Gate) -> T) -> T {
        let gate = {
            let mut all = self.by_digest.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(all.entry(digest.clone()).or_default())
        };
        // What a gate knows is right even if its last holder panicked: it is set after the work.
        let mut gate = gate.lock().unwrap_or_else(PoisonError::into_inner);
        work(&mut gate)
    }

    /// Notes that the image's content is known to be as recorded.
    pub(crate) fn checked(&self, digest: &Digest) {
        self.with(digest, |gate| gate.is_checked = true);
    }
}
