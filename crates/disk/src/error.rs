//! Everything that can go wrong with a disk.

use crate::record::AttachKind;
use durable::DurableError;
use model::ids::MachineId;
use std::io;
use std::path::{Path, PathBuf};

/// Why a disk operation failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiskError {
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
    /// The machine has no disk; create one.
    #[error("machine {machine} has no disk")]
    Missing {
        /// Whose disk was asked for.
        machine: MachineId,
    },
    /// The disk exists, but of another size or for another base image.
    #[error("machine {machine} already has a disk of {size_bytes} bytes for base {base_digest}")]
    Differs {
        /// Whose disk.
        machine: MachineId,
        /// Size of the disk that exists.
        size_bytes: u64,
        /// Base of the disk that exists.
        base_digest: String,
    },
    /// Someone holds the lock: the machine runs, or its last run is still being detached.
    #[error("`{}` is attached: its machine runs or is still being detached", path.display())]
    InUse {
        /// The locked disk file.
        path: PathBuf,
    },
    /// The disk was first used another way, and that never changes.
    #[error("`{}` is a disk for {recorded} and cannot be attached as {wanted}", path.display())]
    AttachDiffers {
        /// The disk file.
        path: PathBuf,
        /// The way it was first used.
        recorded: AttachKind,
        /// The way it was asked for now.
        wanted: AttachKind,
    },
    /// The record is damaged or from a newer version.
    #[error("the disk record `{}` cannot be read", path.display())]
    BadRecord {
        /// The record.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The record's format is not one this version knows.
    #[error("the disk record `{}` has format {format}, this version knows {known}", path.display())]
    UnknownFormat {
        /// The record.
        path: PathBuf,
        /// Its format.
        format: u32,
        /// The newest format known here.
        known: u32,
    },
    /// The size is not one a disk can have.
    #[error("a disk of {size_gib} GiB is not possible: 1 to {max} GiB are")]
    SizeOutOfRange {
        /// What was asked for.
        size_gib: u32,
        /// The largest size.
        max: u32,
    },
    /// `mkfs.ext4` failed.
    #[error("`mkfs.ext4` failed for `{}` ({status}): {stderr}", path.display())]
    Mkfs {
        /// The file to be formatted.
        path: PathBuf,
        /// How it ended.
        status: std::process::ExitStatus,
        /// The beginning of what it said.
        stderr: String,
    },
    /// The file system is damaged, and `e2fsck` could not repair it.
    #[error("`{}` is damaged and cannot be repaired ({status}): {said}", path.display())]
    Damaged {
        /// The disk file.
        path: PathBuf,
        /// How `e2fsck` ended.
        status: std::process::ExitStatus,
        /// The beginning of what it said.
        said: String,
    },
    /// Each free loop device was taken by another process before this one got it.
    #[error("no loop device could be had in {tries} tries")]
    NoLoopDevice {
        /// How often it was tried.
        tries: u32,
    },
}

impl DiskError {
    /// Whether the cause is a full disk.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        matches!(self, Self::Io { source, .. } if durable::is_disk_full(source))
    }

    /// Wraps the error of a system call; made for `map_err`.
    pub(crate) fn io<E: Into<io::Error>>(
        action: &'static str,
        path: &Path,
    ) -> impl FnOnce(E) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source: source.into() }
    }
}

impl From<DurableError> for DiskError {
    fn from(error: DurableError) -> Self {
        let DurableError { action, path, source } = error;
        Self::Io { action, path, source }
    }
}
