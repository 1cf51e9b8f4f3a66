//! The machine's root: image and disk joined, as in a container, and entered.
//!
//! The image is hostile: see [`guest_root::mounts::mount_point`].

use super::Failure;
use super::disk::{DISK_DEVICE, IMAGE_DEVICE};
use super::laps::Laps;
use super::staged::Staged;
use guest_root::mounts::{Fs, attach_at};
use guest_root::parts;
use guest_root::place::{DISK, IMAGE, ROOT};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountAttrFlags, MoveMountFlags, move_mount};
use rustix::process::{chdir, chroot, fchdir};
use std::os::fd::OwnedFd;

/// Builds the root and enters it.
pub(super) fn enter(staged: &Staged, has_fresh_run: bool, laps: &mut Laps) -> Result<(), Failure> {
    mount_image().map_err(Failure::of("mount the image"))?;
    laps.lap("image");
    mount_disk().map_err(Failure::of("mount the disk"))?;
    laps.lap("disk");
    let root = overlay().map_err(Failure::of("mount the overlay of image and disk"))?;
    laps.lap("overlay");
    staged
        .show_in(&root, has_fresh_run)
        .map_err(Failure::of("mount /proc, /sys, /dev, /.fly or /run in the root"))?;
    change_root(&root).map_err(Failure::of("change to the root"))?;
    laps.lap("root");
    Ok(())
}

fn mount_image() -> Result<(), Errno> {
    let options = [(c"source", IMAGE_DEVICE), (c"ro", c"")];
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY | MountAttrFlags::MOUNT_ATTR_NODEV;
    attach_at(&Fs { name: c"erofs", options }.mount(attributes)?, IMAGE)
}

fn mount_disk() -> Result<(), Errno> {
    let disk = parts::mount_disk(DISK_DEVICE)?;
    parts::make_layers(&disk)?;
    attach_at(&disk, DISK)
}

fn overlay() -> Result<OwnedFd, Errno> {
    let mount = parts::mount_overlay()?;
    if parts::is_read_only(&mount)? {
        return Err(Errno::ROFS);
    }
    attach_at(&mount, ROOT)?;
    rustix::fs::open(ROOT, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// The kernel's first root can be covered but not left, so the new one is moved on top of it: who enters
/// this namespace from elsewhere ends there, too.
fn change_root(root: &OwnedFd) -> Result<(), Errno> {
    fchdir(root)?;
    move_mount(root, c"", CWD, c"/", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    chroot(c".")?;
    chdir(c"/")
}
