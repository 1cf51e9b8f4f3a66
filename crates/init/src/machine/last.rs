//! The last moments of a machine: nothing that it keeps may be lost when the power goes.

use super::disk::{DISK_DEVICE, IMAGE_DEVICE};
use super::port::wait_until_readable;
use crate::{children, sys};
use guest_root::place::{DISK, IMAGE, ROOT};
use rustix::event::{Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};
use rustix::process::{WaitOptions, chdir, chroot, fchdir};
use rustix::system::{RebootCommand, reboot};
use std::ffi::CStr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// Longest wait for killed processes to be gone: one may be in the middle of a write to its disk.
const DEAD_WITHIN: Duration = Duration::from_secs(10);

/// Longest wait for image and disk to be nobody's any more.
const FREE_WITHIN: Duration = Duration::from_secs(2);

/// Pause between two looks at that: the kernel has no word for it.
const LOOK_EVERY: Timespec = Timespec { tv_sec: 0, tv_nsec: 5_000_000 };

/// The root of this process, to come back to.
pub(super) fn open_root() -> Result<OwnedFd, Errno> {
    rustix::fs::open(c"/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// Kills everybody else. Ends when all of them are gone, and what they had open with them.
pub(super) fn kill_everybody(children: &OwnedFd) {
    let deadline = Instant::now() + DEAD_WITHIN;
    sys::kill_all(libc::SIGKILL);
    loop {
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) => match wait_until_readable(children, deadline) {
                Ok(()) => children::hear(children).unwrap_or(()),
                Err(_) => return,
            },
            // There is nobody.
            Err(_) => return,
        }
    }
}

/// Goes back to the root that the kernel booted from, and lets go of the machine's.
pub(super) fn leave_root(bare_root: &OwnedFd) {
    let leave = || {
        let machine_root = open_root()?;
        fchdir(bare_root)?;
        chroot(c".")?;
        fchdir(&machine_root)?;
        drop(machine_root);
        unmount(c".", UnmountFlags::DETACH)?;
        chdir(c"/")
    };
    // Whether the disk is free in the end is what counts.
    leave().ok();
}

/// Unmounts what the machine keeps. With everybody dead nobody holds a mount any longer, and each goes at
/// once; with it what the kernel remembers of its device, which may be another after a rehearsal.
pub(super) fn release_disk() {
    for place in [ROOT, IMAGE, DISK] {
        // What is not mounted needs no unmounting.
        unmount(place, UnmountFlags::DETACH).ok();
    }
    let deadline = Instant::now() + FREE_WITHIN;
    if ![DISK_DEVICE, IMAGE_DEVICE].iter().all(|device| is_free_soon(device, deadline)) {
        // Somebody in the kernel holds it. What has been written is safe all the same.
        rustix::fs::sync();
    }
}

/// Whether the file system of a device lets go of it in time.
fn is_free_soon(device: &CStr, deadline: Instant) -> bool {
    loop {
        let flags = OFlags::RDONLY | OFlags::EXCL | OFlags::CLOEXEC;
        match rustix::fs::open(device, flags, Mode::empty()) {
            Ok(_) => return true,
            Err(Errno::BUSY) if Instant::now() < deadline => {
                poll(&mut [], Some(&LOOK_EVERY)).ok();
            }
            Err(_) => return false,
        }
    }
}

/// Switches the machine off.
pub(super) fn power_off() -> ! {
    // For want of an orderly end, if there was none.
    rustix::fs::sync();
    loop {
        // Neither returns unless the kernel refuses, and then there is nothing left to do.
        reboot(RebootCommand::PowerOff).ok();
        reboot(RebootCommand::Restart).ok();
        poll(&mut [], None).ok();
    }
}
