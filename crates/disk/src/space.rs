//! How much room is left, and the room kept for the worst day.

use crate::error::DiskError;
use model::pressure::Room;
use rustix::fs::statvfs;
use std::path::Path;

/// Size of the ballast file: enough for the store to commit and for machines to be destroyed.
pub const BALLAST_BYTES: u64 = 64 * 1024 * 1024;

/// The room that machines may use on the file system of `data_dir`. The ballast counts as used also
/// while it is given back: what room it leaves is not theirs.
///
/// # Errors
/// [`DiskError::Io`] when the file system cannot be asked.
pub fn room(data_dir: &Path) -> Result<Room, DiskError> {
    let stat = statvfs(data_dir).map_err(DiskError::io("ask for the free space of", data_dir))?;
    let lent_bytes = BALLAST_BYTES.saturating_sub(ballast::taken_bytes(data_dir));
    Ok(Room {
        free_bytes: stat.f_bavail.saturating_mul(stat.f_frsize).saturating_sub(lent_bytes),
        total_bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
    })
}

/// Less room than this is none: the store needs some for its index and log, a machine's disk for
/// its journal, and a write that goes through may be the last one.
const FULL_BELOW_BYTES: u64 = 4 * 1024 * 1024;

/// Whether the file system of `data_dir` is as good as full.
///
/// # Errors
/// [`DiskError::Io`] when the file system cannot be asked.
pub fn is_full(data_dir: &Path) -> Result<bool, DiskError> {
    Ok(free_bytes(data_dir)? < FULL_BELOW_BYTES)
}

fn free_bytes(data_dir: &Path) -> Result<u64, DiskError> {
    let stat = statvfs(data_dir).map_err(DiskError::io("ask for the free space of", data_dir))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// A file that only takes up room, to be given back when the file system is full.
pub mod ballast {
    use super::{BALLAST_BYTES, is_full};
    use crate::error::DiskError;
    use rustix::fs::{FallocateFlags, fallocate};
    use std::fs::File;
    use std::os::unix::fs::MetadataExt as _;
    use std::path::{Path, PathBuf};

    fn path_in(data_dir: &Path) -> PathBuf {
        data_dir.join("ballast")
    }

    /// Unit of `st_blocks`, whatever the file system's own. Source: stat(3type).
    const STAT_BLOCK_BYTES: u64 = 512;

    /// For the start of a daemon: takes the ballast on board, or gives it back if there is so
    /// little room that not even the start could be completed.
    ///
    /// # Errors
    /// [`DiskError::Io`]; with [`DiskError::is_disk_full`] there is no room for it now.
    pub fn trim(data_dir: &Path) -> Result<(), DiskError> {
        if is_full(data_dir)? {
            return release(data_dir);
        }
        // A file that got some of its blocks would take the room that is left.
        ensure(data_dir).or_else(|error| release(data_dir).and(Err(error)))
    }

    /// Makes sure that the ballast is there with all its blocks; does nothing when it is.
    ///
    /// # Errors
    /// [`DiskError::Io`]; with [`DiskError::is_disk_full`] there is no room for it now.
    pub fn ensure(data_dir: &Path) -> Result<(), DiskError> {
        if taken_bytes(data_dir) >= BALLAST_BYTES {
            return Ok(());
        }
        let path = path_in(data_dir);
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(DiskError::io("open", &path))?;
        let taken = failpoint::io("disk.ballast")
            .and_then(|()| Ok(fallocate(&file, FallocateFlags::empty(), 0, BALLAST_BYTES)?));
        taken.map_err(DiskError::io("allocate", &path))?;
        file.sync_all().map_err(DiskError::io("sync", &path))?;
        Ok(durable::sync_parent(&path)?)
    }

    /// Room that the ballast takes now.
    pub(super) fn taken_bytes(data_dir: &Path) -> u64 {
        path_in(data_dir).metadata().map_or(0, |file| file.blocks() * STAT_BLOCK_BYTES)
    }

    /// Gives the room back; does nothing when that was done before.
    ///
    /// # Errors
    /// [`DiskError::Io`] when the file cannot be removed.
    pub fn release(data_dir: &Path) -> Result<(), DiskError> {
        let path = path_in(data_dir);
        durable::remove_file(&path)?;
        Ok(durable::sync_parent(&path)?)
    }
}
