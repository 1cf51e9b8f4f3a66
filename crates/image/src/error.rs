//! Everything that can go wrong with an image.

mod advice;

use crate::unpack::UnpackFailure;
use durable::DurableError;
use model::ids::Digest;
use std::io;
use std::path::{Path, PathBuf};

/// Why an image operation failed. Whatever it was, nothing half-made is left in the store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// The kernel refused; a full disk shows as [`io::ErrorKind::StorageFull`] in `source`.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was tried, as a verb: "rename".
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The archive or one of its layers was refused, or the disk is full.
    #[error("the image's layers cannot be unpacked")]
    Unpack(#[source] UnpackFailure),
    /// The unpacking process itself failed.
    #[error("the unpacking process {why}{}", said(stderr))]
    Helper {
        /// What it did: "was killed by signal 6 (…)".
        why: String,
        /// The beginning of what it said.
        stderr: String,
    },
    /// What was to be imported cannot be read.
    #[error("{what} cannot be read")]
    Unreadable {
        /// The path in backquotes, or "the archive".
        what: String,
        /// Why not.
        source: io::Error,
    },
    /// Neither an OCI layout nor a `docker save` nor a root file system.
    #[error("not an image: {why}")]
    NotAnImage {
        /// What was missing or wrong.
        why: String,
    },
    /// A manifest, index or config is not what the formats say.
    #[error("`{document}` of the image cannot be read")]
    BadDocument {
        /// Its name in the image.
        document: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// Something is larger, deeper or more numerous than its bound.
    #[error("{what} of the image exceeds the limit of {max}")]
    TooLarge {
        /// What: "the number of layers".
        what: &'static str,
        /// The bound.
        max: u64,
    },
    /// The content is not what its digest says.
    #[error("`{what}` has digest {actual}, its reference says {expected}")]
    DigestDiffers {
        /// The document's name in the image.
        what: String,
        /// What the reference promises.
        expected: Digest,
        /// What it is.
        actual: Digest,
    },
    /// The image, or a part of it, is of a kind that is not read here.
    #[error("{what} is not supported")]
    Unsupported {
        /// What: "a manifest of schema version 1".
        what: String,
        /// What the image's owner can do.
        hint: &'static str,
    },
    /// The image has no variant for this host.
    #[error("the image has no variant for {host}; it has: {offered}")]
    NoVariant {
        /// This host's platform: `linux/amd64`.
        host: String,
        /// What the image offers.
        offered: String,
    },
    /// The file holds several images, and the name does not say which.
    #[error("the file holds several images, say which by its tag: {offered}")]
    Ambiguous {
        /// Their tags.
        offered: String,
    },
    /// The name is not `repository[:tag]`.
    #[error("`{name}` is not an image name: expected `repository[:tag]` in lower case")]
    BadName {
        /// What was given.
        name: String,
    },
    /// `mkfs.erofs` failed.
    #[error("`mkfs.erofs` failed ({status}){}", said(stderr))]
    Mkfs {
        /// How it ended.
        status: String,
        /// The beginning of what it said.
        stderr: String,
    },
    /// The file system has less room than what is to come needs.
    #[error("there is room for {free_bytes} bytes, and {needed_bytes} are to come")]
    NoRoom {
        /// What is to come.
        needed_bytes: u64,
        /// What is free.
        free_bytes: u64,
    },
    /// This process is at work on it already; wait for that instead.
    #[error("{digest} is being pulled already")]
    UnderWay {
        /// The image's manifest.
        digest: Digest,
    },
    /// More bytes came than the blob may have.
    #[error("blob {digest} has more than the {size_bytes} bytes that its manifest says")]
    BlobTooLong {
        /// Which.
        digest: Digest,
        /// Its size according to the manifest.
        size_bytes: u64,
    },
    /// The blob's end has not come; the rest can be fetched.
    #[error("blob {digest} ends after {has_bytes} of {size_bytes} bytes")]
    BlobTooShort {
        /// Which.
        digest: Digest,
        /// Its size according to the manifest.
        size_bytes: u64,
        /// What is here.
        has_bytes: u64,
    },
    /// A blob of the pull is not here.
    #[error("blob {digest} has not come yet")]
    BlobMissing {
        /// Which.
        digest: Digest,
    },
    /// The store has no such image.
    #[error("no image {digest} in the store")]
    Missing {
        /// What was asked for.
        digest: Digest,
    },
    /// The stored image is not what was published.
    #[error("image {digest} is damaged: {why}; pull or import it again")]
    Damaged {
        /// Which.
        digest: Digest,
        /// What was found.
        why: String,
    },
}

fn said(stderr: &str) -> String {
    if stderr.is_empty() { String::new() } else { format!(": {stderr}") }
}

impl ImageError {
    /// Wraps the error of a system call; made for `map_err`.
    pub(crate) fn io<E: Into<io::Error>>(
        action: &'static str,
        path: &Path,
    ) -> impl FnOnce(E) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source: source.into() }
    }

    /// Wraps what kept a file from being read that the caller has named; made for `map_err`.
    pub(crate) fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let what = format!("`{}`", path.display());
        move |source| Self::Unreadable { what, source }
    }
}

impl From<DurableError> for ImageError {
    fn from(error: DurableError) -> Self {
        let DurableError { action, path, source } = error;
        Self::Io { action, path, source }
    }
}
