//! Programs that are themselves an init: they become PID 1 of a child namespace.
//!
//! Init may not make namespaces, so the launcher makes a second process ahead of time, in its own
//! pid, cgroup and mount namespace, a child of init. It runs this binary as `dormouse-init pid1`,
//! leaves an agent behind that starts commands in the same place, and waits on a socket (its fd 3),
//! whose other end init holds, for the plan of the program.

use crate::agent::{self, Agent};
use crate::arguments::CHANNEL_FD;
use crate::hand_over::{self, NotTaken, hand_over};
use crate::plan::Plan;
use crate::start_error::StartError;
use crate::stdio::Stdio;
use crate::{EXIT_CHANNEL, sys};
use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Pid, set_dumpable_behavior};
use std::os::fd::OwnedFd;

/// Init's side: the waiting process becomes the program of `plan`. Returns its pid, and who starts
/// commands beside it.
pub(crate) fn start(
    socket: OwnedFd,
    plan: &Plan,
    stdio: &Stdio,
) -> Result<(Pid, Agent), StartError> {
    match hand_over(socket, plan, stdio, stdio.terminal_path()) {
        Ok(taken) => Ok((taken.pid, Agent::new(taken.agent))),
        Err(NotTaken::Refused(refusal)) => Err(plan.explain(refusal)),
        Err(NotTaken::Lost(errno)) => {
            Err(StartError::other("reach the process that becomes PID 1", errno))
        }
    }
}

/// The waiting process's side: becomes the program, or says why not.
pub(crate) fn become_program() -> u8 {
    // For the agent, which stays: the machine's root shall not take over its socket to init.
    set_dumpable_behavior(DumpableBehavior::NotDumpable).ok();
    // Without an agent the program runs all the same, only without commands beside it.
    let agent = agent::fork().ok();
    match wait_for_plan() {
        Ok(plan) => plan.become_it(agent.as_ref()),
        Err(_init_is_gone) => EXIT_CHANNEL,
    }
}

fn wait_for_plan() -> Result<hand_over::Received, Errno> {
    hand_over::receive(sys::take_inherited(CHANNEL_FD)?)
}
