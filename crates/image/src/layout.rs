//! Where things are below the data and runtime directories.

use crate::durable;
use crate::error::ImageError;
use model::ids::Digest;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// The directories of one store.
#[derive(Debug)]
pub(crate) struct Layout {
    data: PathBuf,
    runtime: PathBuf,
    n_temporaries: AtomicU64,
}

impl Layout {
    /// Makes the directories and clears what a crash left half-made.
    pub(crate) fn open(data: &Path, runtime: &Path) -> Result<Self, ImageError> {
        let layout = Self {
            data: data.to_owned(),
            runtime: runtime.to_owned(),
            n_temporaries: AtomicU64::new(0),
        };
        durable::remove_tree(&layout.tmp())?;
        for dir in [layout.tmp(), layout.images(), layout.blobs()] {
            durable::make_private_dir(&dir)?;
        }
        Ok(layout)
    }

    pub(crate) fn images(&self) -> PathBuf {
        self.data.join("images")
    }

    pub(crate) fn image_dir(&self, digest: &Digest) -> PathBuf {
        self.images().join(digest.hex())
    }

    pub(crate) fn erofs(&self, digest: &Digest) -> PathBuf {
        self.image_dir(digest).join("image.erofs")
    }

    pub(crate) fn meta(&self, digest: &Digest) -> PathBuf {
        self.image_dir(digest).join("meta.json")
    }

    pub(crate) fn mount_point(&self, digest: &Digest) -> PathBuf {
        self.runtime.join("images").join(digest.hex())
    }

    pub(crate) fn quarantine(&self) -> PathBuf {
        self.data.join("quarantine").join("images")
    }

    pub(crate) fn blob(&self, digest: &Digest) -> PathBuf {
        self.blobs().join(digest.hex())
    }

    pub(crate) fn blobs(&self) -> PathBuf {
        self.data.join("blobs").join("sha256")
    }

    fn tmp(&self) -> PathBuf {
        self.data.join("tmp").join("image")
    }

    /// A name below the temporary directory that this process has not used before.
    pub(crate) fn temporary(&self) -> PathBuf {
        let n = self.n_temporaries.fetch_add(1, Ordering::Relaxed);
        self.tmp().join(format!("{}.{n}", std::process::id()))
    }

    /// A directory for one piece of work, removed when it is dropped.
    pub(crate) fn workshop(&self) -> Result<Workshop, ImageError> {
        let dir = self.temporary();
        durable::make_dir(&dir)?;
        Ok(Workshop { dir })
    }
}

/// A temporary directory of one piece of work.
#[derive(Debug)]
pub(crate) struct Workshop {
    dir: PathBuf,
}

impl Workshop {
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        if let Err(error) = durable::remove_tree(&self.dir) {
            tracing::warn!(dir = %self.dir.display(), %error, "temporary directory left behind");
        }
    }
}
