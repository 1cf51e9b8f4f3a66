//! Copying a disk without its holes.

use crate::error::DiskError;
use rustix::fs::{SeekFrom, ioctl_ficlone, seek};
use rustix::io::Errno;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// Bytes copied at a time: a template holds about this much in one run.
const CHUNK_BYTES: usize = 128 * 1024;

/// Makes `to` a copy of `from`: shared blocks where the file system can, else data without holes.
pub(crate) fn clone_sparse(from: &Path, to: &Path) -> Result<File, DiskError> {
    let source = File::open(from).map_err(DiskError::io("open", from))?;
    let target = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(to)
        .map_err(DiskError::io("create", to))?;
    failpoint::io("disk.clone").map_err(DiskError::io("clone to", to))?;
    if ioctl_ficlone(&target, &source).is_err() {
        copy_data(&source, &target).map_err(DiskError::io("copy to", to))?;
    }
    Ok(target)
}

/// Copies only the parts of `source` that hold data; the rest of `target`, which is as long then, stays a
/// hole.
///
/// # Errors
/// A file cannot be read or written; `target` may have a part.
pub fn copy_data(source: &File, target: &File) -> std::io::Result<()> {
    target.set_len(source.metadata()?.len())?;
    let mut at = 0;
    while let Some(start) = next_data(source, at)? {
        at = seek(source, SeekFrom::Hole(start))?;
        copy_range(source, target, start, at)?;
    }
    Ok(())
}

/// Where the first data at or after `from` begins.
fn next_data(file: &File, from: u64) -> std::io::Result<Option<u64>> {
    match seek(file, SeekFrom::Data(from)) {
        Ok(start) => Ok(Some(start)),
        Err(Errno::NXIO) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn copy_range(source: &File, target: &File, mut at: u64, end: u64) -> std::io::Result<()> {
    let mut chunk = vec![0; CHUNK_BYTES];
    while at < end {
        let wanted = usize::try_from(end - at).unwrap_or(usize::MAX).min(CHUNK_BYTES);
        let n_read = source.read_at(&mut chunk[..wanted], at)?;
        if n_read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        target.write_all_at(&chunk[..n_read], at)?;
        at += u64::try_from(n_read).expect("a chunk is small");
    }
    Ok(())
}
