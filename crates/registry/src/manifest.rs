//! Manifests and indexes: what a registry says an image consists of.
//!
//! Pure: bytes in, documents out. OCI and Docker (version 2, schema 2) forms are the same but for
//! their media types. The media type that the registry sends and the one in the document must not
//! disagree, and a document is not both an index and a manifest: otherwise two readers of the same
//! digest see two images (CVE-2021-41190).
//!
//! Source: OCI image specification 1.1, `manifest.md`, `image-index.md`, `descriptor.md`; Docker
//! Image Manifest V 2, Schema 2.

use crate::platform::Platform;
use model::ids::Digest;
use serde::Deserialize;
use std::sync::Arc;

/// A manifest, index or config, in bytes. Source: OCI distribution specification, "Pushing
/// Manifests".
pub const DOCUMENT_MAX_BYTES: u64 = 4 << 20;

/// Layers of one image. Source: Docker's own limit, which comes from overlayfs options.
pub const LAYERS_MAX: usize = 127;

/// Images of one index: all architectures with their attestations, many times over.
const INDEX_ENTRIES_MAX: usize = 1_000;

/// What this client can read, in the form of an `Accept` header.
pub(crate) const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, \
     application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, \
     application/vnd.docker.distribution.manifest.v2+json";

const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// With `+json` and `+prettyjws`.
const DOCKER_SCHEMA_1: &str = "application/vnd.docker.distribution.manifest.v1";
const CONFIGS: [&str; 2] =
    ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"];

/// A blob: what it is, its digest and its size in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// Media type as the manifest has it.
    pub media_type: String,
    /// Digest of its bytes.
    pub digest: Digest,
    /// Size in bytes.
    pub size: u64,
}

/// A layer, lowest first in its image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// The blob.
    pub blob: Descriptor,
    /// How the archive in it is packed.
    pub compression: Compression,
}

/// How the archive of a layer is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
}

/// A manifest of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageManifest {
    /// Its config.
    pub config: Descriptor,
    /// Its layers, lowest first.
    pub layers: Vec<Layer>,
}

/// What a digest in an index leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    /// The manifest, or another index.
    pub blob: Descriptor,
    os: String,
    architecture: String,
    variant: String,
    has_platform: bool,
}

/// A document under a tag or digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Document {
    /// Images to choose from.
    Index(Vec<IndexEntry>),
    /// One image.
    Image(ImageManifest),
}

/// Why a document is not one that this client can use.
#[derive(Clone, Debug, thiserror::Error)]
pub enum BadManifest {
    /// Not JSON, or not of this form.
    #[error("it does not have the form of a manifest")]
    Form(#[source] Arc<serde_json::Error>),
    /// A digest that is not a SHA-256, in a descriptor.
    #[error("`{digest}` is not a SHA-256 digest")]
    Digest {
        /// What stands there, cut at a bound.
        digest: String,
    },
    /// The old form, which says nothing about what it consists of.
    #[error("it is a schema 1 manifest")]
    Schema1,
    /// Two answers to what it is.
    #[error("{0}")]
    Ambiguous(&'static str),
    /// Something that is no image.
    #[error("`{media_type}` is not supported as {role}")]
    MediaType {
        /// What stands there, cut at a bound.
        media_type: String,
        /// As what: "a layer".
        role: &'static str,
    },
    /// A layer that the registry itself does not have.
    #[error("layer {digest} is foreign: it has to come from elsewhere")]
    ForeignLayer {
        /// Which.
        digest: Digest,
    },
    /// More of something than there may be.
    #[error("it has more than {max} {what}")]
    TooMany {
        /// Of what: "layers".
        what: &'static str,
        /// How many there may be.
        max: usize,
    },
    /// No image for this host in the index.
    #[error("it has no image for {host}; it has: {offered}")]
    NoVariant {
        /// This host's platform.
        host: String,
        /// What there is.
        offered: String,
    },
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    #[serde(default)]
    schema_version: Option<u64>,
    #[serde(default)]
    media_type: Option<String>,
    #[serde(default)]
    config: Option<RawDescriptor>,
    #[serde(default)]
    layers: Option<Vec<RawDescriptor>>,
    #[serde(default)]
    manifests: Option<Vec<RawDescriptor>>,
    #[serde(default)]
    fs_layers: Option<serde::de::IgnoredAny>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawDescriptor {
    #[serde(default)]
    media_type: String,
    digest: String,
    size: u64,
    #[serde(default)]
    urls: Option<Vec<String>>,
    #[serde(default)]
    platform: Option<RawPlatform>,
}

/// Absent and null mean the same everywhere in it.
#[derive(Debug, Deserialize)]
struct RawPlatform {
    #[serde(default)]
    os: Option<String>,
    #[serde(default)]
    architecture: Option<String>,
    #[serde(default)]
    variant: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Index,
    Image,
}

impl Document {
    /// Reads a document; `content_type` is what the registry called it.
    ///
    /// # Errors
    /// [`BadManifest`] says what is wrong with it.
    pub fn parse(content_type: Option<&str>, bytes: &[u8]) -> Result<Self, BadManifest> {
        let content_type = content_type.map(essence);
        if content_type.is_some_and(|name| name.starts_with(DOCKER_SCHEMA_1)) {
            return Err(BadManifest::Schema1);
        }
        let raw: Raw =
            serde_json::from_slice(bytes).map_err(|source| BadManifest::Form(Arc::new(source)))?;
        if raw.schema_version == Some(1) || raw.fs_layers.is_some() {
            return Err(BadManifest::Schema1);
        }
        match kind_of(content_type, &raw)? {
            Kind::Index => index(raw.manifests.unwrap_or_default()).map(Self::Index),
            Kind::Image => image(raw).map(Self::Image),
        }
    }
}

/// `text/plain; charset=utf-8` is `text/plain`.
fn essence(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}

/// What it is: by its own word, by the registry's and by its shape, which must agree.
fn kind_of(content_type: Option<&str>, raw: &Raw) -> Result<Kind, BadManifest> {
    let by_shape = match (raw.manifests.is_some(), raw.layers.is_some() || raw.config.is_some()) {
        (true, true) => {
            return Err(BadManifest::Ambiguous("it is an index and a manifest at once"));
        }
        (true, false) => Kind::Index,
        (false, _) => Kind::Image,
    };
    let sent = content_type.filter(|name| !is_generic(name));
    let own = raw.media_type.as_deref().filter(|name| !name.is_empty());
    if let (Some(sent), Some(own)) = (sent, own)
        && sent != own
    {
        return Err(BadManifest::Ambiguous("its media type is not the one that the registry sent"));
    }
    match own.or(sent) {
        None => Ok(by_shape),
        Some(name) if kind_named(name)? == by_shape => Ok(by_shape),
        Some(_) => {
            Err(BadManifest::Ambiguous("its media type says one thing, its content another"))
        }
    }
}

/// What servers that do not know better call a manifest.
fn is_generic(name: &str) -> bool {
    matches!(name, "" | "application/json" | "application/octet-stream" | "text/plain")
}

fn kind_named(name: &str) -> Result<Kind, BadManifest> {
    match name {
        OCI_INDEX | DOCKER_LIST => Ok(Kind::Index),
        OCI_MANIFEST | DOCKER_MANIFEST => Ok(Kind::Image),
        _ if name.starts_with(DOCKER_SCHEMA_1) => Err(BadManifest::Schema1),
        _ => Err(unsupported(name, "a manifest")),
    }
}

fn unsupported(media_type: &str, role: &'static str) -> BadManifest {
    BadManifest::MediaType { media_type: cut(media_type), role }
}

/// At most so much of a foreign word is shown.
fn cut(text: &str) -> String {
    const SHOWN_CHARS: usize = 100;
    text.chars().take(SHOWN_CHARS).collect()
}

fn image(raw: Raw) -> Result<ImageManifest, BadManifest> {
    let Some(config) = raw.config else {
        return Err(BadManifest::Ambiguous("it has no config"));
    };
    if !CONFIGS.contains(&config.media_type.as_str()) {
        return Err(unsupported(&config.media_type, "the config of an image"));
    }
    let layers = raw.layers.unwrap_or_default();
    if layers.len() > LAYERS_MAX {
        return Err(BadManifest::TooMany { what: "layers", max: LAYERS_MAX });
    }
    let layers = layers.into_iter().map(layer).collect::<Result<_, _>>()?;
    Ok(ImageManifest { config: config.into_blob()?, layers })
}

fn layer(raw: RawDescriptor) -> Result<Layer, BadManifest> {
    let is_foreign = raw.media_type.contains(".nondistributable.")
        || raw.media_type.contains(".foreign.")
        || raw.urls.as_ref().is_some_and(|urls| !urls.is_empty());
    let blob = raw.into_blob()?;
    if is_foreign {
        return Err(BadManifest::ForeignLayer { digest: blob.digest });
    }
    let compression = compression_of(&blob.media_type)?;
    Ok(Layer { blob, compression })
}

fn compression_of(media_type: &str) -> Result<Compression, BadManifest> {
    match media_type {
        "application/vnd.oci.image.layer.v1.tar"
        | "application/vnd.docker.image.rootfs.diff.tar" => Ok(Compression::None),
        "application/vnd.oci.image.layer.v1.tar+gzip"
        | "application/vnd.docker.image.rootfs.diff.tar.gzip" => Ok(Compression::Gzip),
        "application/vnd.oci.image.layer.v1.tar+zstd"
        | "application/vnd.docker.image.rootfs.diff.tar.zstd" => Ok(Compression::Zstd),
        _ => Err(unsupported(media_type, "a layer")),
    }
}

fn index(entries: Vec<RawDescriptor>) -> Result<Vec<IndexEntry>, BadManifest> {
    if entries.len() > INDEX_ENTRIES_MAX {
        return Err(BadManifest::TooMany { what: "images", max: INDEX_ENTRIES_MAX });
    }
    entries.into_iter().map(RawDescriptor::into_entry).collect()
}

impl RawDescriptor {
    fn into_blob(self) -> Result<Descriptor, BadManifest> {
        match self.digest.parse() {
            Ok(digest) => Ok(Descriptor { media_type: self.media_type, digest, size: self.size }),
            Err(_) => Err(BadManifest::Digest { digest: cut(&self.digest) }),
        }
    }

    fn into_entry(mut self) -> Result<IndexEntry, BadManifest> {
        let platform = self.platform.take();
        let has_platform = platform.is_some();
        let platform =
            platform.unwrap_or(RawPlatform { os: None, architecture: None, variant: None });
        Ok(IndexEntry {
            blob: self.into_blob()?,
            os: platform.os.unwrap_or_default(),
            architecture: platform.architecture.unwrap_or_default(),
            variant: platform.variant.unwrap_or_default(),
            has_platform,
        })
    }
}

impl IndexEntry {
    fn is_manifest(&self) -> bool {
        self.blob.media_type.is_empty() || kind_named(&self.blob.media_type).is_ok()
    }

    /// `linux/amd64`, with `/v3` where it has a variant.
    fn platform_text(&self) -> String {
        let variant = if self.variant.is_empty() { "" } else { "/" };
        format!("{}/{}{variant}{}", self.os, self.architecture, self.variant)
    }
}

/// The entry of an index that suits `platform` best; the first of equals.
///
/// An entry without a platform is taken only when it is the single one. Attestations, whose
/// platform is `unknown`, suit nobody.
///
/// # Errors
/// [`BadManifest::NoVariant`] says what there is.
pub fn choose<'a>(
    entries: &'a [IndexEntry],
    platform: &Platform,
) -> Result<&'a IndexEntry, BadManifest> {
    let manifests = || entries.iter().filter(|entry| entry.is_manifest());
    let suitable = manifests().filter_map(|entry| {
        let level = platform.suits(&entry.os, &entry.architecture, &entry.variant)?;
        Some((level, entry))
    });
    let best = suitable.reduce(|best, next| if next.0 > best.0 { next } else { best });
    let lone = || match manifests().collect::<Vec<_>>()[..] {
        [entry] if !entry.has_platform => Some(entry),
        _ => None,
    };
    best.map(|(_, entry)| entry).or_else(lone).ok_or_else(|| BadManifest::NoVariant {
        host: platform.to_string(),
        offered: offered(entries),
    })
}

fn offered(entries: &[IndexEntry]) -> String {
    let mut names: Vec<String> = entries
        .iter()
        .filter(|entry| entry.has_platform && entry.os != "unknown")
        .map(|entry| cut(&entry.platform_text()))
        .collect();
    names.sort();
    names.dedup();
    const SHOWN: usize = 12;
    names.truncate(SHOWN);
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests;
