//! Where things are below the data and runtime directories.

use crate::error::ImageError;
use crate::tree;
use model::ids::Digest;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Name of the mark in an image's directory.
pub(crate) const UNCLAIMED: &str = "unclaimed";

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
        tree::unmount_left(&layout.tmp())?;
        durable::remove_tree(&layout.tmp())?;
        let blobs = [layout.blobs(), layout.partials(), layout.pulls()];
        for dir in [layout.tmp(), layout.images()].into_iter().chain(blobs) {
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

    /// The mark of an image that nobody has recorded yet, or that nobody needs any more.
    pub(crate) fn unclaimed(&self, digest: &Digest) -> PathBuf {
        self.image_dir(digest).join(UNCLAIMED)
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

    /// Where blobs are while they come.
    pub(crate) fn partials(&self) -> PathBuf {
        self.data.join("blobs").join("partial")
    }

    pub(crate) fn partial(&self, digest: &Digest) -> PathBuf {
        self.partials().join(digest.hex())
    }

    /// Where the records of pulls are.
    pub(crate) fn pulls(&self) -> PathBuf {
        self.data.join("blobs").join("pulls")
    }

    pub(crate) fn pull(&self, manifest: &Digest) -> PathBuf {
        self.pulls().join(manifest.hex())
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
