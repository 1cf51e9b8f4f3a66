//! Why an archive was not unpacked, in a form that crosses from the child to the parent.

use serde::{Deserialize, Serialize};
use std::io;

/// Longest part of an entry's name in a message, in characters.
const SHOWN_MAX_CHARS: usize = 200;

/// Why an archive was refused or could not be unpacked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum UnpackFailure {
    /// The archive ends before its end.
    #[error("the archive is cut short")]
    Truncated,
    /// The bytes are not a tar archive or not the compressed stream they begin as.
    #[error("the archive is malformed: {why}")]
    Malformed {
        /// What is wrong.
        why: String,
    },
    /// The archive uses something we do not read.
    #[error("`{what}` is not supported")]
    Unsupported {
        /// What.
        what: String,
    },
    /// An entry has a name, a link target or an owner that no tree can have.
    #[error("entry `{entry}` {why}")]
    BadEntry {
        /// The entry's name.
        entry: String,
        /// What is wrong: "leaves the root".
        why: String,
    },
    /// A bound was reached.
    #[error("{what} exceeds the limit of {max}")]
    TooLarge {
        /// What: "the number of entries".
        what: String,
        /// The bound.
        max: u64,
    },
    /// A layer is not the one the image names.
    #[error("a layer has digest sha256:{actual}, its image says sha256:{expected}")]
    DigestDiffers {
        /// What the image promises, in hex.
        expected: String,
        /// What it is, in hex.
        actual: String,
    },
    /// The kernel refused; `errno` 28 is a full disk.
    #[error("cannot {action} `{entry}`: {}", io::Error::from_raw_os_error(*errno))]
    Io {
        /// What was tried, as a verb.
        action: String,
        /// On what.
        entry: String,
        /// The error's number.
        errno: i32,
    },
}

impl UnpackFailure {
    /// Whether the cause is a full disk.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        let is_full = |errno: &i32| durable::is_disk_full(&io::Error::from_raw_os_error(*errno));
        matches!(self, Self::Io { errno, .. } if is_full(errno))
    }

    /// Whether the host failed and not the archive: no entry makes a disk break or fill up, or
    /// memory run out, that the bounds of archives did not stop.
    #[must_use]
    pub fn is_host_fault(&self) -> bool {
        let hosts = [libc::EIO, libc::EROFS, libc::ENOMEM, libc::EMFILE, libc::ENFILE];
        self.is_disk_full() || matches!(self, Self::Io { errno, .. } if hosts.contains(errno))
    }

    pub(super) fn malformed(why: impl Into<String>) -> Self {
        Self::Malformed { why: why.into() }
    }

    pub(super) fn bad_entry(entry: &[u8], why: impl Into<String>) -> Self {
        Self::BadEntry { entry: shown(entry), why: why.into() }
    }

    pub(super) fn too_large(what: &str, max: u64) -> Self {
        Self::TooLarge { what: what.to_owned(), max }
    }

    /// Wraps the error of a system call; made for `map_err`.
    pub(super) fn io<E: Into<io::Error>>(action: &str, entry: &[u8]) -> impl FnOnce(E) -> Self {
        let (action, entry) = (action.to_owned(), shown(entry));
        move |error| {
            let errno = error.into().raw_os_error().unwrap_or(libc::EIO);
            Self::Io { action, entry, errno }
        }
    }

    /// The meaning of an error while reading the archive: ours when we put it there, else how the
    /// decompressor complains.
    pub(super) fn of_read(error: io::Error) -> Self {
        if let Some(ours) = error.get_ref().and_then(|inner| inner.downcast_ref::<Self>()) {
            return ours.clone();
        }
        match (error.kind(), error.raw_os_error()) {
            (io::ErrorKind::UnexpectedEof, _) => Self::Truncated,
            (_, Some(errno)) => {
                Self::Io { action: "read".to_owned(), entry: "the archive".to_owned(), errno }
            }
            _ => Self::malformed(error.to_string()),
        }
    }
}

/// A name for a message: without control characters and not too long.
fn shown(name: &[u8]) -> String {
    String::from_utf8_lossy(name)
        .chars()
        .take(SHOWN_MAX_CHARS)
        .flat_map(char::escape_debug)
        .collect()
}
