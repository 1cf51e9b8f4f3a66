//! The child between `clone3` and `execve`: from a copy of the shim to the guest's PID 1.
//!
//! It starts while the shim still attaches the disk, makes all that needs none, waits for it and goes
//! on. When the shim ends meanwhile, so does the wait, and the child.
//!
//! Everything it needs was opened and spelled out before ([`Plan`]); here are only system calls, no
//! allocation and no lock, because the copied process may have had other threads. The order
//! matters and each step says why it is where it is.

use super::capabilities;
use super::pid1::{self, Pid1Plan};
use super::report::{self, Failure, Moment, Step};
use super::root;
use crate::sys::{self, BpfInstruction, ExecStrings};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Gid, Mode, OFlags, Uid, open};
use rustix::io::Errno;
use rustix::process::{Signal, set_parent_process_death_signal, setsid, umask};
use rustix::thread::{
    CapabilitySet, UnshareFlags, set_no_new_privs, set_thread_groups, set_thread_res_gid,
    set_thread_res_uid,
};
use std::convert::Infallible;
use std::ffi::CString;
use std::os::fd::{AsFd as _, OwnedFd, RawFd};

/// Descriptor of the guest init's channel to the shim.
pub(super) const CHANNEL_FD: i32 = 3;
/// Descriptor of the channel to a program's own PID 1 environment.
pub(super) const PID1_FD: i32 = 4;
/// Every other descriptor lies above, so that placing those two overwrites none.
pub(super) const FIRST_FREE_FD: i32 = 10;

/// All that the child needs.
#[derive(Debug)]
pub(super) struct Plan {
    /// v1 `tasks` files to join by writing `0`.
    pub(super) v1_doors: Vec<OwnedFd>,
    pub(super) netns: OwnedFd,
    pub(super) userns: Option<OwnedFd>,
    /// Detached mount of the image, idmapped.
    pub(super) image: OwnedFd,
    /// Where the detached mount of the disk comes from, idmapped.
    pub(super) gift: OwnedFd,
    pub(super) root: root::Words,
    pub(super) hostname: CString,
    /// The guest init, on a read-only mount.
    pub(super) init: OwnedFd,
    /// The directory of tools, on a read-only mount.
    pub(super) tools: Option<OwnedFd>,
    pub(super) argv: ExecStrings,
    pub(super) envp: ExecStrings,
    /// What the guest's root may still do.
    pub(super) capabilities: CapabilitySet,
    pub(super) filter: Vec<BpfInstruction>,
    pub(super) channel: OwnedFd,
    pub(super) report: OwnedFd,
    /// Ends that are the shim's alone: while a copy is open here, its death would not show.
    pub(super) of_shim: [RawFd; 3],
    pub(super) pid1: Option<Pid1Plan>,
}

/// Runs the child. Never returns: it becomes the guest init or exits.
pub(super) fn run(plan: &Plan) -> ! {
    let Err(failure) = become_init(plan);
    report::failed(&plan.report, failure);
    sys::exit_now(127)
}

#[allow(unsafe_code, reason = "closes copies of descriptors that belong to the shim")]
fn become_init(plan: &Plan) -> Result<Infallible, Failure> {
    report::passed(&plan.report, Moment::Cloned);
    for fd in plan.of_shim {
        // SAFETY: the owners are the shim's; nothing here uses or closes them.
        unsafe { sys::close_copy(fd) };
    }
    setsid().map_err(Step::Session.failed())?;
    // Kernels without keyrings have nothing to leave.
    sys::join_new_session_keyring().ok();
    umask(Mode::from_raw_mode(0o022));
    join(plan)?;
    report::passed(&plan.report, Moment::Joined);
    root::build(plan)?;
    report::passed(&plan.report, Moment::Pivoted);
    // The host name belongs to a namespace of the host's user namespace: not the guest's to set.
    rustix::system::sethostname(plan.hostname.to_bytes()).map_err(Step::HostName.failed())?;
    let pid1_channel = plan.pid1.as_ref().map(|pid1| pid1::start(pid1, plan)).transpose()?;
    confine(plan)?;
    exec(plan, pid1_channel)
}

/// Enters the cgroups and the slot's network.
fn join(plan: &Plan) -> Result<(), Failure> {
    for door in &plan.v1_doors {
        rustix::io::write(door, b"0").map_err(Step::JoinCgroup.failed())?;
    }
    // After joining: the namespace's root is the cgroup of the moment.
    sys::unshare(UnshareFlags::NEWCGROUP).map_err(Step::CgroupNamespace.failed())?;
    sys::join_namespace(plan.netns.as_fd()).map_err(Step::NetNamespace.failed())
}

/// Gives up every right of the host. Shared with the program's own PID 1 environment.
pub(super) fn confine(plan: &Plan) -> Result<(), Failure> {
    if let Some(userns) = &plan.userns {
        sys::join_namespace(userns.as_fd()).map_err(Step::UserNamespace.failed())?;
    }
    let ids = || {
        set_thread_groups(&[])?;
        set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT)?;
        set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT)
    };
    ids().map_err(Step::Ids.failed())?;
    capabilities::keep(plan.capabilities).map_err(Step::Capabilities.failed())?;
    set_no_new_privs(true).map_err(Step::NoNewPrivileges.failed())?;
    sys::reset_signals().map_err(Step::Signals.failed())?;
    // Each change of ids or capabilities clears the death signal, so it comes after the last.
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(Step::DeathSignal.failed())
}

/// Whether the reader of the report, the shim, is still there.
fn shim_lives(plan: &Plan) -> Result<(), Errno> {
    let mut pipe = [PollFd::new(&plan.report, PollFlags::empty())];
    poll(&mut pipe, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
    if pipe[0].revents().contains(PollFlags::ERR) { Err(Errno::PIPE) } else { Ok(()) }
}

fn exec(plan: &Plan, pid1_channel: Option<OwnedFd>) -> Result<Infallible, Failure> {
    // The shim may have died before the death signal was set.
    shim_lives(plan).map_err(Step::Orphan.failed())?;
    arrange(&plan.channel, pid1_channel.as_ref()).map_err(Step::Descriptors.failed())?;
    report::passed(&plan.report, Moment::Confined);
    sys::set_seccomp_filter(&plan.filter).map_err(Step::Seccomp.failed())?;
    let errno = sys::execute(plan.init.as_fd(), &plan.argv, &plan.envp);
    Err(Step::Exec.failed()(errno))
}

/// Leaves 0 to 2 on `/dev/null`, the channels at their places, and nothing else after `execve`.
#[allow(unsafe_code, reason = "descriptors 0 to 4 are given up by whoever owned them")]
pub(super) fn arrange(channel: &OwnedFd, pid1_channel: Option<&OwnedFd>) -> Result<(), Errno> {
    let null = open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    let null = sys::duplicate_above(&null, FIRST_FREE_FD)?;
    for target in 0..CHANNEL_FD {
        // SAFETY: this process runs nothing but the rest of this module; no owner of these
        // numbers is used again.
        unsafe { sys::place_at(null.as_fd(), target) }?;
    }
    sys::close_on_exec_from(CHANNEL_FD)?;
    // SAFETY: as above.
    unsafe { sys::place_at(channel.as_fd(), CHANNEL_FD) }?;
    if let Some(pid1_channel) = pid1_channel {
        // SAFETY: as above.
        unsafe { sys::place_at(pid1_channel.as_fd(), PID1_FD) }?;
    }
    Ok(())
}
