//! The shim's side of a clone: start the child, hear how it went.

use crate::bare::BareNamespace;
use crate::error::EngineError;
use crate::report::{RECORD_BYTES, Record, monotonic_ns};
use crate::sys::{self, Cloned};
use crate::wait::wait_readable;
use rustix::io::Errno;
use rustix::process::Pid;
use shim_proto::message::Timing;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// Longest time from `go` to the child's `execve`. It takes 2 ms; a host in deep trouble gets a
/// thousand times that.
const LAUNCH_MAX: Duration = Duration::from_secs(10);

/// A child that runs.
#[derive(Debug)]
pub(crate) struct Child {
    pub(crate) pid: u32,
    pub(crate) pidfd: OwnedFd,
    /// Monotonic nanoseconds at which it was cloned.
    pub(crate) since_ns: u64,
}

/// Clones a child into namespaces of its own, from the empty mount namespace, and into `cgroup`.
///
/// # Safety
/// `run` runs on a copy of this process with this thread alone. It must not use what other threads may
/// hold: no allocation, no locks, no stdio.
#[allow(unsafe_code, reason = "clones this process")]
pub(crate) unsafe fn clone_child(
    bare: &BareNamespace,
    cgroup: Option<BorrowedFd<'_>>,
    run: impl FnOnce() -> std::convert::Infallible,
) -> Result<Child, EngineError> {
    let namespaces =
        libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS;
    let since_ns = monotonic_ns();
    let (pid, pidfd): (Pid, OwnedFd) = bare.within(|| {
        // SAFETY: the child goes straight into `run`, which keeps the rules.
        match unsafe { sys::clone3(namespaces, cgroup) } {
            Ok(Cloned::Child) => match run() {},
            Ok(Cloned::Parent { pid, pidfd }) => Ok((pid, pidfd)),
            Err(errno) => Err(EngineError::namespace("clone the machine's first process")(errno)),
        }
    })?;
    let pid = u32::try_from(pid.as_raw_nonzero().get()).unwrap_or(0);
    Ok(Child { pid, pidfd, since_ns })
}

/// Reads records until the pipe ends, which is when `execve` has closed the last copy.
pub(crate) fn hear(report: &OwnedFd, since_ns: u64) -> Result<Vec<Timing>, EngineError> {
    let (began, began_ns) = (Instant::now(), monotonic_ns());
    let mut timings = Vec::with_capacity(8);
    let mut last_ns = since_ns;
    let mut lap = |part: Option<&str>, from_ns: u64, at_ns: u64| {
        let us = u32::try_from(at_ns.saturating_sub(from_ns.max(last_ns)) / 1000);
        let us = us.unwrap_or(u32::MAX);
        timings.extend(part.map(|part| Timing { part: part.to_owned(), us }));
        last_ns = at_ns;
    };
    loop {
        if !wait_readable(report, began + LAUNCH_MAX)? {
            return Err(EngineError::Deadline { what: "the launch", limit: LAUNCH_MAX });
        }
        let mut bytes = [0; RECORD_BYTES];
        let n = rustix::io::read(report, &mut bytes)
            .map_err(EngineError::namespace("read the child's report"))?;
        match (n, Record::parse(&bytes)) {
            (0, _) => break,
            (RECORD_BYTES, Some(Record::Passed { part, at_ns })) => lap(part, since_ns, at_ns),
            (RECORD_BYTES, Some(Record::Failed(failure))) => {
                let source = failure.errno.into();
                return Err(EngineError::Launch { step: failure.step.text(), source });
            }
            _ => return Err(EngineError::namespace("read the child's report")(Errno::BADMSG)),
        }
    }
    // An `execve` before anybody listened took nobody's time.
    lap(Some("exec"), began_ns, monotonic_ns());
    Ok(timings)
}
