//! Small verbs over the new mount API.

use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags, mkdirat, openat2, unlinkat};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};
use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};

/// A file system to be mounted: its type and options; an empty value makes a flag.
#[derive(Debug)]
pub struct Fs<'a, const N: usize> {
    /// Its type.
    pub name: &'static CStr,
    /// Names and values.
    pub options: [(&'static CStr, &'a CStr); N],
}

impl<const N: usize> Fs<'_, N> {
    /// A new mount of it, attached nowhere.
    ///
    /// # Errors
    /// The kernel's, of whichever step.
    pub fn mount(&self, attributes: MountAttrFlags) -> Result<OwnedFd, Errno> {
        let context = fsopen(self.name, FsOpenFlags::FSOPEN_CLOEXEC)?;
        for (key, value) in self.options {
            if value.is_empty() {
                fsconfig_set_flag(&context, key)?;
            } else {
                fsconfig_set_string(&context, key, value)?;
            }
        }
        fsconfig_create(&context)?;
        fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
    }
}

/// Attaches a mount to the directory or file that `target` is open on; one that is attached moves there.
///
/// # Errors
/// The kernel's.
pub fn attach(mount: &OwnedFd, target: impl AsFd) -> Result<(), Errno> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(mount, c"", target, c"", flags)
}

/// Attaches a detached mount at a path that nobody else can have changed.
///
/// # Errors
/// The kernel's.
pub fn attach_at(mount: &OwnedFd, path: &CStr) -> Result<(), Errno> {
    move_mount(mount, c"", CWD, path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
}

/// The directory `name` in `parent`, for mounting on it. `name` is a single name; whatever else
/// than a directory bears it is replaced, so that no link of the image leads anywhere.
///
/// # Errors
/// The kernel's.
pub fn mount_point(parent: &OwnedFd, name: &CStr) -> Result<OwnedFd, Errno> {
    let open = || {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        openat2(parent, name, flags, Mode::empty(), resolve)
    };
    match open() {
        Err(Errno::NOENT) => {}
        Err(Errno::LOOP | Errno::NOTDIR) => unlinkat(parent, name, AtFlags::empty())?,
        done => return done,
    }
    mkdirat(parent, name, Mode::from_raw_mode(0o755))?;
    open()
}

/// A new directory, opened for mounting on it.
///
/// # Errors
/// The kernel's; also when something bears that name already.
pub fn make_dir(parent: &OwnedFd, name: &CStr) -> Result<OwnedFd, Errno> {
    mkdirat(parent, name, Mode::from_raw_mode(0o755))?;
    mount_point(parent, name)
}

/// Another mount of what `mount`, attached already, shows.
///
/// # Errors
/// The kernel's.
pub fn copy_of(mount: &OwnedFd) -> Result<OwnedFd, Errno> {
    copy_with(mount, OpenTreeFlags::empty())
}

/// Another mount of what `mount`, attached already, shows, with all that is mounted below it.
///
/// # Errors
/// The kernel's.
pub fn copy_of_tree(mount: &OwnedFd) -> Result<OwnedFd, Errno> {
    copy_with(mount, OpenTreeFlags::AT_RECURSIVE)
}

fn copy_with(mount: &OwnedFd, more: OpenTreeFlags) -> Result<OwnedFd, Errno> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    open_tree(mount, c"", flags | more)
}
