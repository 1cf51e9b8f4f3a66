//! Pins: files with a namespace mounted on them, which keep it alive without a process.

use crate::error::{Result, at};
use rustix::fs::{StatxAttributes, StatxFlags};
use rustix::mount::UnmountFlags;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::Path;

/// File system type of namespace files (`NSFS_MAGIC` of `linux/magic.h`).
const NSFS_MAGIC: u64 = 0x6e73_6673;

/// Most mounts stacked on one path that are unmounted before giving up.
///
/// A crash between two steps leaves at most one extra layer; more means that something else
/// mounts there.
const MAX_STACKED_MOUNTS: usize = 16;

/// Mounts the namespace file `namespace` on `path`, replacing what was pinned there.
pub(crate) fn pin(namespace: &Path, path: &Path) -> Result<()> {
    unpin(path)?;
    File::create(path).map_err(at("create the pin", path))?;
    rustix::mount::mount_bind(namespace, path).map_err(at("pin a namespace at", path))
}

/// Whether a namespace is mounted on `path`; a missing file is no pin.
pub(crate) fn is_pin(path: &Path) -> Result<bool> {
    match rustix::fs::statfs(path) {
        Ok(stat) => Ok(u64::try_from(stat.f_type).is_ok_and(|kind| kind == NSFS_MAGIC)),
        Err(rustix::io::Errno::NOENT) => Ok(false),
        Err(e) => Err(at("look at the pin", path)(e)),
    }
}

/// Removes the pin at `path`, whether whole, half made or absent.
pub(crate) fn unpin(path: &Path) -> Result<()> {
    unmount_all(path)?;
    absent(fs::remove_file(path)).map_err(at("remove the pin", path))
}

/// Unmounts everything mounted exactly on `path`.
pub(crate) fn unmount_all(path: &Path) -> Result<()> {
    for _ in 0..MAX_STACKED_MOUNTS {
        if !is_mount_root(path)? {
            return Ok(());
        }
        rustix::mount::unmount(path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)
            .map_err(at("unmount", path))?;
    }
    Err(at("unmount every layer of", path)(io::Error::from(ErrorKind::ResourceBusy)))
}

/// Whether something is mounted exactly on `path`; a missing path is not.
pub(crate) fn is_mount_root(path: &Path) -> Result<bool> {
    let seen =
        rustix::fs::statx(rustix::fs::CWD, path, rustix::fs::AtFlags::empty(), StatxFlags::TYPE);
    match seen {
        Ok(stat) => Ok(stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)),
        Err(rustix::io::Errno::NOENT) => Ok(false),
        Err(e) => Err(at("look at", path)(e)),
    }
}

/// Takes "it is not there" as success.
pub(crate) fn absent(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
