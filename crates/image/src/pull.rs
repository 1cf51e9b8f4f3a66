//! From the blobs of a registry to an image in the store.
//!
//! This room knows nothing of networks. Whoever pulls brings the manifest, asks which blobs are
//! wanted, writes them, and has the image derived from them by the same throw-away process that
//! unpacks files. Layers go when the image is there, unless another pull needs them.

use crate::blobs::{BlobState, Blobs, PullRecord, RESUME_WINDOW_MS, expect_room};
use crate::content::digest_of;
use crate::error::ImageError;
use crate::import::{ImportedImage, Importer};
use crate::oci::{
    BlobRef, Document, ForeignDir, ImageManifest, blob_name, expect_blob, from_manifest,
    read_config,
};
use crate::progress::Progress;
use crate::store::ImageStore;
use model::ids::Digest;
use model::spec::{ImageConfig, ImageRef};
use model::units::UnixMs;
use std::sync::Arc;
use std::time::Duration;

/// One pull under way; there is one of each image at a time.
///
/// Dropped, it keeps what has come for a later pull of the same image, for a day; see also
/// [`ImageStore::abandon`].
#[derive(Debug)]
pub struct Pull {
    blobs: Arc<Blobs>,
    digest: Digest,
    manifest: ImageManifest,
    /// Indexes on the way to the manifest, and the manifest: kept with the image.
    documents: Vec<Vec<u8>>,
}

impl Pull {
    /// Digest of the manifest: what names the image.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Every blob that the image needs, each once, the config first.
    #[must_use]
    pub fn blobs(&self) -> Vec<BlobRef> {
        self.manifest.blobs()
    }

    /// Where one of [`Self::blobs`] is; whoever gets a writer fetches it.
    ///
    /// # Errors
    /// [`ImageError::Io`]; with [`ImageError::is_disk_full`] there is no room for it.
    pub fn state(&self, blob: &BlobRef) -> Result<BlobState, ImageError> {
        self.blobs.state(blob)
    }

    /// Waits until no other pull writes the blob; `false` when that lasts longer than `patience`.
    ///
    /// Whether it is whole then is for [`Self::state`] to say: the other pull may have failed.
    #[must_use]
    pub fn wait(&self, digest: &Digest, patience: Duration) -> bool {
        self.blobs.wait(digest, patience)
    }

    /// Bytes that have not come yet.
    #[must_use]
    pub fn missing_bytes(&self) -> u64 {
        let has_bytes = |blob: &BlobRef| match self.blobs.is_whole(blob) {
            true => blob.size_bytes,
            false => self.blobs.partial_bytes(&blob.digest),
        };
        let missing = |blob: &BlobRef| blob.size_bytes.saturating_sub(has_bytes(blob));
        self.blobs().iter().map(missing).fold(0, u64::saturating_add)
    }

    /// Bytes that have neither come nor been reserved.
    fn unreserved_bytes(&self) -> u64 {
        let unreserved = |blob: &BlobRef| match self.blobs.is_whole(blob) {
            true => 0,
            false => blob.size_bytes.saturating_sub(self.blobs.reserved_bytes(&blob.digest)),
        };
        self.blobs().iter().map(unreserved).fold(0, u64::saturating_add)
    }

    /// Puts the config where its blob belongs, for callers who have read it already.
    ///
    /// # Errors
    /// [`ImageError::BlobTooLong`], [`ImageError::BlobTooShort`] or [`ImageError::DigestDiffers`]
    /// when it is not what the manifest says; [`ImageError::Io`].
    pub fn give_config(&self, bytes: &[u8]) -> Result<(), ImageError> {
        match self.state(&self.manifest.config)? {
            BlobState::Wanted(mut writer) => {
                writer.restart()?;
                writer.write(bytes)?;
                writer.finish()
            }
            // Another image with the same config is being pulled: it is asked for again later.
            BlobState::Elsewhere | BlobState::Present => Ok(()),
        }
    }

    fn expect_whole(&self, blob: &BlobRef) -> Result<(), ImageError> {
        match self.blobs.is_whole(blob) {
            true => Ok(()),
            false => Err(ImageError::BlobMissing { digest: blob.digest.clone() }),
        }
    }
}

impl Drop for Pull {
    fn drop(&mut self) {
        self.blobs.end(&self.digest);
    }
}

impl ImageStore {
    /// Begins, or takes up again, the pull of the image with this manifest, which is declared to be
    /// of the type `media_type` (empty: nothing); `parents` are the indexes that led to it.
    ///
    /// Look for the image by [`ImageStore::meta`] first: this begins whether it is there or not.
    ///
    /// # Errors
    /// [`ImageError::UnderWay`] while this process pulls the same image; [`ImageError::NoRoom`]
    /// when its blobs do not fit; [`ImageError::TooLarge`] when they are more than an image may
    /// have; else what is wrong with the manifest.
    pub fn begin_pull(
        &self,
        media_type: &str,
        manifest: Vec<u8>,
        parents: Vec<Vec<u8>>,
        now: UnixMs,
    ) -> Result<Pull, ImageError> {
        let digest = digest_of(&manifest);
        let name = blob_name(&digest);
        let Document::Manifest(parsed) = Document::read(&name, media_type, &manifest)? else {
            return Err(ImageError::NotAnImage { why: format!("`{name}` is an index") });
        };
        let blobs = parsed.blobs();
        let sizes = blobs.iter().map(|blob| blob.size_bytes);
        if sizes.fold(0, u64::saturating_add) > self.limits.total_bytes {
            let max = self.limits.total_bytes;
            return Err(ImageError::TooLarge { what: "the size of the layers", max });
        }
        let record = PullRecord::new(
            digest.clone(),
            now,
            blobs.iter().map(|blob| blob.digest.clone()).collect(),
        );
        failpoint::hit("image.pull.begin");
        self.blobs.begin(&record)?;
        let documents = parents.into_iter().chain([manifest]).collect();
        let pull = Pull { blobs: Arc::clone(&self.blobs), digest, manifest: parsed, documents };
        match expect_room(&self.layout.partials(), pull.unreserved_bytes()) {
            Ok(()) => Ok(pull),
            Err(error) => {
                self.abandon(pull)?;
                Err(error)
            }
        }
    }

    /// Makes the image of a pull whose blobs have all come; it gets the name `image_ref`, with the
    /// pull's digest. Ends the pull; its blobs go, unless the host failed without being full.
    ///
    /// # Errors
    /// [`ImageError::BlobMissing`]; else those of [`ImageStore::import`].
    pub fn derive(
        &self,
        pull: Pull,
        image_ref: ImageRef,
        progress: &dyn Progress,
    ) -> Result<ImportedImage, ImageError> {
        let image_ref = ImageRef { digest: pull.digest.clone(), ..image_ref };
        match self.derive_image(&pull, image_ref, progress) {
            Err(error @ ImageError::BlobMissing { .. }) => Err(error),
            Err(error) if error.is_host_fault() && !error.is_disk_full() => Err(error),
            result => {
                if let Err(error) = self.abandon(pull) {
                    tracing::warn!(%error, "blobs of a pull are left for the next sweep");
                }
                result
            }
        }
    }

    /// Ends a pull for good: its record goes, and every blob that only it needed.
    ///
    /// # Errors
    /// [`ImageError::Io`]; what is left goes with the next [`ImageStore::prune`] or at open.
    pub fn abandon(&self, pull: Pull) -> Result<(), ImageError> {
        failpoint::hit("image.pull.end");
        durable::remove_file(&self.layout.pull(&pull.digest))?;
        drop(pull);
        failpoint::hit("image.pull.sweep");
        self.sweep_blobs(before_window(model::clock::now()))
    }

    fn derive_image(
        &self,
        pull: &Pull,
        image_ref: ImageRef,
        progress: &dyn Progress,
    ) -> Result<ImportedImage, ImageError> {
        pull.blobs().iter().try_for_each(|blob| pull.expect_whole(blob))?;
        let dir = ForeignDir::new(&self.layout.blobs());
        let name = |digest: &Digest| digest.hex().to_owned();
        let config = dir.read(&name(&pull.manifest.config.digest))?;
        let image = expect_blob(&pull.manifest.config, &config).and_then(|()| {
            let documents = pull.documents.clone();
            from_manifest(pull.digest.clone(), &pull.manifest, config, documents, &name)
        });
        let workshop = self.layout.workshop()?;
        let importer = Importer { store: self, workshop: &workshop, progress };
        image.and_then(|image| importer.layers_to_image(&dir, image, image_ref))
    }
}

/// What the config of an image, the blob `digest`, says of its programs.
///
/// # Errors
/// [`ImageError::BadDocument`]; [`ImageError::NoVariant`] when it is for another kind of host.
pub fn config_of(digest: &Digest, bytes: &[u8]) -> Result<ImageConfig, ImageError> {
    read_config(&blob_name(digest), bytes).map(|(config, _)| config)
}

/// What began before this moment has been left for too long.
pub(crate) fn before_window(now: UnixMs) -> UnixMs {
    UnixMs(now.0.saturating_sub(RESUME_WINDOW_MS))
}
