//! The child between `clone3` and `execve`: from a copy of the shim to a QEMU that can do no harm.
//!
//! As in the container engine there are only system calls here. QEMU adds its own system call filter
//! when it has made its threads.

use super::root::Layout;
use crate::capabilities;
use crate::first_process::{arrange, join, leave_shim, shim_lives};
use crate::report::{self, Failure, Moment, Step};
use crate::sys::{self, ExecStrings};
use rustix::fs::{Gid, Uid};
use rustix::process::{Resource, Rlimit, Signal, set_parent_process_death_signal, setrlimit};
use rustix::thread::{
    CapabilitySet, set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};
use std::convert::Infallible;
use std::ffi::CString;
use std::os::fd::{OwnedFd, RawFd};

/// All that the child needs.
#[derive(Debug)]
pub(super) struct Plan {
    /// v1 `tasks` files to join by writing `0`.
    pub(super) v1_doors: Vec<OwnedFd>,
    pub(super) netns: OwnedFd,
    pub(super) root: Layout,
    pub(super) uid: u32,
    pub(super) program: CString,
    pub(super) argv: ExecStrings,
    pub(super) envp: ExecStrings,
    /// What it finds behind its standard streams, in this order.
    pub(super) given: Vec<OwnedFd>,
    pub(super) stderr: OwnedFd,
    pub(super) report: OwnedFd,
    /// Ends that are the shim's alone: while a copy is open here, its death would not show.
    pub(super) of_shim: Vec<RawFd>,
}

/// Runs the child. Never returns: it becomes QEMU or exits.
pub(super) fn run(plan: &Plan) -> Infallible {
    let Err(failure) = become_monitor(plan);
    report::failed(&plan.report, failure);
    sys::exit_now(127)
}

fn become_monitor(plan: &Plan) -> Result<Infallible, Failure> {
    report::passed(&plan.report, Moment::Cloned);
    leave_shim(&plan.of_shim)?;
    join(&plan.v1_doors, &plan.netns)?;
    report::passed(&plan.report, Moment::Joined);
    plan.root.enter().map_err(Step::MonitorRoot.failed())?;
    report::passed(&plan.report, Moment::Pivoted);
    confine(plan)?;
    shim_lives(&plan.report).map_err(Step::Orphan.failed())?;
    let standard = [&plan.root.null, &plan.root.null, &plan.stderr];
    arrange(standard, plan.given.iter()).map_err(Step::Descriptors.failed())?;
    report::passed(&plan.report, Moment::Confined);
    let errno = sys::execute_path(&plan.program, &plan.argv, &plan.envp);
    Err(Step::MonitorExec.failed()(errno))
}

/// Gives up every right.
fn confine(plan: &Plan) -> Result<(), Failure> {
    // The RAM of a guest belongs in no file of somebody else's.
    let no_core = Rlimit { current: Some(0), maximum: Some(0) };
    setrlimit(Resource::Core, no_core).map_err(Step::MonitorUser.failed())?;
    // The rights that the change of user needs go with it.
    capabilities::keep_at_most(CapabilitySet::empty()).map_err(Step::Capabilities.failed())?;
    let needed = CapabilitySet::SETUID.union(CapabilitySet::SETGID);
    capabilities::hold(needed).map_err(Step::Capabilities.failed())?;
    let user = || {
        let (uid, gid) = (Uid::from_raw(plan.uid), Gid::from_raw(plan.uid));
        set_thread_groups(&[])?;
        set_thread_res_gid(gid, gid, gid)?;
        set_thread_res_uid(uid, uid, uid)
    };
    user().map_err(Step::MonitorUser.failed())?;
    set_no_new_privs(true).map_err(Step::NoNewPrivileges.failed())?;
    sys::reset_signals().map_err(Step::Signals.failed())?;
    // Each change of ids or capabilities clears the death signal, so it comes after the last.
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(Step::DeathSignal.failed())
}
