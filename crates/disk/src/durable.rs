//! The one door to the disk: what is published here survives a power cut, whole or not at all.

use crate::error::DiskError;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Makes the directory and its parents.
pub(crate) fn make_dir(dir: &Path) -> Result<(), DiskError> {
    std::fs::create_dir_all(dir).map_err(DiskError::io("make", dir))
}

/// Makes the directory and its parents; nobody but its owner may look into it.
pub(crate) fn make_private_dir(dir: &Path) -> Result<(), DiskError> {
    make_dir(dir)?;
    let private = std::fs::Permissions::from_mode(0o700);
    std::fs::set_permissions(dir, private).map_err(DiskError::io("close", dir))
}

/// Puts `content` at `path`, replacing what was there: temporary file, fsync, rename, fsync.
pub(crate) fn write(tmp: &Path, path: &Path, content: &[u8]) -> Result<(), DiskError> {
    let mut file = File::create(tmp).map_err(DiskError::io("create", tmp))?;
    failpoint::io("disk.write")
        .and_then(|()| file.write_all(content))
        .map_err(DiskError::io("write", tmp))?;
    publish(&file, tmp, path)
}

/// Moves the finished file `tmp` to `path` so that a power cut leaves the old or the new one.
pub(crate) fn publish(file: &File, tmp: &Path, path: &Path) -> Result<(), DiskError> {
    file.sync_all().map_err(DiskError::io("sync", tmp))?;
    rename(tmp, path)
}

/// Renames durably; both names lie on one file system.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), DiskError> {
    failpoint::hit("disk.rename.before");
    std::fs::rename(from, to).map_err(DiskError::io("rename", from))?;
    failpoint::hit("disk.rename.after");
    sync_parent(to)
}

/// Makes the names in the directory of `path` durable.
pub(crate) fn sync_parent(path: &Path) -> Result<(), DiskError> {
    let dir = path.parent().expect("paths of the store have a parent");
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(DiskError::io("sync", dir))
}

/// Removes a file that may be absent.
pub(crate) fn remove_file(path: &Path) -> Result<(), DiskError> {
    ignore_absent(std::fs::remove_file(path)).map_err(DiskError::io("remove", path))
}

/// Removes a directory that may be absent, with everything in it.
pub(crate) fn remove_tree(path: &Path) -> Result<(), DiskError> {
    ignore_absent(std::fs::remove_dir_all(path)).map_err(DiskError::io("remove", path))
}

fn ignore_absent(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
