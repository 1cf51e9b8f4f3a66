//! Tar archives as no honest program would write them, and images made of them.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::path::{Path, PathBuf};
use tar::{EntryType, Header};

/// An archive under construction. Names go into headers as they are.
#[derive(Default)]
pub(crate) struct Archive {
    bytes: Vec<u8>,
}

impl Archive {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn file(self, name: &str, content: &[u8]) -> Self {
        self.entry(EntryType::Regular, name, "", content, |header| header.set_mode(0o644))
    }

    pub(crate) fn dir(self, name: &str) -> Self {
        self.entry(EntryType::Directory, name, "", b"", |header| header.set_mode(0o755))
    }

    pub(crate) fn symlink(self, name: &str, target: &str) -> Self {
        self.entry(EntryType::Symlink, name, target, b"", |_| {})
    }

    pub(crate) fn hard_link(self, name: &str, target: &str) -> Self {
        self.entry(EntryType::Link, name, target, b"", |_| {})
    }

    pub(crate) fn device(self, name: &str, major: u32, minor: u32) -> Self {
        self.entry(EntryType::Char, name, "", b"", |header| {
            header.set_device_major(major).unwrap();
            header.set_device_minor(minor).unwrap();
        })
    }

    /// A PAX header for the entry that follows.
    pub(crate) fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let content: Vec<u8> = records.iter().flat_map(|(key, value)| record(key, value)).collect();
        self.entry(EntryType::XHeader, "pax", "", &content, |_| {})
    }

    /// The GNU header for the entry that follows, with its name.
    pub(crate) fn gnu_long_name(self, name: &[u8]) -> Self {
        self.entry(EntryType::GNULongName, "././@LongLink", "", name, |_| {})
    }

    pub(crate) fn entry(
        mut self,
        kind: EntryType,
        name: &str,
        target: &str,
        content: &[u8],
        change: impl FnOnce(&mut Header),
    ) -> Self {
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(0o777);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_000_000_000);
        header.set_size(u64::try_from(content.len()).unwrap());
        let old = header.as_old_mut();
        old.name[..name.len()].copy_from_slice(name.as_bytes());
        old.linkname[..target.len()].copy_from_slice(target.as_bytes());
        change(&mut header);
        header.set_cksum();
        self.bytes.extend_from_slice(header.as_bytes());
        self.bytes.extend_from_slice(content);
        self.bytes.resize(self.bytes.len().next_multiple_of(512), 0);
        self
    }

    /// The archive with its end mark.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.bytes.resize(self.bytes.len() + 1024, 0);
        self.bytes
    }

    /// The archive without its end mark.
    pub(crate) fn unfinished(self) -> Vec<u8> {
        self.bytes
    }
}

/// One PAX record, whose length counts its own digits.
fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let length = (1..).map(|digits| rest + digits).find(|n| n.to_string().len() + rest == *n);
    let mut record = format!("{} {key}=", length.unwrap()).into_bytes();
    record.extend_from_slice(value);
    record.push(b'\n');
    record
}

pub(crate) fn hex_digest(bytes: &[u8]) -> String {
    model::ids::hex_of(&Sha256::digest(bytes))
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

fn host_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// A reference to a blob.
pub(crate) fn descriptor(bytes: &[u8], media_type: &str) -> Value {
    let digest = format!("sha256:{}", hex_digest(bytes));
    json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
}

/// The config of an image with these (uncompressed) layers.
pub(crate) fn config_of(layers: &[Vec<u8>]) -> Vec<u8> {
    let diff_ids: Vec<_> = layers.iter().map(|l| format!("sha256:{}", hex_digest(l))).collect();
    let config = json!({
        "os": "linux",
        "architecture": host_architecture(),
        "config": {"Cmd": ["/bin/true"]},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    });
    config.to_string().into_bytes()
}

/// An OCI layout under construction: blobs first, the index last.
pub(crate) struct LayoutWriter {
    dir: PathBuf,
}

impl LayoutWriter {
    pub(crate) fn new(dir: &Path) -> Self {
        std::fs::create_dir_all(dir.join("blobs/sha256")).unwrap();
        std::fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        Self { dir: dir.to_owned() }
    }

    /// Where a blob of these bytes is.
    pub(crate) fn path(&self, bytes: &[u8]) -> PathBuf {
        self.dir.join("blobs/sha256").join(hex_digest(bytes))
    }

    /// Writes a blob; returns the reference to it.
    pub(crate) fn blob(&self, bytes: &[u8], media_type: &str) -> Value {
        std::fs::write(self.path(bytes), bytes).unwrap();
        descriptor(bytes, media_type)
    }

    /// Writes the manifest of these (uncompressed) layers and all that it needs.
    pub(crate) fn image(&self, layers: &[Vec<u8>]) -> Value {
        let manifest = json!({
            "schemaVersion": 2,
            "config": self.blob(&config_of(layers), CONFIG),
            "layers": layers.iter().map(|l| self.blob(&gzip(l), LAYER)).collect::<Vec<_>>(),
        });
        self.document(&manifest, MANIFEST)
    }

    pub(crate) fn document(&self, document: &Value, media_type: &str) -> Value {
        self.blob(document.to_string().as_bytes(), media_type)
    }

    /// Writes the index, which makes the layout whole.
    pub(crate) fn finish(self, manifests: &[Value]) {
        let index = json!({"schemaVersion": 2, "manifests": manifests});
        std::fs::write(self.dir.join("index.json"), index.to_string()).unwrap();
    }
}

/// Writes an OCI layout of these (uncompressed) layers; returns the hex digest of its manifest.
pub(crate) fn write_layout(dir: &Path, layers: &[Vec<u8>]) -> String {
    let layout = LayoutWriter::new(dir);
    let manifest = layout.image(layers);
    layout.finish(std::slice::from_ref(&manifest));
    manifest["digest"].as_str().unwrap().replace("sha256:", "")
}
