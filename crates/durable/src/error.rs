//! What can go wrong between a program and its disk.

use std::io;
use std::path::{Path, PathBuf};

/// Why something did not become durable. Rooms turn it into an error of their own.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} `{}`", path.display())]
pub struct DurableError {
    /// What was tried, as a verb: "rename".
    pub action: &'static str,
    /// On what.
    pub path: PathBuf,
    /// Why not.
    pub source: io::Error,
}

impl DurableError {
    /// Wraps the error of a system call; made for `map_err`.
    pub fn of<E: Into<io::Error>>(action: &'static str, path: &Path) -> impl FnOnce(E) -> Self {
        let path = path.to_owned();
        move |source| Self { action, path, source: source.into() }
    }
}

/// Whether the disk, or our share of it, is full.
#[must_use]
pub fn is_disk_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
