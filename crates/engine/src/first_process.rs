//! What a child of the shim does on its way to become somebody else's first process.
//!
//! Only system calls: no allocation and no lock, because the copied process may have had other threads.

use crate::error::EngineError;
use crate::report::{Failure, Step};
use crate::sys;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};
use rustix::process::{chdir, fchdir, pivot_root, setsid, umask};
use rustix::thread::UnshareFlags;
use std::os::fd::{AsFd, OwnedFd, RawFd};

/// First descriptor that is given to the program; below are the standard streams.
pub(crate) const FIRST_GIVEN_FD: i32 = 3;

/// Every descriptor that is to be given lies at this number or above, so that placing one overwrites
/// none.
pub(crate) const FIRST_FREE_FD: i32 = 24;

/// Parts with what is the shim's: `of_shim` are ends that are the shim's alone. While a copy of one is
/// open here, its death would not show.
#[allow(unsafe_code, reason = "closes copies of descriptors that belong to the shim")]
pub(crate) fn leave_shim(of_shim: &[RawFd]) -> Result<(), Failure> {
    for fd in of_shim {
        // SAFETY: the owners are the shim's; nothing here uses or closes them.
        unsafe { sys::close_copy(*fd) };
    }
    setsid().map_err(Step::Session.failed())?;
    // Kernels without keyrings have nothing to leave.
    sys::join_new_session_keyring().ok();
    umask(Mode::from_raw_mode(0o022));
    Ok(())
}

/// Enters the cgroups behind the `tasks` files of v1, and the network namespace.
pub(crate) fn join(v1_doors: &[OwnedFd], netns: &OwnedFd) -> Result<(), Failure> {
    for door in v1_doors {
        rustix::io::write(door, b"0").map_err(Step::JoinCgroup.failed())?;
    }
    // After joining: the namespace's root is the cgroup of the moment.
    sys::unshare(UnshareFlags::NEWCGROUP).map_err(Step::CgroupNamespace.failed())?;
    sys::join_namespace(netns.as_fd()).map_err(Step::NetNamespace.failed())
}

/// Whether the shim is still there, as the reader of `report`: it may have died before its death was a
/// signal to this process.
pub(crate) fn shim_lives(report: &OwnedFd) -> Result<(), Errno> {
    let mut pipe = [PollFd::new(report, PollFlags::empty())];
    poll(&mut pipe, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
    if pipe[0].revents().contains(PollFlags::ERR) { Err(Errno::PIPE) } else { Ok(()) }
}

/// Makes `root` the root; the old one, with everything attached below it, is gone.
pub(crate) fn pivot(root: &OwnedFd) -> Result<(), Errno> {
    fchdir(root)?;
    pivot_root(c".", c".")?;
    unmount(c".", UnmountFlags::DETACH)?;
    chdir(c"/")
}

/// A copy above the numbers that the child gives to others. Made before the clone.
pub(crate) fn keep(fd: impl AsFd) -> Result<OwnedFd, EngineError> {
    sys::duplicate_above(fd, FIRST_FREE_FD)
        .map_err(EngineError::namespace("duplicate a descriptor"))
}

/// Leaves `standard` at 0 to 2, those that are `given` behind them in their order, and nothing else
/// after `execve`. All that are given lie at [`FIRST_FREE_FD`] or above.
#[allow(unsafe_code, reason = "the lowest descriptors are given up by whoever owned them")]
pub(crate) fn arrange<'a>(
    standard: [&OwnedFd; 3],
    given: impl Iterator<Item = &'a OwnedFd>,
) -> Result<(), Errno> {
    for (target, fd) in (0..).zip(standard) {
        // SAFETY: this process runs nothing but the rest of its way to `execve`; no owner of these
        // numbers is used again.
        unsafe { sys::place_at(fd.as_fd(), target) }?;
    }
    sys::close_on_exec_from(FIRST_GIVEN_FD)?;
    for (target, fd) in (FIRST_GIVEN_FD..).zip(given) {
        // SAFETY: as above.
        unsafe { sys::place_at(fd.as_fd(), target) }?;
    }
    Ok(())
}

/// What reads as nothing and takes everything, at a number that [`arrange`] takes.
pub(crate) fn open_null() -> Result<OwnedFd, Errno> {
    let null = open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    sys::duplicate_above(&null, FIRST_FREE_FD)
}
