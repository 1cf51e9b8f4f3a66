//! Indexes and manifests, told apart by what is in them.

use super::config::Platform;
use super::media::{self, MediaKind, kind_of};
use super::parse;
use crate::error::ImageError;
use crate::limits::{DOCUMENT_MAX_BYTES, LAYERS_MAX};
use model::ids::Digest;
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::BTreeMap;

/// The annotation that names a manifest within a layout.
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// A promised blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobRef {
    /// What names it.
    pub digest: Digest,
    /// Its size.
    pub size_bytes: u64,
    /// What it is said to be.
    pub media_type: String,
}

/// An index or a manifest, checked so far as it can be without what it points to.
#[derive(Clone, Debug)]
pub enum Document {
    /// One name, several images: one for each platform.
    Index(ImageIndex),
    /// One image.
    Manifest(ImageManifest),
}

/// A list of images (OCI index, Docker manifest list).
#[derive(Clone, Debug)]
pub struct ImageIndex {
    manifests: Vec<Descriptor>,
}

/// What one image is made of.
#[derive(Clone, Debug)]
pub struct ImageManifest {
    /// The blob that tells what its programs need.
    pub config: BlobRef,
    /// The archives of its file system, lowest first.
    pub layers: Vec<BlobRef>,
}

/// A reference to a blob as it stands in documents.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    digest: Digest,
    size: u64,
    #[serde(default)]
    media_type: String,
    #[serde(default)]
    platform: Option<Platform>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

/// Either document: which one shows only by what is in it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape {
    #[serde(default)]
    media_type: Option<String>,
    #[serde(default)]
    manifests: Option<Vec<Descriptor>>,
    #[serde(default)]
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Option<Vec<Descriptor>>,
    #[serde(default)]
    fs_layers: Option<IgnoredAny>,
}

impl Document {
    /// Reads the document `name`, whose reference or carrier says that it is a `declared` (empty:
    /// nothing).
    ///
    /// A document that could be both, or is not what it or its reference says, is refused: two
    /// readers must not see two images in it.
    ///
    /// # Errors
    /// [`ImageError::BadDocument`], [`ImageError::NotAnImage`], [`ImageError::Unsupported`],
    /// [`ImageError::TooLarge`]: all of them are the image's fault.
    pub fn read(name: &str, declared: &str, bytes: &[u8]) -> Result<Self, ImageError> {
        let shape: Shape = parse(name, bytes)?;
        let said = [declared.to_owned(), shape.media_type.unwrap_or_default()];
        if shape.fs_layers.is_some() || said.iter().any(|s| kind_of(s) == MediaKind::Schema1) {
            return Err(media::schema1());
        }
        let (kind, document) = match (shape.manifests, shape.config, shape.layers) {
            (Some(manifests), None, None) => {
                (MediaKind::Index, Self::Index(ImageIndex { manifests }))
            }
            (None, Some(config), Some(layers)) => {
                (MediaKind::Manifest, Self::Manifest(ImageManifest::of(config, layers)?))
            }
            (Some(_), _, _) => return Err(confused(name, "an index and a manifest at once")),
            (None, _, _) => return Err(confused(name, "neither an index nor a manifest")),
        };
        let is_honest = |said: &String| [MediaKind::Other, kind].contains(&kind_of(said));
        match said.iter().find(|said| !is_honest(said)) {
            None => Ok(document),
            Some(said) => Err(confused(name, &format!("not the `{said}` that it is said to be"))),
        }
    }
}

impl ImageIndex {
    /// The image for this host. Of several, the one named `tag`; else the first, when the entries
    /// are told apart by their platforms and not by names.
    ///
    /// # Errors
    /// [`ImageError::NoVariant`], [`ImageError::Ambiguous`].
    pub fn choose(&self, tag: &str) -> Result<BlobRef, ImageError> {
        let host = Platform::host();
        let runs_here = |m: &&Descriptor| m.platform.as_ref().is_none_or(|p| *p == host);
        let candidates: Vec<_> = self.manifests.iter().filter(runs_here).collect();
        if let Some(tagged) = candidates.iter().find(|m| m.name() == Some(tag)) {
            return Ok(tagged.to_blob());
        }
        let Some(first) = candidates.first() else {
            let platforms = self.manifests.iter().filter_map(|m| m.platform.as_ref());
            let offered = listed(platforms.map(Platform::to_string));
            return Err(ImageError::NoVariant { host: host.to_string(), offered });
        };
        let is_same = candidates.iter().all(|m| m.digest == first.digest);
        let is_by_platform = candidates.iter().all(|m| m.platform.is_some() && m.name().is_none());
        if is_same || is_by_platform {
            return Ok(first.to_blob());
        }
        let names = candidates.iter().filter_map(|m| m.name()).map(str::to_owned);
        Err(ImageError::Ambiguous { offered: listed(names) })
    }
}

impl ImageManifest {
    fn of(config: Descriptor, layers: Vec<Descriptor>) -> Result<Self, ImageError> {
        media::expect_config(&config.media_type)?;
        if config.size > DOCUMENT_MAX_BYTES {
            return Err(ImageError::TooLarge { what: "the config", max: DOCUMENT_MAX_BYTES });
        }
        if layers.len() > LAYERS_MAX {
            let max = u64::try_from(LAYERS_MAX).expect("a small constant");
            return Err(ImageError::TooLarge { what: "the number of layers", max });
        }
        layers.iter().try_for_each(|layer| media::expect_layer(&layer.media_type))?;
        let layers = layers.iter().map(Descriptor::to_blob).collect();
        Ok(Self { config: config.to_blob(), layers })
    }

    /// Config and layers; a layer that stands twice in the manifest stands here once.
    #[must_use]
    pub fn blobs(&self) -> Vec<BlobRef> {
        let mut blobs = vec![self.config.clone()];
        for layer in &self.layers {
            if blobs.iter().all(|blob| blob.digest != layer.digest) {
                blobs.push(layer.clone());
            }
        }
        blobs
    }
}

impl Descriptor {
    fn name(&self) -> Option<&str> {
        self.annotations.as_ref()?.get(REF_NAME).map(String::as_str)
    }

    fn to_blob(&self) -> BlobRef {
        BlobRef {
            digest: self.digest.clone(),
            size_bytes: self.size,
            media_type: self.media_type.clone(),
        }
    }
}

fn confused(name: &str, what: &str) -> ImageError {
    ImageError::NotAnImage { why: format!("`{name}` is {what}") }
}

/// At most a dozen of them, for a message.
fn listed(items: impl Iterator<Item = String>) -> String {
    let items: Vec<_> = items.take(12).collect();
    if items.is_empty() { "nothing".to_owned() } else { items.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const INDEX: &str = "application/vnd.oci.image.index.v1+json";
    const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

    fn blob(n: u8, media_type: &str) -> Value {
        let digest = format!("sha256:{}", format!("{n:02x}").repeat(32));
        json!({"digest": digest, "size": 1, "mediaType": media_type})
    }

    fn entry(n: u8, platform: Option<&str>, name: Option<&str>) -> Value {
        let mut value = blob(n, MANIFEST);
        if let Some(architecture) = platform {
            value["platform"] = json!({"os": "linux", "architecture": architecture});
        }
        if let Some(name) = name {
            value["annotations"] = json!({ REF_NAME: name });
        }
        value
    }

    fn read(declared: &str, value: &Value) -> Result<Document, ImageError> {
        Document::read("doc", declared, value.to_string().as_bytes())
    }

    fn choose(entries: &[Value], tag: &str) -> Result<u8, String> {
        let Ok(Document::Index(index)) = read("", &json!({"manifests": entries})) else {
            panic!("an index")
        };
        let chosen = index.choose(tag).map_err(|error| error.to_string())?;
        Ok(u8::from_str_radix(&chosen.digest.hex()[..2], 16).unwrap())
    }

    fn host() -> String {
        Platform::host().to_string().replace("linux/", "")
    }

    #[test]
    fn the_image_of_this_host_is_chosen() {
        let here = host();
        let all = [
            entry(1, Some("s390x"), None),
            entry(2, Some(&here), None),
            entry(3, Some(&here), None),
            entry(4, Some("unknown"), None),
        ];
        assert_eq!(choose(&all, "latest"), Ok(2));
        let none = choose(&all[..1], "latest").unwrap_err();
        assert!(none.contains("linux/s390x"), "{none}");
        assert!(choose(&[], "latest").unwrap_err().contains("nothing"));
    }

    #[test]
    fn a_name_decides_between_several() {
        let all = [entry(1, None, Some("one")), entry(2, None, Some("two"))];
        assert_eq!(choose(&all, "two"), Ok(2));
        let unclear = choose(&all, "three").unwrap_err();
        assert!(unclear.contains("one, two"), "{unclear}");
        assert_eq!(choose(&all[..1], "three"), Ok(1));
    }

    /// Checks that a document is refused with a text that has `expected` in it.
    #[track_caller]
    fn check_refused(declared: &str, value: &Value, expected: &str) {
        let refused = read(declared, value).unwrap_err();
        let said = format!("{refused}; {}", refused.hint());
        assert!(said.contains(expected), "{said}");
    }

    #[test]
    fn documents_that_could_be_two_things_are_refused() {
        let manifest = json!({"config": blob(1, CONFIG), "layers": [blob(2, LAYER)]});
        assert!(matches!(read(MANIFEST, &manifest), Ok(Document::Manifest(_))));
        check_refused(INDEX, &manifest, "not the `application/vnd.oci.image.index");
        let mut liar = manifest.clone();
        liar["mediaType"] = json!(INDEX);
        check_refused(MANIFEST, &liar, "not the `application/vnd.oci.image.index");
        let mut both = manifest.clone();
        both["manifests"] = json!([]);
        check_refused("", &both, "an index and a manifest at once");
        check_refused(
            MANIFEST,
            &json!({"manifests": []}),
            "not the `application/vnd.oci.image.man",
        );
        check_refused("", &json!({}), "neither");
        check_refused("", &json!({"config": blob(1, CONFIG)}), "neither");
        let twice = br#"{"manifests":[],"manifests":[]}"#;
        assert!(matches!(Document::read("d", "", twice), Err(ImageError::BadDocument { .. })));
    }

    #[test]
    fn what_is_no_image_is_refused_with_a_hint() {
        let with = |config: &str, layer: &str| json!({"config": blob(1, config), "layers": [blob(2, layer)]});
        let foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
        check_refused("", &with(CONFIG, foreign), "push the image again with all of its layers");
        check_refused("", &with(CONFIG, "text/plain"), "a layer of type `text/plain`");
        check_refused("", &with("application/vnd.oci.empty.v1+json", LAYER), "an artifact");
        check_refused("", &json!({"schemaVersion": 1, "fsLayers": []}), "schema version 1");
        let layers = vec![blob(2, LAYER); LAYERS_MAX + 1];
        let many = json!({"config": blob(1, CONFIG), "layers": layers});
        check_refused("", &many, "number of layers");
        let mut config = blob(1, CONFIG);
        config["size"] = json!(DOCUMENT_MAX_BYTES + 1);
        check_refused("", &json!({"config": config, "layers": []}), "config of the image exceeds");
    }

    #[test]
    fn a_layer_that_stands_twice_is_one_blob() {
        let layers = [blob(2, LAYER), blob(3, LAYER), blob(2, LAYER)];
        let manifest = json!({"config": blob(1, CONFIG), "layers": layers});
        let Ok(Document::Manifest(manifest)) = read("", &manifest) else { panic!("a manifest") };
        assert_eq!((manifest.layers.len(), manifest.blobs().len()), (3, 3));
    }
}
