//! OCI layouts: from `index.json` to the one manifest for this host.

use super::document::{Document, ImageManifest};
use super::{ForeignDir, FoundImage, FoundLayer, blob_name, read_config};
use crate::error::ImageError;
use crate::limits::INDEX_DEPTH_MAX;
use model::ids::Digest;

const INDEX: &str = "index.json";

/// Whether the directory is an OCI layout.
pub(crate) fn is_layout(dir: &ForeignDir) -> bool {
    dir.has("oci-layout") && dir.has(INDEX)
}

/// The image for this host in an OCI layout; of several, the one tagged `tag`.
pub(crate) fn from_layout(dir: &ForeignDir, tag: &str) -> Result<FoundImage, ImageError> {
    let mut document = Document::read(INDEX, "", &dir.read(INDEX)?)?;
    let mut documents = Vec::new();
    for _ in 0..INDEX_DEPTH_MAX {
        let Document::Index(index) = document else {
            let why = format!("`{INDEX}` is a manifest");
            return Err(ImageError::NotAnImage { why });
        };
        let chosen = index.choose(tag)?;
        let bytes = dir.read_blob(&chosen)?;
        document = Document::read(&blob_name(&chosen.digest), &chosen.media_type, &bytes)?;
        documents.push(bytes);
        if let Document::Manifest(manifest) = document {
            let config = dir.read_blob(&manifest.config)?;
            return from_manifest(chosen.digest, &manifest, config, documents, &blob_name);
        }
    }
    let max = u64::try_from(INDEX_DEPTH_MAX).expect("a small constant");
    Err(ImageError::TooLarge { what: "the nesting of indexes", max })
}

/// The image of a manifest and its verified config, with its layers in files that `name` tells.
pub(crate) fn from_manifest(
    digest: Digest,
    manifest: &ImageManifest,
    config_bytes: Vec<u8>,
    mut documents: Vec<Vec<u8>>,
    name: &dyn Fn(&Digest) -> String,
) -> Result<FoundImage, ImageError> {
    let (config, diff_ids) = read_config(&blob_name(&manifest.config.digest), &config_bytes)?;
    let layer = |(blob, diff_id): (&super::BlobRef, Digest)| FoundLayer {
        name: name(&blob.digest),
        digest: Some(blob.digest.clone()),
        size_bytes: Some(blob.size_bytes),
        diff_id,
    };
    super::expect_as_many(manifest.layers.len(), diff_ids.len())?;
    let layers = manifest.layers.iter().zip(diff_ids).map(layer).collect();
    documents.push(config_bytes);
    Ok(FoundImage { digest, config, layers, documents })
}
