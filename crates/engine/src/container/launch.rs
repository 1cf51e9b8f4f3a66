//! The shim's side of the clone: start the child, hear how it went.

use super::bare::BareNamespace;
use super::child::{self, Plan};
use super::report::{RECORD_BYTES, Record, monotonic_ns};
use crate::error::EngineError;
use crate::sys::{self, Cloned};
use crate::wait::{end, wait_readable};
use rustix::io::Errno;
use rustix::process::Pid;
use shim_proto::message::Timing;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// Longest time from the clone to the guest init's `execve`. It takes 2 ms; a host in deep trouble
/// gets a thousand times that.
const LAUNCH_MAX: Duration = Duration::from_secs(10);

/// A guest init that runs.
#[derive(Debug)]
pub(super) struct Launched {
    pub(super) pid: Pid,
    pub(super) pidfd: OwnedFd,
    pub(super) timings: Vec<Timing>,
}

/// Clones the child, which carries out `plan`, and waits until it has become the guest init.
#[allow(unsafe_code, reason = "clones this process")]
pub(super) fn launch(
    bare: &BareNamespace,
    plan: Plan,
    cgroup: Option<BorrowedFd<'_>>,
    report: &OwnedFd,
) -> Result<Launched, EngineError> {
    let namespaces =
        libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS;
    let started_ns = monotonic_ns();
    let cloned = bare.within(|| {
        // SAFETY: the child goes straight into `child::run`, which keeps the rules.
        match unsafe { sys::clone3(namespaces, cgroup) } {
            Ok(Cloned::Child) => child::run(&plan),
            Ok(Cloned::Parent { pid, pidfd }) => Ok((pid, pidfd)),
            Err(errno) => Err(EngineError::namespace("clone the machine's first process")(errno)),
        }
    });
    // The child has its own copies; ours would keep the pipe open.
    drop(plan);
    let (pid, pidfd) = cloned?;
    match hear(report, started_ns) {
        Ok(timings) => Ok(Launched { pid, pidfd, timings }),
        Err(error) => {
            end(&pidfd)?;
            Err(error)
        }
    }
}

/// Reads records until the pipe ends, which is when `execve` has closed the last copy.
fn hear(report: &OwnedFd, started_ns: u64) -> Result<Vec<Timing>, EngineError> {
    let deadline = Instant::now() + LAUNCH_MAX;
    let mut timings = Vec::with_capacity(8);
    let mut last_ns = started_ns;
    let mut lap = |part: &str, at_ns: u64| {
        let us = u32::try_from(at_ns.saturating_sub(last_ns) / 1000).unwrap_or(u32::MAX);
        timings.push(Timing { part: part.to_owned(), us });
        last_ns = at_ns;
    };
    loop {
        if !wait_readable(report, deadline)? {
            return Err(EngineError::Deadline { what: "the launch", limit: LAUNCH_MAX });
        }
        let mut bytes = [0; RECORD_BYTES];
        let n = rustix::io::read(report, &mut bytes)
            .map_err(EngineError::namespace("read the child's report"))?;
        match (n, Record::parse(&bytes)) {
            (0, _) => break,
            (RECORD_BYTES, Some(Record::Passed { part, at_ns })) => lap(part, at_ns),
            (RECORD_BYTES, Some(Record::Failed(failure))) => {
                let source = failure.errno.into();
                return Err(EngineError::Launch { step: failure.step.text(), source });
            }
            _ => return Err(EngineError::namespace("read the child's report")(Errno::BADMSG)),
        }
    }
    lap("exec", monotonic_ns());
    Ok(timings)
}
