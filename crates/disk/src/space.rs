//! How much room is left, and the room kept for the worst day.

use crate::error::DiskError;
use rustix::fs::statvfs;
use std::path::Path;

/// Size of the ballast file: enough for the store to commit and for machines to be destroyed.
pub const BALLAST_BYTES: u64 = 64 * 1024 * 1024;

/// Part of the file system of `data_dir` that is free for us: 0.0 (full) to 1.0 (empty).
///
/// # Errors
/// [`DiskError::Io`] when the file system cannot be asked.
pub fn free_ratio(data_dir: &Path) -> Result<f64, DiskError> {
    let stat = statvfs(data_dir).map_err(DiskError::io("ask for the free space of", data_dir))?;
    Ok(ratio(stat.f_bavail, stat.f_blocks))
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

/// `part` of `whole`, exact to one in a million.
fn ratio(part: u64, whole: u64) -> f64 {
    const MILLION: u128 = 1_000_000;
    let millionths = u128::from(part) * MILLION / u128::from(whole).max(1);
    f64::from(u32::try_from(millionths).unwrap_or(u32::MAX)) / 1e6
}

/// A file that only takes up room, to be given back when the file system is full.
pub mod ballast {
    use super::{BALLAST_BYTES, is_full};
    use crate::durable;
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

    /// Gives the ballast back if the file system is as good as full.
    ///
    /// # Errors
    /// [`DiskError::Io`].
    pub fn release_if_full(data_dir: &Path) -> Result<(), DiskError> {
        if is_full(data_dir)? { release(data_dir) } else { Ok(()) }
    }

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
        let path = path_in(data_dir);
        if has_all_blocks(&path) {
            return Ok(());
        }
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
        durable::sync_parent(&path)
    }

    fn has_all_blocks(path: &Path) -> bool {
        path.metadata().is_ok_and(|file| file.blocks() * STAT_BLOCK_BYTES >= BALLAST_BYTES)
    }

    /// Gives the room back; does nothing when that was done before.
    ///
    /// # Errors
    /// [`DiskError::Io`] when the file cannot be removed.
    pub fn release(data_dir: &Path) -> Result<(), DiskError> {
        let path = path_in(data_dir);
        durable::remove_file(&path)?;
        durable::sync_parent(&path)
    }
}

#[cfg(test)]
mod tests {
    use super::ratio;

    #[test]
    fn ratio_is_a_part_of_the_whole() {
        let check = |part, whole, expected: f64| {
            assert!((ratio(part, whole) - expected).abs() < 1e-6, "{part}/{whole}");
        };
        check(0, 100, 0.0);
        check(1, 4, 0.25);
        check(u64::MAX, u64::MAX, 1.0);
        check(0, 0, 0.0);
    }
}
