//! The machine's writable layer: from a file to a detached mount, and back.
//!
//! The mount belongs to a descriptor of the shim and to the machine's own mount namespace, to no
//! other. Whatever ends the shim ends both, and the kernel unmounts and detaches. The lock on the
//! disk file is held by the loop device too, so the next run waits until that is over.

use crate::error::EngineError;
use crate::watch::Watch;
use ::disk::{AttachKind, DiskError, DiskLock, LoopMode, attach_loop, mend, mount_ext4_detached};
use guest_root::parts::make_layers;
use rustix::fs::fstatvfs;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Longest wait for the disk of a run before, whose shim was killed, to be detached. The kernel
/// needs some milliseconds; with a full write-back cache seconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// A disk file that is this run's alone, and in order.
#[derive(Debug)]
pub(super) struct Taken {
    path: PathBuf,
    lock: DiskLock,
}

/// An attached and mounted disk.
#[derive(Debug)]
pub(super) struct Disk {
    path: PathBuf,
    mount: OwnedFd,
    lock: DiskLock,
}

impl Taken {
    /// Locks the disk file and mends it if need be; with `reset` an empty one takes its place. Before
    /// all else that bears the machine's name: whoever holds the lock is the machine's only run.
    pub(super) fn take(path: &Path, reset: bool) -> Result<Self, EngineError> {
        let lock = ready(path, reset).map_err(EngineError::Disk)?;
        Ok(Self { path: path.to_owned(), lock })
    }
}

impl Disk {
    /// Attaches and mounts the disk file, and makes its layers.
    pub(super) fn attach(taken: Taken, watch: &mut Watch) -> Result<Self, EngineError> {
        let Taken { path, lock } = taken;
        // Through the host's page cache: a disk that was used a moment ago is mounted without a read,
        // which halves the time of a cold start and the p99 beside a busy disk.
        let device = attach_loop(lock.file(), LoopMode::Buffered).map_err(EngineError::Disk)?;
        watch.lap("disk_attach");
        let mount = mount_ext4_detached(&device).map_err(EngineError::Disk)?;
        watch.lap("disk_mount");
        let disk = Self { path, mount, lock };
        make_layers(&disk.mount).map_err(content("make the writable layer"))?;
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
}

/// Takes the disk file: an empty one with `reset`, else mended if need be.
fn ready(path: &Path, reset: bool) -> Result<DiskLock, DiskError> {
    let lock = DiskLock::acquire(path, AttachKind::HostFs, PATIENCE)?;
    if reset {
        return lock.reset();
    }
    mend(&lock)?;
    Ok(lock)
}

fn content<E: Into<io::Error>>(action: &'static str) -> impl FnOnce(E) -> EngineError {
    move |source| EngineError::DiskContent { action, source: source.into() }
}
