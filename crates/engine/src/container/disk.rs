//! The machine's writable layer: from a file to a detached mount, and back.
//!
//! The mount belongs to a descriptor of the shim and to the machine's own mount namespace, to no
//! other. Whatever ends the shim ends both, and the kernel unmounts and detaches. The lock on the
//! disk file is held by the loop device too, so the next run waits until that is over.

use crate::error::EngineError;
use crate::watch::Watch;
use ::disk::{AttachKind, DiskLock, LoopMode, attach_loop, mend, mount_ext4_detached};
use rustix::fs::{
    AtFlags, Dir, Mode, OFlags, RenameFlags, fstatvfs, mkdirat, openat, renameat_with, unlinkat,
};
use rustix::io::Errno;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Longest wait for the disk of a run before, whose shim was killed, to be detached. The kernel
/// needs some milliseconds; with a full write-back cache seconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// Directory on the disk that is the overlay's upper layer.
const UPPER: &str = "upper";
/// Directory on the disk for the overlay's own use.
const WORK: &str = "work";
/// Directory on the disk for what is being removed.
const TRASH: &str = "trash";

/// An attached and mounted disk.
#[derive(Debug)]
pub(super) struct Disk {
    path: PathBuf,
    mount: OwnedFd,
    lock: DiskLock,
}

impl Disk {
    /// Locks, attaches and mounts the disk file, and makes its layers; empties them before when
    /// `reset`.
    pub(super) fn attach(path: &Path, reset: bool, watch: &mut Watch) -> Result<Self, EngineError> {
        let lock =
            DiskLock::acquire(path, AttachKind::HostFs, PATIENCE).map_err(EngineError::Disk)?;
        mend(&lock).map_err(EngineError::Disk)?;
        // Through the host's page cache: a disk that was used a moment ago is mounted without a read,
        // which halves the time of a cold start and the p99 beside a busy disk.
        let device = attach_loop(lock.file(), LoopMode::Buffered).map_err(EngineError::Disk)?;
        watch.lap("disk_attach");
        let mount = mount_ext4_detached(&device).map_err(EngineError::Disk)?;
        watch.lap("disk_mount");
        let disk = Self { path: path.to_owned(), mount, lock };
        if reset {
            disk.reset().map_err(content("empty the writable layer"))?;
        }
        disk.make_layers().map_err(content("make the writable layer"))?;
        watch.lap("disk_layers");
        Ok(disk)
    }

    /// The mount, attached nowhere until the child does so.
    pub(super) fn mount(&self) -> BorrowedFd<'_> {
        self.mount.as_fd()
    }

    /// Bytes of the file system in use.
    pub(super) fn used_bytes(&self) -> Result<u64, EngineError> {
        let stat = fstatvfs(&self.mount).map_err(|e| content("measure")(e))?;
        Ok(stat.f_blocks.saturating_sub(stat.f_bfree).saturating_mul(stat.f_frsize))
    }

    /// Unmounts and waits until the kernel has detached the file.
    pub(super) fn detach(self) -> Result<(), EngineError> {
        let Self { path, mount, lock } = self;
        drop(mount);
        drop(lock);
        // The loop device holds the lock as long as it lives: getting it means that all is over.
        DiskLock::acquire(&path, AttachKind::HostFs, PATIENCE).map(drop).map_err(EngineError::Disk)
    }

    fn make_layers(&self) -> io::Result<()> {
        for name in [UPPER, WORK] {
            match mkdirat(&self.mount, name, Mode::from_raw_mode(0o755)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Moves the layers aside in one step each, then removes what they held.
    fn reset(&self) -> io::Result<()> {
        match mkdirat(&self.mount, TRASH, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        let trash = open_dir(&self.mount, TRASH)?;
        let mut n_moved = 0;
        for name in [UPPER, WORK] {
            move_into(&self.mount, name, &trash, &mut n_moved)?;
        }
        empty(&trash)
    }
}

/// Removes all that `trash` holds without following a link and without recursion: a directory's
/// entries are moved up beside it until it is empty, so depth costs neither stack nor descriptors.
fn empty(trash: &OwnedFd) -> io::Result<()> {
    let mut n_moved = 1_u64 << 32;
    loop {
        let names = names_in(trash)?;
        if names.is_empty() {
            return Ok(());
        }
        for name in names {
            match unlinkat(trash, &name, AtFlags::empty()) {
                Ok(()) => continue,
                Err(Errno::ISDIR) => {}
                Err(error) => return Err(error.into()),
            }
            let dir = open_dir(trash, &name)?;
            for inner in names_in(&dir)? {
                match unlinkat(&dir, &inner, AtFlags::empty()) {
                    Ok(()) => {}
                    Err(Errno::ISDIR) => move_into(&dir, &inner, trash, &mut n_moved)?,
                    Err(error) => return Err(error.into()),
                }
            }
            unlinkat(trash, &name, AtFlags::REMOVEDIR)?;
        }
    }
}

/// Moves `name` to an unused number in `trash`; does nothing when it is absent.
fn move_into(
    from: &OwnedFd,
    name: impl rustix::path::Arg + Copy,
    trash: &OwnedFd,
    n_moved: &mut u64,
) -> io::Result<()> {
    loop {
        *n_moved += 1;
        let number = n_moved.to_string();
        match renameat_with(from, name, trash, number.as_str(), RenameFlags::NOREPLACE) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn open_dir(dir: &OwnedFd, name: impl rustix::path::Arg) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(dir, name, flags, Mode::empty())?)
}

fn names_in(dir: &OwnedFd) -> io::Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(entry.file_name().to_owned());
        }
    }
    Ok(names)
}

fn content<E: Into<io::Error>>(action: &'static str) -> impl FnOnce(E) -> EngineError {
    move |source| EngineError::DiskContent { action, source: source.into() }
}
