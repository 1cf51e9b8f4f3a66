//! OCI layouts: from `index.json` to the one manifest for this host.

use super::config::ConfigFile;
use super::{Descriptor, ForeignDir, FoundImage, Platform, blob_name, parse};
use crate::error::ImageError;
use crate::limits::INDEX_DEPTH_MAX;
use serde::Deserialize;

const INDEX: &str = "index.json";

/// The annotation that names a manifest within a layout.
const REF_NAME: &str = "org.opencontainers.image.ref.name";

#[derive(Debug, Deserialize)]
struct Index {
    manifests: Vec<Descriptor>,
}

#[derive(Debug, Deserialize)]
struct Manifest {
    config: Descriptor,
    layers: Vec<Descriptor>,
}

/// Whether the directory is an OCI layout.
pub(crate) fn is_layout(dir: &ForeignDir) -> bool {
    dir.has("oci-layout") && dir.has(INDEX)
}

/// The image for this host in an OCI layout; of several, the one tagged `tag`.
pub(crate) fn from_layout(dir: &ForeignDir, tag: &str) -> Result<FoundImage, ImageError> {
    let mut index: Index = parse(INDEX, &dir.read(INDEX)?)?;
    let mut documents = Vec::new();
    for _ in 0..INDEX_DEPTH_MAX {
        let chosen = choose(&index.manifests, tag)?;
        let bytes = dir.read_blob(&chosen.digest)?;
        if chosen.media_type.contains("index") || chosen.media_type.contains("manifest.list") {
            index = parse(&blob_name(&chosen.digest), &bytes)?;
            documents.push(bytes);
            continue;
        }
        let manifest: Manifest = parse(&blob_name(&chosen.digest), &bytes)?;
        documents.push(bytes);
        let config_bytes = dir.read_blob(&manifest.config.digest)?;
        let config: ConfigFile = parse(&blob_name(&manifest.config.digest), &config_bytes)?;
        documents.push(config_bytes);
        let layers = manifest.layers.into_iter();
        let layers = layers.map(|layer| (blob_name(&layer.digest), Some(layer.digest))).collect();
        let (config, layers) = config.into_parts(layers)?;
        return Ok(FoundImage { digest: chosen.digest.clone(), config, layers, documents });
    }
    let max = u64::try_from(INDEX_DEPTH_MAX).expect("a small constant");
    Err(ImageError::TooLarge { what: "the nesting of indexes", max })
}

/// The one manifest that runs here: by platform where it is given, then by tag.
fn choose<'a>(manifests: &'a [Descriptor], tag: &str) -> Result<&'a Descriptor, ImageError> {
    let host = Platform::host();
    let runs_here = |m: &&Descriptor| m.platform.as_ref().is_none_or(|p| *p == host);
    let candidates: Vec<_> = manifests.iter().filter(runs_here).collect();
    let is_tagged = |m: &&Descriptor| m.annotations.get(REF_NAME).is_some_and(|name| name == tag);
    let tagged = candidates.iter().copied().find(is_tagged);
    match (tagged, candidates.as_slice()) {
        (Some(tagged), _) => Ok(tagged),
        (None, [first, others @ ..]) if others.iter().all(|m| m.digest == first.digest) => {
            Ok(first)
        }
        (None, []) => Err(ImageError::NoVariant {
            host: host.to_string(),
            offered: listed(
                manifests.iter().filter_map(|m| m.platform.as_ref()).map(Platform::to_string),
            ),
        }),
        (None, several) => Err(ImageError::Ambiguous {
            offered: listed(several.iter().filter_map(|m| m.annotations.get(REF_NAME)).cloned()),
        }),
    }
}

/// At most a dozen of them, for a message.
fn listed(items: impl Iterator<Item = String>) -> String {
    let items: Vec<_> = items.take(12).collect();
    if items.is_empty() { "nothing".to_owned() } else { items.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(n: u8, platform: Option<&str>, tag: Option<&str>) -> Descriptor {
        let mut value = serde_json::json!({
            "digest": format!("sha256:{}", format!("{n:02x}").repeat(32)),
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
        });
        if let Some(architecture) = platform {
            value["platform"] = serde_json::json!({"os": "linux", "architecture": architecture});
        }
        if let Some(tag) = tag {
            value["annotations"] = serde_json::json!({ REF_NAME: tag });
        }
        serde_json::from_value(value).unwrap()
    }

    fn host() -> String {
        Platform::host().to_string().replace("linux/", "")
    }

    #[test]
    fn the_manifest_of_this_host_is_chosen() {
        let here = host();
        let all = [manifest(1, Some("s390x"), None), manifest(2, Some(&here), None)];
        assert_eq!(choose(&all, "latest").unwrap().digest, all[1].digest);
        let none = choose(&all[..1], "latest").unwrap_err();
        assert!(none.to_string().contains("linux/s390x"), "{none}");
    }

    #[test]
    fn a_tag_decides_between_several() {
        let all = [manifest(1, None, Some("one")), manifest(2, None, Some("two"))];
        assert_eq!(choose(&all, "two").unwrap().digest, all[1].digest);
        let unclear = choose(&all, "three").unwrap_err();
        assert!(unclear.to_string().contains("one, two"), "{unclear}");
        assert_eq!(choose(&all[..1], "three").unwrap().digest, all[0].digest);
    }
}
