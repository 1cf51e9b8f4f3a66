//! The documents of OCI layouts and `docker save` archives, read from a directory that someone else
//! filled.
//!
//! Source: OCI image specification 1.1 (`image-layout.md`, `image-index.md`, `manifest.md`,
//! `config.md`); Docker Image Specification 1.2, "Combined Image JSON".

mod config;
mod docker;
mod document;
mod index;
mod media;
mod signal;

pub(crate) use config::read_config;
pub(crate) use docker::{from_docker_save, is_docker_save};
pub use document::{BlobRef, Document, ImageIndex, ImageManifest};
pub(crate) use index::{from_layout, from_manifest, is_layout};

use crate::content::digest_of;
use crate::error::ImageError;
use crate::limits::{DOCUMENT_MAX_BYTES, LAYERS_MAX};
use model::ids::Digest;
use model::spec::ImageConfig;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
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
    /// Size of the file, if the format has one.
    pub(crate) size_bytes: Option<u64>,
    /// Digest of the decompressed archive.
    pub(crate) diff_id: Digest,
}

/// The name of a blob below the root of an OCI layout.
pub(crate) fn blob_name(digest: &Digest) -> String {
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
    pub(crate) fn read(&self, name: &str) -> Result<Vec<u8>, ImageError> {
        let path = self.path.join(name);
        let file = self.open(name).map_err(|error| absent(name, &path, error))?;
        let mut bytes = Vec::new();
        file.take(DOCUMENT_MAX_BYTES + 1)
            .read_to_end(&mut bytes)
            .map_err(ImageError::io("read", &path))?;
        match u64::try_from(bytes.len()) {
            Ok(n) if n <= DOCUMENT_MAX_BYTES => Ok(bytes),
            _ => Err(ImageError::TooLarge { what: "a document", max: DOCUMENT_MAX_BYTES }),
        }
    }

    /// The bytes of the blob, which are what its reference says.
    fn read_blob(&self, blob: &BlobRef) -> Result<Vec<u8>, ImageError> {
        let bytes = self.read(&blob_name(&blob.digest))?;
        expect_blob(blob, &bytes)?;
        Ok(bytes)
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

/// Why a file could not be opened: the image's fault when it names one that it has not.
fn absent(name: &str, path: &Path, error: io::Error) -> ImageError {
    use io::ErrorKind::{InvalidFilename, InvalidInput, NotADirectory, NotFound};
    let is_loop = error.raw_os_error() == Some(libc::ELOOP);
    match error.kind() {
        NotFound | NotADirectory | InvalidInput | InvalidFilename => {}
        _ if is_loop => {}
        _ => return ImageError::io("open", path)(error),
    }
    let shown: String = name.chars().take(100).flat_map(char::escape_debug).collect();
    ImageError::NotAnImage { why: format!("it has no file `{shown}`: {error}") }
}

/// Reads a document, naming it when it is not what it should be.
fn parse<T: DeserializeOwned>(document: &str, bytes: &[u8]) -> Result<T, ImageError> {
    serde_json::from_slice(bytes)
        .map_err(|source| ImageError::BadDocument { document: document.to_owned(), source })
}

/// Refuses bytes that are not what their reference says.
pub(crate) fn expect_blob(blob: &BlobRef, bytes: &[u8]) -> Result<(), ImageError> {
    let what = blob_name(&blob.digest);
    let actual = digest_of(bytes);
    if actual != blob.digest {
        return Err(ImageError::DigestDiffers { what, expected: blob.digest.clone(), actual });
    }
    match u64::try_from(bytes.len()) {
        Ok(n) if n == blob.size_bytes => Ok(()),
        _ => Err(ImageError::NotAnImage {
            why: format!("`{what}` has {} bytes instead of {}", bytes.len(), blob.size_bytes),
        }),
    }
}

/// Refuses an image with more layers than diff ids or the other way round, or too many of them.
fn expect_as_many(n_layers: usize, n_ids: usize) -> Result<(), ImageError> {
    if n_layers > LAYERS_MAX {
        let max = u64::try_from(LAYERS_MAX).expect("a small constant");
        return Err(ImageError::TooLarge { what: "the number of layers", max });
    }
    if n_layers == n_ids {
        return Ok(());
    }
    let why = format!("its manifest lists {n_layers} layers, its config {n_ids}");
    Err(ImageError::NotAnImage { why })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_and_diff_ids_are_as_many() {
        expect_as_many(2, 2).unwrap();
        assert!(matches!(expect_as_many(1, 2), Err(ImageError::NotAnImage { .. })));
        let many = LAYERS_MAX + 1;
        assert!(matches!(expect_as_many(many, many), Err(ImageError::TooLarge { .. })));
    }
}
