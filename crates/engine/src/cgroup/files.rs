//! Reading, writing, making and removing in cgroup file systems.

use crate::error::EngineError;
use rustix::fs::{Gid, Mode, OFlags, Uid, chown, open};
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

/// Longest wait for a cgroup to become empty after its processes were killed.
const EMPTY_WAIT: Duration = Duration::from_secs(5);

/// Pause between two tries to remove a directory: the kernel announces emptiness only in v2.
const RETRY_EVERY: Duration = Duration::from_micros(500);

/// Files that the owner of a delegated v2 cgroup writes. Source: cgroups(7), "Cgroup delegation".
pub(super) const DELEGATED_V2: [&str; 4] =
    ["", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"];

/// The same for a v1 hierarchy without controllers.
pub(super) const DELEGATED_V1: [&str; 3] = ["", "cgroup.procs", "tasks"];

/// Writes `value` to a control file.
pub(super) fn write(path: &Path, value: &str) -> Result<(), EngineError> {
    std::fs::OpenOptions::new()
        .write(true)
        .open(path)
        .and_then(|mut file| file.write_all(value.as_bytes()))
        .map_err(EngineError::cgroup("write", path))
}

/// Writes `value` where the kernel has the file at all.
pub(super) fn write_if_present(path: &Path, value: &str) -> Result<(), EngineError> {
    if path.exists() { write(path, value) } else { Ok(()) }
}

/// The text of a control file.
pub(super) fn read(path: &Path) -> Result<String, EngineError> {
    std::fs::read_to_string(path).map_err(EngineError::cgroup("read", path))
}

/// The number that a control file holds.
pub(super) fn read_number(path: &Path) -> Result<u64, EngineError> {
    let text = read(path)?;
    text.trim().parse().map_err(|_not_a_number| unexpected(path))
}

/// The number in the line `<key> <number>`.
pub(super) fn read_pair(path: &Path, key: &str) -> Result<u64, EngineError> {
    let text = read(path)?;
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
    value.and_then(|v| v.trim().parse().ok()).ok_or_else(|| unexpected(path))
}

fn unexpected(path: &Path) -> EngineError {
    EngineError::cgroup("understand", path)(io::Error::from(io::ErrorKind::InvalidData))
}

/// Opens a directory, as a target of CLONE_INTO_CGROUP.
pub(super) fn open_dir(path: &Path) -> Result<OwnedFd, EngineError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    open(path, flags, Mode::empty()).map_err(EngineError::cgroup("open", path))
}

/// Opens a control file for one write later on.
pub(super) fn open_for_writing(path: &Path) -> Result<OwnedFd, EngineError> {
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    open(path, flags, Mode::empty()).map_err(EngineError::cgroup("open", path))
}

/// Makes the directory and its parents. One that is there belongs to a run whose shim was killed;
/// it is removed first, so that counters start at zero and nobody is in it.
pub(super) fn make_dir(path: &Path) -> Result<(), EngineError> {
    match std::fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let parent = path.parent().unwrap_or(path);
            std::fs::create_dir_all(parent).map_err(EngineError::cgroup("make", parent))?;
            std::fs::create_dir(path)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            remove_tree(path)?;
            std::fs::create_dir(path)
        }
        other => other,
    }
    .map_err(EngineError::cgroup("make", path))
}

/// Gives a directory and those `files` in it to `owner`.
pub(super) fn delegate(dir: &Path, files: &[&str], owner: u32) -> Result<(), EngineError> {
    for file in files {
        let path = dir.join(file);
        chown(&path, Some(Uid::from_raw(owner)), Some(Gid::from_raw(owner)))
            .map_err(EngineError::cgroup("give away", &path))?;
    }
    Ok(())
}

/// Removes a cgroup with those below it, once its dying processes have left. Does nothing when it
/// is absent.
pub(super) fn remove_tree(path: &Path) -> Result<(), EngineError> {
    let deadline = Instant::now() + EMPTY_WAIT;
    let mut killed = false;
    loop {
        let error = match std::fs::remove_dir(path) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => error,
        };
        if error.kind() != io::ErrorKind::ResourceBusy || Instant::now() >= deadline {
            return Err(EngineError::cgroup("remove", path)(error));
        }
        if !killed {
            killed = true;
            write_if_present(&path.join("cgroup.kill"), "1")?;
            remove_children(path)?;
            continue;
        }
        std::thread::sleep(RETRY_EVERY);
    }
}

/// Removes the cgroups below `path`. A guest that was given a cgroup may have made deep ones, so
/// this goes by a list and not by recursion; children follow their parents in it.
fn remove_children(path: &Path) -> Result<(), EngineError> {
    let mut found = Vec::new();
    let mut to_list = vec![path.to_owned()];
    while let Some(dir) = to_list.pop() {
        let entries = std::fs::read_dir(&dir).map_err(EngineError::cgroup("list", &dir))?;
        for entry in entries {
            let entry = entry.map_err(EngineError::cgroup("list", &dir))?;
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                found.push(entry.path());
                to_list.push(entry.path());
            }
        }
    }
    let deadline = Instant::now() + EMPTY_WAIT;
    for dir in found.iter().rev() {
        while let Err(error) = std::fs::remove_dir(dir) {
            match error.kind() {
                io::ErrorKind::NotFound => break,
                io::ErrorKind::ResourceBusy if Instant::now() < deadline => {
                    std::thread::sleep(RETRY_EVERY);
                }
                _ => return Err(EngineError::cgroup("remove", dir)(error)),
            }
        }
    }
    Ok(())
}
