//! `docker save` archives: `manifest.json` names a config and layers by path.

use super::{ForeignDir, FoundImage, FoundLayer, expect_as_many, parse, read_config};
use crate::content::digest_of;
use crate::error::ImageError;
use serde::Deserialize;

const MANIFEST: &str = "manifest.json";

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SavedImage {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// Whether the directory is an unpacked `docker save` archive.
///
/// A root file system may happen to hold a `manifest.json` of its own, so it must also read as one.
pub(crate) fn is_docker_save(dir: &ForeignDir) -> bool {
    let read = || parse::<Vec<SavedImage>>(MANIFEST, &dir.read(MANIFEST)?);
    dir.has(MANIFEST) && read().is_ok()
}

/// The image in an unpacked `docker save` archive; of several, the one tagged `tag`.
pub(crate) fn from_docker_save(dir: &ForeignDir, tag: &str) -> Result<FoundImage, ImageError> {
    let images: Vec<SavedImage> = parse(MANIFEST, &dir.read(MANIFEST)?)?;
    let image = choose(images, tag)?;
    let config_bytes = dir.read(&image.config)?;
    let (config, diff_ids) = read_config(&image.config, &config_bytes)?;
    expect_as_many(image.layers.len(), diff_ids.len())?;
    let layer = |(name, diff_id)| FoundLayer { name, digest: None, size_bytes: None, diff_id };
    let layers = image.layers.into_iter().zip(diff_ids).map(layer).collect();
    let digest = digest_of(&config_bytes);
    Ok(FoundImage { digest, config, layers, documents: vec![config_bytes] })
}

fn choose(mut images: Vec<SavedImage>, tag: &str) -> Result<SavedImage, ImageError> {
    let tags = |image: &SavedImage| image.repo_tags.clone().unwrap_or_default();
    let is_tagged = |image: &SavedImage| {
        tags(image).iter().any(|name| name.rsplit_once(':').is_some_and(|(_, t)| t == tag))
    };
    match images.len() {
        0 => Err(ImageError::NotAnImage { why: "its manifest.json is empty".to_owned() }),
        1 => Ok(images.remove(0)),
        _ => {
            let offered = images.iter().flat_map(tags).take(12).collect::<Vec<_>>().join(", ");
            let mut tagged = images.into_iter().filter(is_tagged);
            match (tagged.next(), tagged.next()) {
                (Some(only), None) => Ok(only),
                _ => Err(ImageError::Ambiguous { offered }),
            }
        }
    }
}
