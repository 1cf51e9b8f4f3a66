//! The shim's side of the clone: start the child, give it the disk, hear how it went.

use super::child::{self, Plan};
use super::gift;
use crate::bare::BareNamespace;
use crate::error::EngineError;
use crate::launch::{Child, clone_child, hear};
use rustix::io::Errno;
use shim_proto::message::Timing;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

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
) -> Result<(Launch, u32, OwnedFd), EngineError> {
    // SAFETY: `child::run` makes system calls only.
    let cloned = unsafe { clone_child(bare, cgroup, || child::run(&plan)) };
    // The child has its own copies; ours would keep the pipe open.
    drop(plan);
    let Child { pid, pidfd, since_ns } = cloned?;
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
