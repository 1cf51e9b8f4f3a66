//! The record beside each image.

use crate::content;
use crate::error::ImageError;
use crate::unpack::UnpackReport;
use crate::verity;
use model::ids::Digest;
use model::spec::ImageConfig;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::path::Path;

/// Format of `meta.json` that this version writes.
const FORMAT: u32 = 1;

/// What is known of an image without mounting it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageMeta {
    format: u32,
    /// What names the image.
    pub digest: Digest,
    /// What its programs need.
    pub config: ImageConfig,
    /// Size of `image.erofs`.
    pub size_bytes: u64,
    /// Digest of `image.erofs`.
    pub erofs_digest: Digest,
    /// What fs-verity measured of it; absent where the file system has none.
    #[serde(default)]
    pub verity_digest: Option<Digest>,
    /// Manifests and configs it was made from.
    pub blobs: Vec<Digest>,
    /// Entries of its layers.
    pub n_entries: u64,
    /// Device nodes that were left out.
    pub n_devices_dropped: u64,
    /// Extended attributes that were left out.
    pub n_xattrs_dropped: u64,
}

impl ImageMeta {
    /// The record of a freshly packed image.
    pub(crate) fn of_packed(
        digest: Digest,
        config: ImageConfig,
        blobs: Vec<Digest>,
        report: &UnpackReport,
        erofs: &Path,
    ) -> Result<Self, ImageError> {
        let (size_bytes, erofs_digest) = measure(erofs)?;
        let verity_digest = verity::enable(erofs).map_err(ImageError::io("protect", erofs))?;
        Ok(Self {
            format: FORMAT,
            digest,
            config,
            size_bytes,
            erofs_digest,
            verity_digest,
            blobs,
            n_entries: report.n_entries,
            n_devices_dropped: report.n_devices_dropped,
            n_xattrs_dropped: report.n_xattrs_dropped,
        })
    }

    /// Reads the record of `digest`; else says what is wrong with it.
    pub(crate) fn parse(digest: &Digest, bytes: &[u8]) -> Result<Self, String> {
        let meta: Self = serde_json::from_slice(bytes).map_err(|e| format!("its record: {e}"))?;
        match (meta.format == FORMAT, meta.digest == *digest) {
            (true, true) => Ok(meta),
            (false, _) => Err(format!("its record has format {}", meta.format)),
            (true, false) => Err(format!("its record speaks of {}", meta.digest)),
        }
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a record has only plain fields")
    }
}

/// Size and digest of a file.
pub(crate) fn measure(path: &Path) -> Result<(u64, Digest), ImageError> {
    let measure = || {
        let file = File::open(path)?;
        Ok::<_, std::io::Error>((file.metadata()?.len(), content::digest_of_reader(file)?))
    };
    measure().map_err(ImageError::io("read", path))
}
