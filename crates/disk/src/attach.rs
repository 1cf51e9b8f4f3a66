//! From a disk file to a mounted file system, by system calls alone.
//!
//! The caller is the machine's shim, in its own mount namespace: the loop device clears itself
//! (AUTOCLEAR) at its last close, and the mount goes with the namespace, so a killed shim leaves
//! nothing behind. Loop devices are kept for the next start and never removed: removal takes 44 ms.
//!
//! Measured warm: attach 0.07 ms, mount 0.6 to 0.8 ms.

mod loop_device;

pub use loop_device::{LoopDevice, LoopMode, attach_loop};

use crate::error::DiskError;
use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, move_mount};
use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// Mounts the ext4 file system of `device`, attached to nothing yet.
///
/// The detached mount can be given an idmap before it gets a place; it lives as long as the
/// descriptor or, once attached, as long as the mount. `device` may be dropped afterwards.
///
/// # Errors
/// [`DiskError::Io`] when the kernel refuses, for example because the file system is damaged.
pub fn mount_ext4_detached(device: &LoopDevice) -> Result<OwnedFd, DiskError> {
    let path = device.path();
    let name = CString::new(path.as_os_str().as_bytes()).map_err(|_zero| Errno::INVAL);
    name.and_then(|name| guest_root::parts::mount_disk(&name))
        .map_err(DiskError::io("mount the ext4 file system of", path))
}

/// Mounts the ext4 file system of `device` at `target`.
///
/// # Errors
/// As [`mount_ext4_detached`]; also when `target` is not a directory.
pub fn mount_ext4(device: &LoopDevice, target: &Path) -> Result<(), DiskError> {
    let mount = mount_ext4_detached(device)?;
    move_mount(&mount, "", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .map_err(DiskError::io("mount at", target))
}
