//! From an image to a mounted file system that is what was published.
//!
//! The whole content is compared with the record once per boot of the host: at the mount, which
//! lives as long as the instance's mount namespace, and not at all when fs-verity makes the kernel
//! do it page by page. An image that was just made here counts as compared.

use crate::DOOR;
use crate::error::ImageError;
use crate::gate::Gate;
use crate::meta::{ImageMeta, measure};
use crate::mount;
use crate::store::ImageStore;
use crate::verity;
use model::ids::Digest;
use std::fs::File;
use std::path::PathBuf;

impl ImageStore {
    /// Makes sure that the image is mounted; returns where.
    ///
    /// The first mount since this process opened the store reads the whole image and compares it
    /// with its record, at the speed of SHA-256 or of the disk, whichever is slower, unless the
    /// file system has fs-verity. An image that is mounted already costs one system call.
    ///
    /// # Errors
    /// [`ImageError::Damaged`]: the image was moved to the quarantine, bring it in again.
    /// [`ImageError::Missing`], [`ImageError::Io`].
    pub fn mount(&self, digest: &Digest) -> Result<PathBuf, ImageError> {
        let target = self.layout.mount_point(digest);
        self.gates.with(digest, |gate| {
            if mount::is_mounted(&target)? {
                return Ok(target);
            }
            self.check(digest, gate).map_err(|error| self.put_away(digest, gate, error))?;
            durable::make_dir(&target)?;
            mount::mount_erofs(&self.layout.erofs(digest), &target)?;
            Ok(target)
        })
    }

    /// Where the file of the image is, for those who do not mount it. What is in it is known to be right
    /// after [`Self::mount`].
    #[must_use]
    pub fn file(&self, digest: &Digest) -> PathBuf {
        self.layout.erofs(digest)
    }

    /// Unmounts the image; does nothing when it is not mounted.
    ///
    /// # Errors
    /// [`ImageError::Io`] with `ResourceBusy` while something uses it.
    pub fn unmount(&self, digest: &Digest) -> Result<(), ImageError> {
        self.gates.with(digest, |_| mount::unmount_erofs(&self.layout.mount_point(digest)))
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

    /// The image if it is here and whole; a damaged one makes way for a new import.
    pub(crate) fn find_whole(&self, digest: &Digest) -> Result<Option<ImageMeta>, ImageError> {
        self.gates.with(digest, |gate| {
            // Whoever brings an image that is here has a reason to, so it is looked at again.
            gate.is_checked = false;
            match self.check(digest, gate).and_then(|()| self.meta(digest)) {
                Ok(meta) => Ok(Some(meta)),
                Err(ImageError::Missing { .. }) if !self.layout.image_dir(digest).exists() => {
                    Ok(None)
                }
                Err(error @ (ImageError::Damaged { .. } | ImageError::Missing { .. })) => {
                    mount::unmount_erofs(&self.layout.mount_point(digest))?;
                    match self.put_away(digest, gate, error) {
                        ImageError::Io { action, path, source } => {
                            Err(ImageError::Io { action, path, source })
                        }
                        _ => Ok(None),
                    }
                }
                Err(error) => Err(error),
            }
        })
    }

    /// Compares the image with its record, in the cheapest way that is sure.
    fn check(&self, digest: &Digest, gate: &mut Gate) -> Result<(), ImageError> {
        let meta = self.meta(digest)?;
        let erofs = self.layout.erofs(digest);
        let file = File::open(&erofs).map_err(ImageError::io("open", &erofs))?;
        let size = file.metadata().map_err(ImageError::io("look at", &erofs))?.len();
        if size != meta.size_bytes {
            let why = format!("it has {size} bytes instead of {}", meta.size_bytes);
            return Err(ImageError::Damaged { digest: digest.clone(), why });
        }
        let measured = verity::measure(&file).map_err(ImageError::io("measure", &erofs))?;
        let is_protected = measured.is_some() && measured == meta.verity_digest;
        if !is_protected && !gate.is_checked {
            self.verify(digest)?;
        }
        gate.is_checked = true;
        Ok(())
    }

    /// Moves a damaged image out of the way; returns the damage, or why it could not be moved.
    fn put_away(&self, digest: &Digest, gate: &mut Gate, error: ImageError) -> ImageError {
        if !matches!(error, ImageError::Damaged { .. } | ImageError::Missing { .. })
            || !self.layout.image_dir(digest).exists()
        {
            return error;
        }
        gate.is_checked = false;
        match DOOR.set_aside(&self.layout.image_dir(digest), &self.layout.quarantine()) {
            Ok(place) => {
                tracing::warn!(%digest, %error, place = %place.display(), "damaged image put away");
                error
            }
            Err(failure) => failure.into(),
        }
    }
}
