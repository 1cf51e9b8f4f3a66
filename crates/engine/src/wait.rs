//! Waiting for processes and descriptors, with deadlines.

use crate::error::EngineError;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

/// Longest wait for a killed process to be gone, namespaces and all.
const DEATH_MAX: Duration = Duration::from_secs(30);

/// Kills the process and waits until it is gone, with all the namespaces it was the last in.
pub(crate) fn end(pidfd: &OwnedFd) -> Result<(), EngineError> {
    match pidfd_send_signal(pidfd, Signal::KILL) {
        Ok(()) | Err(Errno::SRCH) => {}
        Err(errno) => return Err(EngineError::namespace("kill the guest init")(errno)),
    }
    if !wait_readable(pidfd, Instant::now() + DEATH_MAX)? {
        return Err(EngineError::Deadline { what: "the death of the guest", limit: DEATH_MAX });
    }
    match waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED) {
        // Reaped already: somebody asked how it ended.
        Ok(_) | Err(Errno::CHILD) => Ok(()),
        Err(errno) => Err(EngineError::namespace("reap the guest init")(errno)),
    }
}

/// How a process has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// By itself, with this code.
    Exited(i32),
    /// By this signal.
    Killed(i32),
}

/// How a child has ended that nobody has reaped yet; it is left to be reaped.
pub(crate) fn ended(pidfd: &OwnedFd) -> Option<Ended> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    let status = waitid(WaitId::PidFd(pidfd.as_fd()), options).ok()??;
    let killed = status.terminating_signal().map(Ended::Killed);
    killed.or_else(|| status.exit_status().map(Ended::Exited))
}

/// Waits until `fd` can be read; `false` when the deadline comes first.
pub(crate) fn wait_readable(fd: impl AsFd, deadline: Instant) -> Result<bool, EngineError> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).ok();
        match poll(&mut [PollFd::new(&fd, PollFlags::IN)], timeout.as_ref()) {
            Ok(0) if !left.is_zero() => {}
            Ok(n_ready) => return Ok(n_ready > 0),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(EngineError::namespace("wait for the child")(errno)),
        }
    }
}
