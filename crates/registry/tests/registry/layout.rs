//! Images of a test's own: documents, blobs, and OCI layouts of them on disk.

use model::ids::{Digest, hex_of};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::fs;
use std::path::Path;

pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// An image: its blobs and its manifest.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    pub(crate) manifest: Vec<u8>,
    pub(crate) config: Vec<u8>,
    pub(crate) layers: Vec<Vec<u8>>,
}

pub(crate) fn digest_of(bytes: &[u8]) -> Digest {
    format!("sha256:{}", hex_of(&Sha256::digest(bytes))).parse().expect("a digest")
}

/// Bytes that look like nothing in particular, other ones for each `seed`.
pub(crate) fn noise(n_bytes: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    })
    .flatten()
    .take(n_bytes)
    .collect()
}

pub(crate) fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": digest_of(bytes), "size": bytes.len()})
}

impl Image {
    pub(crate) fn new(layers: Vec<Vec<u8>>) -> Self {
        let diff_ids: Vec<Digest> = layers.iter().map(|layer| digest_of(layer)).collect();
        let config = json!({
            "os": "linux",
            "architecture": registry::Platform::host().architecture,
            "config": {"Cmd": ["/bin/true"]},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        let config = config.to_string().into_bytes();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": descriptor(OCI_CONFIG, &config),
            "layers": layers.iter().map(|l| descriptor(OCI_LAYER, l)).collect::<Vec<_>>(),
        });
        Self { manifest: manifest.to_string().into_bytes(), config, layers }
    }

    pub(crate) fn digest(&self) -> Digest {
        digest_of(&self.manifest)
    }

    /// An entry for an index.
    pub(crate) fn entry(&self, architecture: &str) -> Value {
        let mut entry = descriptor(OCI_MANIFEST, &self.manifest);
        entry["platform"] = json!({"os": "linux", "architecture": architecture});
        entry
    }

    /// Writes an OCI layout with this image as `latest`.
    pub(crate) fn write(&self, dir: &Path) {
        let mut entry = descriptor(OCI_MANIFEST, &self.manifest);
        entry["annotations"] = json!({"org.opencontainers.image.ref.name": "latest"});
        write_layout(dir, &[self], &[entry]);
    }
}

/// Writes an OCI layout with an index of `images` as `latest`, each with its architecture.
pub(crate) fn write_index(dir: &Path, images: &[(&Image, &str)]) {
    let entries: Vec<Value> = images.iter().map(|(image, name)| image.entry(name)).collect();
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries});
    let index = index.to_string().into_bytes();
    let mut entry = descriptor(OCI_INDEX, &index);
    entry["annotations"] = json!({"org.opencontainers.image.ref.name": "latest"});
    let images: Vec<&Image> = images.iter().map(|(image, _)| *image).collect();
    write_layout(dir, &images, &[entry]);
    fs::write(dir.join("blobs/sha256").join(digest_of(&index).hex()), index).expect("written");
}

/// Writes an OCI layout whose list has `entries`, with the blobs of `images`.
fn write_layout(dir: &Path, images: &[&Image], entries: &[Value]) {
    let blobs = dir.join("blobs/sha256");
    fs::create_dir_all(&blobs).expect("directories can be made");
    for image in images {
        for blob in image.layers.iter().chain([&image.config, &image.manifest]) {
            fs::write(blobs.join(digest_of(blob).hex()), blob).expect("written");
        }
    }
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries});
    fs::write(dir.join("index.json"), index.to_string()).expect("written");
    fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).expect("written");
}
