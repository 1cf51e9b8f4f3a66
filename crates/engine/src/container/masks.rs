//! Paths of `/proc` and `/sys` that a machine must not see or not write, as Docker has them.
//!
//! Source: moby `oci/defaults.go`, `MaskedPaths` and `ReadonlyPaths`.

use crate::sys;
use guest_root::mounts::{Fs, attach, copy_of};
use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::mount::{MountAttrFlags, OpenTreeFlags, open_tree};
use std::ffi::CStr;
use std::os::fd::{AsFd as _, OwnedFd};

/// Files of `/proc` that read as empty.
const HIDDEN_FILES: [&CStr; 7] = [
    c"kcore",
    c"keys",
    c"latency_stats",
    c"timer_list",
    c"timer_stats",
    c"sched_debug",
    c"interrupts",
];

/// Directories of `/proc` that are empty.
const HIDDEN_DIRS: [&CStr; 3] = [c"acpi", c"asound", c"scsi"];

/// Paths of `/proc` that cannot be written.
const READ_ONLY: [&CStr; 5] = [c"bus", c"fs", c"irq", c"sys", c"sysrq-trigger"];

/// Directories of `/sys` that are empty; the rest of it cannot be written anyway.
const HIDDEN_SYS_DIRS: [&CStr; 2] = [c"firmware", c"devices/virtual/powercap"];

/// Masks paths of the mounted `/proc`.
pub(super) fn apply(proc_mount: &OwnedFd, dev: &OwnedFd) -> Result<(), Errno> {
    for path in HIDDEN_FILES {
        let Some(target) = find(proc_mount, path)? else { continue };
        let null = open_tree(dev, c"null", copy_flags())?;
        attach(&null, target)?;
    }
    hide_dirs(proc_mount, &HIDDEN_DIRS)?;
    for path in READ_ONLY {
        let Some(target) = find(proc_mount, path)? else { continue };
        let copy = open_tree(proc_mount, path, copy_flags())?;
        let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY.bits();
        sys::mount_setattr(copy.as_fd(), u64::from(attributes), None)?;
        attach(&copy, target)?;
    }
    Ok(())
}

/// Masks paths of the mounted `/sys`.
pub(super) fn apply_sys(sys_mount: &OwnedFd) -> Result<(), Errno> {
    hide_dirs(sys_mount, &HIDDEN_SYS_DIRS)
}

/// Covers each directory that exists with one empty, read-only file system.
fn hide_dirs(mount: &OwnedFd, paths: &[&CStr]) -> Result<(), Errno> {
    let mut cover: Option<OwnedFd> = None;
    for path in paths {
        let Some(target) = find(mount, path)? else { continue };
        match &cover {
            // Once attached it can be copied.
            Some(cover) => attach(&copy_of(cover)?, target)?,
            None => {
                let empty = Fs { name: c"tmpfs", options: [(c"size", c"4k"), (c"mode", c"555")] }
                    .mount(MountAttrFlags::MOUNT_ATTR_RDONLY)?;
                attach(&empty, target)?;
                cover = Some(empty);
            }
        }
    }
    Ok(())
}

fn copy_flags() -> OpenTreeFlags {
    OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC
}

/// Opens a path of a kernel file system; `None` when this kernel has it not.
fn find(mount: &OwnedFd, path: &CStr) -> Result<Option<OwnedFd>, Errno> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match openat(mount, path, flags, Mode::empty()) {
        Ok(found) => Ok(Some(found)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error),
    }
}
