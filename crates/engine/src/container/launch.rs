//! The shim's side of the clone: start the child, give it the disk, hear how it went.

use super::bare::BareNamespace;
use super::child::{self, Plan};
use super::gift;
use super::report::{RECORD_BYTES, Record, monotonic_ns};
use crate::error::EngineError;
use crate::sys::{self, Cloned};
use crate::wait::wait_readable;
use rustix::io::Errno;
use rustix::process::Pid;
use shim_proto::message::Timing;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// Longest time from `go` to the guest init's `execve`. It takes 2 ms; a host in deep trouble gets a
/// thousand times that.
const LAUNCH_MAX: Duration = Duration::from_secs(10);

/// The shim's ends of what the child holds. None of them stays open in the child, so that each ends
/// with the shim.
#[derive(Debug)]
pub(super) struct Ends {
    /// Where the child tells how it goes.
    pub(super) report: OwnedFd,
    /// By which it gets the disk.
    pub(super) gift: OwnedFd,
    /// What the guest init will speak on.
    pub(super) channel: UnixStream,
}

/// A child on its way to become the guest init.
#[derive(Debug)]
pub(super) struct Launch {
    ends: Ends,
    since_ns: u64,
}

/// Clones the child, which carries out `plan` as far as it gets without the disk.
#[allow(unsafe_code, reason = "clones this process")]
pub(super) fn launch(
    bare: &BareNamespace,
    plan: Plan,
    cgroup: Option<BorrowedFd<'_>>,
    ends: Ends,
) -> Result<(Launch, Pid, OwnedFd), EngineError> {
    let namespaces =
        libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS;
    let since_ns = monotonic_ns();
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
    Ok((Launch { ends, since_ns }, pid, pidfd))
}

impl Launch {
    /// Gives the child its disk.
    pub(super) fn give(&self, disk: BorrowedFd<'_>) -> Result<(), EngineError> {
        match gift::give(&self.ends.gift, disk) {
            // It has failed before; its report says at what.
            Ok(()) | Err(Errno::PIPE) => Ok(()),
            Err(errno) => Err(EngineError::namespace("give the disk to the child")(errno)),
        }
    }

    /// Waits until the child has become the guest init; returns its channel.
    pub(super) fn finish(self) -> Result<(UnixStream, Vec<Timing>), EngineError> {
        let timings = hear(&self.ends.report, self.since_ns)?;
        Ok((self.ends.channel, timings))
    }
}

/// Reads records until the pipe ends, which is when `execve` has closed the last copy.
fn hear(report: &OwnedFd, since_ns: u64) -> Result<Vec<Timing>, EngineError> {
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
