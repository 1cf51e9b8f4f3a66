//! The child between `clone3` and `execve`: from a copy of the shim to the guest's PID 1.
//!
//! It starts while the shim still attaches the disk, makes all that needs none, waits for it and goes
//! on. When the shim ends meanwhile, so does the wait, and the child.
//!
//! Everything it needs was opened and spelled out before ([`Plan`]); here are only system calls, no
//! allocation and no lock, because the copied process may have had other threads. The order
//! matters and each step says why it is where it is.

use super::pid1::{self, Pid1Plan};
use super::root;
use crate::capabilities;
use crate::first_process;
use crate::report::{self, Failure, Moment, Step};
use crate::sys::{self, BpfInstruction, ExecStrings};
use rustix::fs::{Gid, Uid};
use rustix::process::{Signal, set_parent_process_death_signal};
use rustix::thread::{
    CapabilitySet, set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};
use std::convert::Infallible;
use std::ffi::CString;
use std::os::fd::{AsFd as _, OwnedFd, RawFd};

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
pub(super) fn run(plan: &Plan) -> Infallible {
    let Err(failure) = become_init(plan);
    report::failed(&plan.report, failure);
    sys::exit_now(127)
}

fn become_init(plan: &Plan) -> Result<Infallible, Failure> {
    report::passed(&plan.report, Moment::Cloned);
    first_process::leave_shim(&plan.of_shim)?;
    first_process::join(&plan.v1_doors, &plan.netns)?;
    report::passed(&plan.report, Moment::Joined);
    root::build(plan)?;
    report::passed(&plan.report, Moment::Pivoted);
    // The host name belongs to a namespace of the host's user namespace: not the guest's to set.
    rustix::system::sethostname(plan.hostname.to_bytes()).map_err(Step::HostName.failed())?;
    let pid1_channel = plan.pid1.as_ref().map(|pid1| pid1::start(pid1, plan)).transpose()?;
    confine(plan)?;
    exec(plan, pid1_channel)
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

fn exec(plan: &Plan, pid1_channel: Option<OwnedFd>) -> Result<Infallible, Failure> {
    first_process::shim_lives(&plan.report).map_err(Step::Orphan.failed())?;
    let given = [Some(&plan.channel), pid1_channel.as_ref()].into_iter().flatten();
    first_process::open_null()
        .and_then(|null| first_process::arrange([&null; 3], given))
        .map_err(Step::Descriptors.failed())?;
    report::passed(&plan.report, Moment::Confined);
    sys::set_seccomp_filter(&plan.filter).map_err(Step::Seccomp.failed())?;
    let errno = sys::execute(plan.init.as_fd(), &plan.argv, &plan.envp);
    Err(Step::Exec.failed()(errno))
}
