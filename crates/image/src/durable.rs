//! The one door to the disk: what is published here survives a power cut, whole or not at all.

use crate::error::ImageError;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Makes the directory and its parents.
pub(crate) fn make_dir(dir: &Path) -> Result<(), ImageError> {
    std::fs::create_dir_all(dir).map_err(ImageError::io("make", dir))
}

/// Makes the directory and its parents; nobody but its owner may look into it.
pub(crate) fn make_private_dir(dir: &Path) -> Result<(), ImageError> {
    make_dir(dir)?;
    let private = std::fs::Permissions::from_mode(0o700);
    std::fs::set_permissions(dir, private).map_err(ImageError::io("close", dir))
}

/// Puts `content` into the new file `path` and onto the disk; not yet published.
pub(crate) fn write_new(path: &Path, content: &[u8]) -> Result<(), ImageError> {
    let mut file = File::create_new(path).map_err(ImageError::io("create", path))?;
    failpoint::io("image.write")
        .and_then(|()| file.write_all(content))
        .and_then(|()| file.sync_all())
        .map_err(ImageError::io("write", path))
}

/// Forces a file's content, or a directory's names, onto the disk.
pub(crate) fn sync(path: &Path) -> Result<(), ImageError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(ImageError::io("sync", path))
}

/// Renames durably; both names lie on one file system.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), ImageError> {
    failpoint::hit("image.rename.before");
    std::fs::rename(from, to).map_err(ImageError::io("rename", from))?;
    failpoint::hit("image.rename.after");
    sync_parent(to)
}

/// Makes the names in the directory of `path` durable.
pub(crate) fn sync_parent(path: &Path) -> Result<(), ImageError> {
    sync(path.parent().expect("paths of the store have a parent"))
}

/// Removes a file that may be absent.
pub(crate) fn remove_file(path: &Path) -> Result<(), ImageError> {
    ignore_absent(std::fs::remove_file(path)).map_err(ImageError::io("remove", path))
}

/// Removes a directory that may be absent, with everything in it.
pub(crate) fn remove_tree(path: &Path) -> Result<(), ImageError> {
    ignore_absent(std::fs::remove_dir_all(path)).map_err(ImageError::io("remove", path))
}

fn ignore_absent(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
