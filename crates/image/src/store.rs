//! The images of this host: found, verified, removed, kept from being lost.

use crate::content::digest_of_hex;
use crate::durable;
use crate::error::ImageError;
use crate::helper::Helper;
use crate::layout::Layout;
use crate::limits::Limits;
use crate::meta::{ImageMeta, measure};
use crate::mount;
use model::ids::Digest;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The images below one data directory, mounted below one runtime directory.
///
/// Only the control process imports or removes; it calls [`ImageStore::mount`] from within the
/// instance's mount namespace. All methods block and may be called from several threads.
#[derive(Debug)]
pub struct ImageStore {
    pub(crate) layout: Layout,
    pub(crate) helper: Helper,
    pub(crate) limits: Limits,
    /// Held while a mount point changes, so that an image is mounted once however many ask.
    mounting: Mutex<()>,
    /// Held while an image appears or disappears together with its documents.
    publishing: Mutex<()>,
}

impl ImageStore {
    /// Opens the store, making its directories, and clears what a crash left half-made.
    ///
    /// # Errors
    /// [`ImageError::Io`] when the data directory cannot be written.
    pub fn open(data_dir: &Path, runtime_dir: &Path) -> Result<Self, ImageError> {
        let store = Self {
            layout: Layout::open(data_dir, runtime_dir)?,
            helper: Helper::default(),
            limits: Limits::default(),
            mounting: Mutex::new(()),
            publishing: Mutex::new(()),
        };
        let blobs: Vec<Digest> =
            names_in(&store.layout.blobs())?.iter().filter_map(|n| digest_of_hex(n)).collect();
        store.remove_unused(&blobs)?;
        Ok(store)
    }

    /// The same store with another unpacking program than the running one.
    #[must_use]
    pub fn with_helper(self, helper: Helper) -> Self {
        Self { helper, ..self }
    }

    /// The same store with other bounds.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// What is known of the image.
    ///
    /// # Errors
    /// [`ImageError::Missing`]; [`ImageError::Damaged`] when its record cannot be read.
    pub fn meta(&self, digest: &Digest) -> Result<ImageMeta, ImageError> {
        let path = self.layout.meta(digest);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(ImageError::Missing { digest: digest.clone() });
            }
            Err(error) => return Err(ImageError::io("read", &path)(error)),
        };
        ImageMeta::parse(digest, &bytes)
            .map_err(|why| ImageError::Damaged { digest: digest.clone(), why })
    }

    /// All images, in order of their digests; those with a damaged record are left out and logged.
    ///
    /// # Errors
    /// [`ImageError::Io`] when the directory or a record cannot be read.
    pub fn list(&self) -> Result<Vec<ImageMeta>, ImageError> {
        let mut digests: Vec<Digest> =
            self.image_names()?.iter().filter_map(|name| digest_of_hex(name)).collect();
        digests.sort();
        let mut metas = Vec::with_capacity(digests.len());
        for digest in &digests {
            match self.meta(digest) {
                Ok(meta) => metas.push(meta),
                Err(error @ (ImageError::Damaged { .. } | ImageError::Missing { .. })) => {
                    tracing::warn!(%digest, %error, "image left out");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(metas)
    }

    /// Makes sure that the image is mounted; returns where.
    ///
    /// Checked here: the record, the size, and by the kernel the checksum of the superblock. The
    /// whole content is checked by [`Self::verify`], which takes as long as reading it.
    ///
    /// # Errors
    /// [`ImageError::Missing`], [`ImageError::Damaged`], [`ImageError::Io`].
    pub fn mount(&self, digest: &Digest) -> Result<PathBuf, ImageError> {
        let target = self.layout.mount_point(digest);
        let _changing = locked(&self.mounting);
        if mount::is_mounted(&target)? {
            return Ok(target);
        }
        let meta = self.meta(digest)?;
        let erofs = self.layout.erofs(digest);
        let size = std::fs::metadata(&erofs).map_err(ImageError::io("look at", &erofs))?.len();
        if size != meta.size_bytes {
            let why = format!("it has {size} bytes instead of {}", meta.size_bytes);
            return Err(ImageError::Damaged { digest: digest.clone(), why });
        }
        durable::make_dir(&target)?;
        mount::mount_erofs(&erofs, &target)?;
        Ok(target)
    }

    /// Unmounts the image; does nothing when it is not mounted.
    ///
    /// # Errors
    /// [`ImageError::Io`] with `ResourceBusy` while something uses it.
    pub fn unmount(&self, digest: &Digest) -> Result<(), ImageError> {
        let target = self.layout.mount_point(digest);
        let _changing = locked(&self.mounting);
        mount::unmount_erofs(&target)
    }

    /// Compares every byte of the image with what was published.
    ///
    /// # Errors
    /// [`ImageError::Damaged`], [`ImageError::Missing`], [`ImageError::Io`].
    pub fn verify(&self, digest: &Digest) -> Result<(), ImageError> {
        let meta = self.meta(digest)?;
        let (size_bytes, erofs_digest) = measure(&self.layout.erofs(digest))?;
        if (size_bytes, &erofs_digest) == (meta.size_bytes, &meta.erofs_digest) {
            return Ok(());
        }
        let why = format!("its file is {erofs_digest} instead of {}", meta.erofs_digest);
        Err(ImageError::Damaged { digest: digest.clone(), why })
    }

    /// Unmounts and removes the image with the documents that only it had; does nothing when that
    /// was done before. The caller knows that no machine refers to it.
    ///
    /// # Errors
    /// [`ImageError::Io`], with `ResourceBusy` while it is used; a repeat helps.
    pub fn remove(&self, digest: &Digest) -> Result<(), ImageError> {
        self.unmount(digest)?;
        let dir = self.layout.image_dir(digest);
        if !dir.exists() {
            return Ok(());
        }
        let _publishing = self.publishing();
        // A damaged record must not keep an image from being removed; its blobs stay.
        let blobs = self.meta(digest).map(|meta| meta.blobs).unwrap_or_default();
        let doomed = self.layout.temporary();
        durable::rename(&dir, &doomed)?;
        durable::sync_parent(&dir)?;
        durable::remove_tree(&doomed)?;
        self.remove_unused(&blobs)
    }

    /// Moves every image not in `known` to the quarantine; returns where to.
    ///
    /// # Errors
    /// [`ImageError::Io`]; what was moved before stays moved.
    pub fn reconcile(&self, known: &HashSet<Digest>) -> Result<Vec<PathBuf>, ImageError> {
        let is_known =
            |name: &String| digest_of_hex(name).is_some_and(|digest| known.contains(&digest));
        let names = self.image_names()?;
        names.iter().filter(|name| !is_known(name)).map(|name| self.quarantine(name)).collect()
    }

    fn quarantine(&self, name: &str) -> Result<PathBuf, ImageError> {
        let place = self.layout.quarantine();
        durable::make_dir(&place)?;
        let free = (0_u32..)
            .map(|n| place.join(format!("{name}.{n}")))
            .find(|path| !path.exists())
            .expect("a free number exists");
        let from = self.layout.images().join(name);
        durable::rename(&from, &free)?;
        durable::sync_parent(&from)?;
        Ok(free)
    }

    /// The image if it is here and whole; a damaged one makes way for a new import.
    pub(crate) fn find_whole(&self, digest: &Digest) -> Result<Option<ImageMeta>, ImageError> {
        match self.verify(digest).and_then(|()| self.meta(digest)) {
            Ok(meta) => Ok(Some(meta)),
            Err(ImageError::Missing { .. }) if !self.layout.image_dir(digest).exists() => Ok(None),
            Err(error @ (ImageError::Damaged { .. } | ImageError::Missing { .. })) => {
                self.unmount(digest)?;
                let place = self.quarantine(digest.hex())?;
                tracing::warn!(%digest, %error, place = %place.display(), "image replaced");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Keeps others from publishing or removing while the guard lives.
    pub(crate) fn publishing(&self) -> MutexGuard<'_, ()> {
        locked(&self.publishing)
    }

    /// Removes those of `blobs` that no image in the store was made from.
    pub(crate) fn remove_unused(&self, blobs: &[Digest]) -> Result<(), ImageError> {
        let used: HashSet<Digest> = self.list()?.into_iter().flat_map(|meta| meta.blobs).collect();
        let mut unused = blobs.iter().filter(|blob| !used.contains(blob));
        unused.try_for_each(|blob| durable::remove_file(&self.layout.blob(blob)))
    }

    fn image_names(&self) -> Result<Vec<String>, ImageError> {
        names_in(&self.layout.images())
    }
}

/// Names in a directory; those that are not text cannot be ours and are left alone.
fn names_in(dir: &Path) -> Result<Vec<String>, ImageError> {
    let entries = std::fs::read_dir(dir).map_err(ImageError::io("list", dir))?;
    let names: Result<Vec<_>, _> =
        entries.map(|entry| entry.map(|entry| entry.file_name())).collect();
    let names = names.map_err(ImageError::io("list", dir))?;
    Ok(names.into_iter().filter_map(|name| name.into_string().ok()).collect())
}

/// The locks here guard no data, so one whose holder panicked is as good as any.
fn locked(lock: &Mutex<()>) -> MutexGuard<'_, ()> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}
