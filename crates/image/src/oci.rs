//! The documents of OCI layouts and `docker save` archives, read from a directory that someone else
//! filled.
//!
//! Source: OCI image specification 1.1 (`image-layout.md`, `image-index.md`, `manifest.md`,
//! `config.md`); Docker Image Specification 1.2, "Combined Image JSON".

mod config;
mod docker;
mod index;
mod signal;

pub(crate) use config::Platform;
pub(crate) use docker::{from_docker_save, is_docker_save};
pub(crate) use index::{from_layout, is_layout};

use crate::content::digest_of;
use crate::error::ImageError;
use crate::limits::{DOCUMENT_MAX_BYTES, LAYERS_MAX};
use model::ids::Digest;
use model::spec::ImageConfig;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// An image found in a directory: everything but its layers' bytes.
#[derive(Debug)]
pub(crate) struct FoundImage {
    /// What names it.
    pub(crate) digest: Digest,
    /// What its programs need.
    pub(crate) config: ImageConfig,
    /// Lowest first.
    pub(crate) layers: Vec<FoundLayer>,
    /// The documents it was read from, to be kept.
    pub(crate) documents: Vec<Vec<u8>>,
}

/// A layer's file and what is promised of it.
#[derive(Debug)]
pub(crate) struct FoundLayer {
    /// Name below the directory.
    pub(crate) name: String,
    /// Digest of the file, if the format has one.
    pub(crate) digest: Option<Digest>,
    /// Digest of the decompressed archive.
    pub(crate) diff_id: Digest,
}

/// A reference to a blob.
#[derive(Clone, Debug, Deserialize)]
struct Descriptor {
    digest: Digest,
    #[serde(default, rename = "mediaType")]
    media_type: String,
    #[serde(default)]
    platform: Option<Platform>,
    #[serde(default)]
    annotations: std::collections::BTreeMap<String, String>,
}

/// The name of a blob below the root of an OCI layout.
fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// A directory whose content is not trusted: names in it are resolved as if it were the root.
#[derive(Debug)]
pub(crate) struct ForeignDir {
    path: PathBuf,
}

impl ForeignDir {
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether there is a file `name`.
    fn has(&self, name: &str) -> bool {
        self.open(name).is_ok()
    }

    /// The bytes of the small file `name`.
    fn read(&self, name: &str) -> Result<Vec<u8>, ImageError> {
        let path = self.path.join(name);
        let mut bytes = Vec::new();
        self.open(name)
            .and_then(|file| file.take(DOCUMENT_MAX_BYTES + 1).read_to_end(&mut bytes))
            .map_err(ImageError::io("read", &path))?;
        match u64::try_from(bytes.len()) {
            Ok(n) if n <= DOCUMENT_MAX_BYTES => Ok(bytes),
            _ => Err(ImageError::TooLarge { what: "a document", max: DOCUMENT_MAX_BYTES }),
        }
    }

    /// The bytes of the blob, which are what the digest says.
    fn read_blob(&self, digest: &Digest) -> Result<Vec<u8>, ImageError> {
        let bytes = self.read(&blob_name(digest))?;
        let actual = digest_of(&bytes);
        if actual == *digest {
            return Ok(bytes);
        }
        let what = blob_name(digest);
        Err(ImageError::DigestDiffers { what, expected: digest.clone(), actual })
    }

    /// Opens a regular file; never waits for one that is something else.
    fn open(&self, name: &str) -> io::Result<File> {
        let dir = openat(CWD, &self.path, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let file = File::from(openat2(dir, name, flags, Mode::empty(), resolve)?);
        if file.metadata()?.is_file() {
            Ok(file)
        } else {
            Err(io::Error::new(io::ErrorKind::InvalidInput, "not a file"))
        }
    }
}

/// Reads a document, naming it when it is not what it should be.
fn parse<T: DeserializeOwned>(document: &str, bytes: &[u8]) -> Result<T, ImageError> {
    serde_json::from_slice(bytes)
        .map_err(|source| ImageError::BadDocument { document: document.to_owned(), source })
}

/// Pairs each layer's name and digest with its diff id, when there are as many of both.
fn pair_layers(
    layers: Vec<(String, Option<Digest>)>,
    diff_ids: Vec<Digest>,
) -> Result<Vec<FoundLayer>, ImageError> {
    if layers.len() > LAYERS_MAX {
        let max = u64::try_from(LAYERS_MAX).expect("a small constant");
        return Err(ImageError::TooLarge { what: "the number of layers", max });
    }
    if layers.len() != diff_ids.len() {
        let (n, n_ids) = (layers.len(), diff_ids.len());
        let why = format!("its manifest lists {n} layers, its config {n_ids}");
        return Err(ImageError::NotAnImage { why });
    }
    let pair = |((name, digest), diff_id)| FoundLayer { name, digest, diff_id };
    Ok(layers.into_iter().zip(diff_ids).map(pair).collect())
}
