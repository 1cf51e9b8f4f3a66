//! A mount namespace with nothing in it: where machines are cloned from.
//!
//! `clone(CLONE_NEWNS)` copies every mount of the parent's namespace: 1.4 ms at 1,000 mounts. So
//! the shim keeps a second namespace that holds one empty tmpfs, steps into it for the clone, and
//! out again. The child has nothing of the host to get rid of, and a waiting shim pins no mount
//! that the host wants to undo.

use crate::error::EngineError;
use crate::sys;
use guest_root::place;
use rustix::fs::{CWD, Mode, OFlags, mkdirat, open};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, UnmountFlags,
    fsconfig_create, fsconfig_set_string, fsmount, fsopen, mount_change, move_mount, unmount,
};
use rustix::process::{fchdir, pivot_root};
use rustix::thread::UnshareFlags;
use std::os::fd::{AsFd as _, OwnedFd};

/// The empty namespace, and the one the shim lives in.
#[derive(Debug)]
pub(crate) struct BareNamespace {
    home: OwnedFd,
    bare: OwnedFd,
}

impl BareNamespace {
    /// Makes the namespace. The caller ends where it was, but with a `CLONE_FS` of its own.
    pub(crate) fn new() -> Result<Self, EngineError> {
        let home = own_mount_namespace()
            .map_err(EngineError::namespace("open this process's mount namespace"))?;
        sys::unshare(UnshareFlags::NEWNS)
            .map_err(EngineError::namespace("make a mount namespace"))?;
        let made = empty_this_namespace();
        let returned = sys::join_namespace(home.as_fd());
        let bare = made.map_err(EngineError::namespace("empty a mount namespace"))?;
        returned.map_err(EngineError::namespace("return to the mount namespace"))?;
        Ok(Self { home, bare })
    }

    /// Runs `act` in the empty namespace. A child that `act` clones stays there.
    pub(crate) fn within<T>(
        &self,
        act: impl FnOnce() -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        // The kernel moves no thread that shares its root with another one, and one that was joined just
        // now may still be on its way out.
        sys::unshare(UnshareFlags::FS).map_err(EngineError::namespace("own a file system view"))?;
        sys::join_namespace(self.bare.as_fd())
            .map_err(EngineError::namespace("enter the empty mount namespace"))?;
        let result = act();
        sys::join_namespace(self.home.as_fd())
            .map_err(EngineError::namespace("return to the mount namespace"))?;
        result
    }
}

fn own_mount_namespace() -> rustix::io::Result<OwnedFd> {
    open("/proc/thread-self/ns/mnt", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}

/// Replaces all mounts of this (new) namespace by one tmpfs with the mount points.
fn empty_this_namespace() -> rustix::io::Result<OwnedFd> {
    // Private first: an unmount must never travel back to the host.
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    let this = own_mount_namespace()?;
    let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, "size", "64k")?;
    fsconfig_set_string(&context, "mode", "700")?;
    fsconfig_create(&context)?;
    let root = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?;
    for place in place::ALL {
        let name = &place.to_bytes()[1..];
        mkdirat(&root, name, Mode::RWXU)?;
    }
    move_mount(&root, "", CWD, "/proc", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    fchdir(&root)?;
    pivot_root(".", ".")?;
    unmount(".", UnmountFlags::DETACH)?;
    Ok(this)
}
