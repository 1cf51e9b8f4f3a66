//! Room for what is about to come.

use crate::error::ImageError;
use rustix::fs::{FallocateFlags, fallocate, statvfs};
use rustix::io::Errno;
use std::fs::File;
use std::path::Path;

/// Refuses to begin what cannot end: `needed_bytes` must be free below `dir`.
pub(crate) fn expect_room(dir: &Path, needed_bytes: u64) -> Result<(), ImageError> {
    let stat = statvfs(dir).map_err(ImageError::io("ask for the free space of", dir))?;
    let free_bytes = stat.f_bavail.saturating_mul(stat.f_frsize);
    if needed_bytes <= free_bytes {
        Ok(())
    } else {
        Err(ImageError::NoRoom { needed_bytes, free_bytes })
    }
}

/// Takes the room for `file` to grow to `size_bytes`, where the file system can; its length stays.
pub(super) fn reserve(file: &File, path: &Path, size_bytes: u64) -> Result<(), ImageError> {
    if size_bytes == 0 {
        return Ok(());
    }
    match fallocate(file, FallocateFlags::KEEP_SIZE, 0, size_bytes) {
        Ok(()) | Err(Errno::OPNOTSUPP) => Ok(()),
        Err(error) => Err(ImageError::io("reserve room for", path)(error)),
    }
}
