//! The verbs of an engine.

use crate::error::EngineError;
use shim_proto::RunSpec;
use shim_proto::exit_file::Fault;
use shim_proto::message::{Timing, Usage};
use shim_proto::spec::Carried;
use std::fmt::Debug;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

/// Brings one run up and down. Verbs come in this order: `prepare`, `go`, any number of the
/// others, `teardown`; a verb out of order is [`EngineError::Order`].
pub trait Engine: Debug {
    /// What this engine can do.
    fn capabilities(&self) -> Capabilities;

    /// Brings up all that the program needs, as far as nothing of the machine runs: disk, cgroup,
    /// namespaces, perhaps the guest init, which waits for its orders.
    ///
    /// # Errors
    /// Nothing is left behind after [`Engine::teardown`].
    fn prepare(&mut self, spec: &RunSpec) -> Result<Vec<Timing>, EngineError>;

    /// Sees to it that the guest init waits on the channel for its orders, and hands that out. What
    /// went wrong with it since [`Engine::prepare`] is told here.
    ///
    /// # Errors
    /// As [`Engine::prepare`].
    fn go(&mut self) -> Result<Running, EngineError>;

    /// Does what could wait until the program runs. Nobody waits for it.
    ///
    /// # Errors
    /// Something is held longer than it need be.
    fn settle(&mut self) -> Result<(), EngineError> {
        Ok(())
    }

    /// Whose fault it is that the guest has died without a word, where more can be said about it.
    fn fault(&mut self) -> Option<Fault> {
        None
    }

    /// Stops all processes of the run from running, until [`Engine::thaw`].
    ///
    /// # Errors
    /// [`EngineError::Unsupported`], or the processes run on.
    fn freeze(&mut self) -> Result<(), EngineError>;

    /// Undoes [`Engine::freeze`]; does nothing when not frozen.
    ///
    /// # Errors
    /// The processes may still be frozen; a repeat or [`Engine::kill`] helps.
    fn thaw(&mut self) -> Result<(), EngineError>;

    /// Whether the guest's clock stands still while it is frozen.
    fn stops_clock(&self) -> bool {
        false
    }

    /// Puts the RAM of the run, which is frozen, on disk, with `carried` beside it. Afterwards it can only be
    /// taken down; a later run with the same name begins with [`Engine::prepare`] where this one ends.
    /// Asks `is_called_off` now and then. The bytes that it takes on disk.
    ///
    /// # Errors
    /// [`EngineError::Unsupported`], [`EngineError::CalledOff`], or it could not be kept. The run is as it
    /// was.
    fn suspend(
        &mut self,
        _carried: &Carried,
        _is_called_off: &mut dyn FnMut() -> bool,
    ) -> Result<u64, EngineError> {
        Err(EngineError::Unsupported { verb: "suspend to disk" })
    }

    /// Kills every process of the run, frozen or not, and waits until the last one is gone.
    ///
    /// # Errors
    /// [`EngineError::Deadline`] when the kernel holds one back, e.g. in I/O that never ends.
    fn kill(&mut self) -> Result<(), EngineError>;

    /// What the run uses now.
    ///
    /// # Errors
    /// When the kernel does not say.
    fn usage(&mut self) -> Result<Usage, EngineError>;

    /// Processes that the kernel has killed for want of RAM since [`Engine::go`].
    ///
    /// # Errors
    /// When the kernel does not say.
    fn oom_kills(&mut self) -> Result<u64, EngineError>;

    /// Readable when the engine wants its turn ([`Engine::attend`]).
    fn attention(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Gives the engine its turn, which takes no time to speak of.
    fn attend(&mut self) {}

    /// Kills what is left and gives everything back: disk, cgroup. Does nothing when that was done
    /// before. Reports every part that failed as one error, after trying all.
    ///
    /// # Errors
    /// [`EngineError::Teardown`].
    fn teardown(&mut self) -> Result<(), EngineError>;
}

/// A guest init that has been started.
#[derive(Debug)]
pub struct Running {
    /// Its pid in the host's pid namespace.
    pub init_pid: u32,
    /// Readable once it has ended.
    pub pidfd: OwnedFd,
    /// The host's end of its channel, speaking `guest_proto`.
    pub channel: UnixStream,
    /// Where the time went.
    pub timings: Vec<Timing>,
    /// It goes on where an earlier one was put on disk.
    pub resumed: Option<Resumed>,
}

/// What comes with a run that goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resumed {
    /// What was put on disk beside it.
    pub carried: Carried,
    /// Randomness for its guest, as base64.
    pub entropy_base64: String,
}

/// What an engine can do. What it lacks, it declares here; the conformance suite holds it to that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Processes can be frozen and thawed.
    pub can_freeze: bool,
    /// RAM can go to disk and come back.
    pub can_suspend: bool,
    /// Limits of RAM, CPU and processes are enforced.
    pub enforces_limits: bool,
    /// Device nodes of the host are out of reach even for the guest's root.
    pub confines_devices: bool,
    /// The guest has its own kernel.
    pub has_own_kernel: bool,
    /// The guest's file system is kept on the machine's disk.
    pub has_disk: bool,
}
