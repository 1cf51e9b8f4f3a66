//! The images of this host, and what is known of them.

use crate::blobs::Blobs;
use crate::content::digest_of_hex;
use crate::error::ImageError;
use crate::gate::Gates;
use crate::helper::Helper;
use crate::layout::Layout;
use crate::limits::Limits;
use crate::meta::ImageMeta;
use crate::pull::before_window;
use model::ids::Digest;
use model::units::UnixMs;
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The images below one data directory, mounted below one runtime directory.
///
/// Only the control process imports or removes; it calls [`ImageStore::mount`] from within the
/// instance's mount namespace. All methods block and may be called from several threads.
#[derive(Debug)]
pub struct ImageStore {
    pub(crate) layout: Arc<Layout>,
    pub(crate) blobs: Arc<Blobs>,
    pub(crate) helper: Helper,
    pub(crate) limits: Limits,
    /// An image is checked and mounted once however many ask. Taken after `publishing`.
    pub(crate) gates: Gates,
    /// Held while an image appears or disappears together with its documents.
    publishing: Mutex<()>,
}

impl ImageStore {
    /// Opens the store, making its directories, and clears what a crash left half-made.
    ///
    /// # Errors
    /// [`ImageError::Io`] when the data directory cannot be written.
    pub fn open(data_dir: &Path, runtime_dir: &Path) -> Result<Self, ImageError> {
        let layout = Arc::new(Layout::open(data_dir, runtime_dir)?);
        let store = Self {
            blobs: Arc::new(Blobs::new(Arc::clone(&layout))),
            layout,
            helper: Helper::default(),
            limits: Limits::default(),
            gates: Gates::default(),
            publishing: Mutex::new(()),
        };
        store.sweep_blobs(before_window(model::clock::now()))?;
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

    /// How much room each image takes, and how much of that others need as well. Those with a
    /// damaged record are left out.
    ///
    /// Of all images at once, because what is shared shows only when all are looked at: each record
    /// and each document is looked at once.
    ///
    /// # Errors
    /// As [`Self::list`].
    pub fn sizes(&self) -> Result<HashMap<Digest, ImageSizes>, ImageError> {
        let metas = self.list()?;
        let mut documents: HashMap<&Digest, Document> = HashMap::new();
        for blob in metas.iter().flat_map(|meta| meta.blobs.iter().collect::<HashSet<_>>()) {
            let known = documents.entry(blob);
            known.or_insert_with(|| Document::in_file(&self.layout.blob(blob))).n_images += 1;
        }
        let sizes_of = |meta: &ImageMeta| {
            let mut sizes = ImageSizes { size_bytes: meta.size_bytes, shared_bytes: 0 };
            for document in meta.blobs.iter().map(|blob| &documents[blob]) {
                sizes.size_bytes += document.n_bytes;
                sizes.shared_bytes += if document.n_images > 1 { document.n_bytes } else { 0 };
            }
            (meta.digest.clone(), sizes)
        };
        Ok(metas.iter().map(sizes_of).collect())
    }

    /// Keeps others from publishing or removing while the guard lives.
    pub(crate) fn publishing(&self) -> MutexGuard<'_, ()> {
        // The lock guards no data of this process, so one whose holder panicked is as good as any.
        self.publishing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes blobs that neither an image nor a pull needs; pulls that ended without an image
    /// count when they began after `expired`.
    pub(crate) fn sweep_blobs(&self, expired: UnixMs) -> Result<(), ImageError> {
        self.sweep(&self.publishing(), expired)
    }

    /// The same for those who hold the lock.
    pub(crate) fn sweep(
        &self,
        _publishing: &MutexGuard<'_, ()>,
        expired: UnixMs,
    ) -> Result<(), ImageError> {
        let used = self.list()?.into_iter().flat_map(|meta| meta.blobs).collect();
        self.blobs.sweep(&used, expired)
    }

    pub(crate) fn image_names(&self) -> Result<Vec<String>, ImageError> {
        Ok(durable::names_in(&self.layout.images())?)
    }
}

/// A manifest or config, and how many images it belongs to.
struct Document {
    n_bytes: u64,
    n_images: usize,
}

impl Document {
    /// One that belongs to none yet; a lost one takes no room.
    fn in_file(path: &Path) -> Self {
        Self { n_bytes: path.metadata().map_or(0, |file| file.len()), n_images: 0 }
    }
}

/// Room that an image takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageSizes {
    /// Its file system and its documents.
    pub size_bytes: u64,
    /// The part of it that stays when it goes, because other images have the same documents.
    pub shared_bytes: u64,
}
