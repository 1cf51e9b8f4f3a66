//! Which proxies of an instance live, for whoever has to end them all.
//!
//! Each has a file with its number in the instance's runtime directory and keeps it locked: a file
//! that can be locked belongs to nobody any more, whoever has the number now.

use crate::error::ProxyError;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// Directory of the files, in the runtime directory.
const DIR: &str = "proxies";

/// This process' entry, for as long as this lives.
#[derive(Debug)]
pub(super) struct Entry {
    path: PathBuf,
    /// Holds the lock.
    _file: File,
}

/// Enters this process.
pub(super) fn enter(runtime_dir: &Path) -> Result<Entry, ProxyError> {
    let dir = runtime_dir.join(DIR);
    fs::create_dir_all(&dir).map_err(ProxyError::path("create", &dir))?;
    let pid = std::process::id();
    let (path, new) = (dir.join(pid.to_string()), dir.join(format!("{pid}.new")));
    let write = || -> io::Result<File> {
        let file = File::create(&new)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        // Visible when it is locked: before, it would be taken for one of a dead process.
        fs::rename(&new, &path)?;
        Ok(file)
    };
    let file = write().map_err(ProxyError::path("write", &path))?;
    Ok(Entry { path, _file: file })
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(%error, path = %self.path.display(), "its entry stays");
        }
    }
}

/// Processes of the proxies that live: the one with the doors, and those that were replaced and
/// still serve somebody.
///
/// # Errors
/// The directory cannot be read.
pub fn living(runtime_dir: &Path) -> io::Result<Vec<u32>> {
    let entries = match fs::read_dir(runtime_dir.join(DIR)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut pids = Vec::new();
    for entry in entries {
        let entry = entry?;
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        if is_locked(&entry.path())? {
            pids.push(pid);
        }
    }
    Ok(pids)
}

fn is_locked(path: &Path) -> io::Result<bool> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        file => file?,
    };
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(false),
        Err(Errno::WOULDBLOCK) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::{enter, living};
    use std::fs;

    #[test]
    fn a_process_is_there_until_it_leaves() {
        let dir = tempfile::tempdir().expect("a directory");
        assert_eq!(living(dir.path()).expect("read"), Vec::<u32>::new());
        let entry = enter(dir.path()).expect("entered");
        assert_eq!(living(dir.path()).expect("read"), [std::process::id()]);
        drop(entry);
        assert_eq!(living(dir.path()).expect("read"), Vec::<u32>::new());
    }

    #[test]
    fn the_file_of_a_process_that_was_killed_says_nothing() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::create_dir(dir.path().join(super::DIR)).expect("made");
        for name in ["1", "77.new", "word"] {
            fs::write(dir.path().join(super::DIR).join(name), "").expect("written");
        }
        assert_eq!(living(dir.path()).expect("read"), Vec::<u32>::new());
    }
}
