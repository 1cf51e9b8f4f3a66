//! How does a file become visible whole?
//!
//! Everything that a reader may find under its final name was written under another one, forced
//! onto the disk and renamed; then the directory was forced onto the disk too. A power cut leaves
//! the old content or the new one, never a part.
//!
//! Each room of the workspace has one [`Door`], which names the failpoints that its files pass:
//!
//! ```text
//! create · <write> · write · fsync · <before rename> · rename · <after rename> · fsync directory
//! ```
//!
//! Files are readable by their owner alone. Which names files have, and what clears half-made ones
//! after a crash, is the business of the room.

mod error;

pub use error::{DurableError, is_disk_full};

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Permissions of files: data of machines is nobody else's business.
const FILE_MODE: u32 = 0o600;

/// Permissions of private directories.
const DIR_MODE: u32 = 0o700;

/// A room's way to the disk, by the names of its failpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Door {
    /// Stands before each write; may say that the disk is full.
    pub write: &'static str,
    /// Passed when the new content is on the disk and the old one is still what readers find.
    pub before_rename: &'static str,
    /// Passed when readers find the new content, which a power cut may still take back.
    pub after_rename: &'static str,
}

impl Door {
    /// Puts `content` into the new file `path` and onto the disk; not yet published.
    ///
    /// # Errors
    /// [`DurableError`], also when there is such a file already.
    pub fn write_new(&self, path: &Path, content: &[u8]) -> Result<(), DurableError> {
        let mut options = File::options();
        self.write(options.create_new(true), path, content).map(drop)
    }

    /// Puts `content` at `path` by way of `tmp`, replacing what was at either.
    ///
    /// # Errors
    /// [`DurableError`]; `path` is as it was, unless only its directory could not be synced.
    pub fn replace(&self, tmp: &Path, path: &Path, content: &[u8]) -> Result<(), DurableError> {
        self.write(File::options().create(true).truncate(true), tmp, content)?;
        self.rename(tmp, path)
    }

    /// Moves the finished file `tmp`, open as `file`, to `path`.
    ///
    /// # Errors
    /// As [`Self::replace`].
    pub fn publish(&self, file: &File, tmp: &Path, path: &Path) -> Result<(), DurableError> {
        file.sync_all().map_err(DurableError::of("sync", tmp))?;
        self.rename(tmp, path)
    }

    /// Renames durably what is on the disk already; both names lie on one file system.
    ///
    /// When they lie in different directories, the caller sees to the one that loses a name.
    ///
    /// # Errors
    /// As [`Self::replace`].
    pub fn rename(&self, from: &Path, to: &Path) -> Result<(), DurableError> {
        failpoint::hit(self.before_rename);
        std::fs::rename(from, to).map_err(DurableError::of("rename", from))?;
        failpoint::hit(self.after_rename);
        sync_parent(to)
    }

    /// Moves `from` into the directory `place`, which is made if missing, under its own name and
    /// a number that is free; returns where to.
    ///
    /// # Errors
    /// [`DurableError`]; what could not be moved is where it was.
    pub fn set_aside(&self, from: &Path, place: &Path) -> Result<PathBuf, DurableError> {
        make_dir(place)?;
        let name = from.file_name().unwrap_or_default().to_string_lossy();
        let free = (0_u32..)
            .map(|n| place.join(format!("{name}.{n}")))
            .find(|path| path.symlink_metadata().is_err())
            .expect("a free number exists");
        self.rename(from, &free)?;
        sync_parent(from)?;
        Ok(free)
    }

    fn write(
        &self,
        options: &mut OpenOptions,
        path: &Path,
        content: &[u8],
    ) -> Result<File, DurableError> {
        let mut file = options
            .write(true)
            .mode(FILE_MODE)
            .open(path)
            .map_err(DurableError::of("create", path))?;
        let written = failpoint::io(self.write)
            .and_then(|()| file.write_all(content))
            .and_then(|()| file.sync_all());
        written.map_err(|error| {
            // A disk that was too full for all of it does not keep a part. If not even that works,
            // the first error says what is wrong.
            drop(std::fs::remove_file(path));
            DurableError::of("write", path)(error)
        })?;
        Ok(file)
    }
}

/// Makes the directory and its parents.
///
/// # Errors
/// [`DurableError`].
pub fn make_dir(dir: &Path) -> Result<(), DurableError> {
    std::fs::create_dir_all(dir).map_err(DurableError::of("make", dir))
}

/// Makes the directory and its parents; nobody but its owner may look into it.
///
/// # Errors
/// [`DurableError`].
pub fn make_private_dir(dir: &Path) -> Result<(), DurableError> {
    make_dir(dir)?;
    let private = Permissions::from_mode(DIR_MODE);
    std::fs::set_permissions(dir, private).map_err(DurableError::of("close", dir))
}

/// Names in a directory; those that are not text cannot be ours and are left out.
///
/// # Errors
/// [`DurableError`], also when there is no such directory.
pub fn names_in(dir: &Path) -> Result<Vec<String>, DurableError> {
    let list = || {
        let names = std::fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name().into_string()));
        names.collect::<io::Result<Vec<_>>>()
    };
    let names = list().map_err(DurableError::of("list", dir))?;
    Ok(names.into_iter().flatten().collect())
}

/// Forces a file's content, or a directory's names, onto the disk.
///
/// # Errors
/// [`DurableError`].
pub fn sync(path: &Path) -> Result<(), DurableError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(DurableError::of("sync", path))
}

/// Makes the names in the directory of `path` durable.
///
/// # Errors
/// [`DurableError`].
pub fn sync_parent(path: &Path) -> Result<(), DurableError> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    sync(dir.unwrap_or(Path::new(".")))
}

/// Removes a file that may be absent.
///
/// # Errors
/// [`DurableError`].
pub fn remove_file(path: &Path) -> Result<(), DurableError> {
    ignore_absent(std::fs::remove_file(path)).map_err(DurableError::of("remove", path))
}

/// Removes a directory that may be absent, with everything in it.
///
/// # Errors
/// [`DurableError`].
pub fn remove_tree(path: &Path) -> Result<(), DurableError> {
    ignore_absent(std::fs::remove_dir_all(path)).map_err(DurableError::of("remove", path))
}

fn ignore_absent(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests;
