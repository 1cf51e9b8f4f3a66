//! Shims that wait for a run.
//!
//! Spawning costs about a millisecond until the child's `main`; a few shims spawned ahead hide it.
//! An idle shim ends by itself when this process does: its socket closes.

use model::InstanceTag;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// Shims kept waiting. Two: one start and the next one, while the pool refills behind them.
const POOLED: usize = 2;

/// The only variables a shim inherits: its own failpoints, which are not those of control, and the
/// clock that a test has set, which is.
const HANDED_ON: [(&str, &str); 4] = [
    ("DORMOUSE_CLOCK", "DORMOUSE_CLOCK"),
    ("DORMOUSE_SHIM_DELAY", "DORMOUSE_DELAY"),
    ("DORMOUSE_SHIM_FAILPOINT", "DORMOUSE_FAILPOINT"),
    ("DORMOUSE_SHIM_FAILPOINT_LOG", "DORMOUSE_FAILPOINT_LOG"),
];

/// Variable that tells whose a shim is, for [`super::orphans`].
pub(super) const INSTANCE_VARIABLE: &str = "DORMOUSE_INSTANCE";

/// A shim this process spawned.
#[derive(Debug)]
pub(crate) struct ShimProcess {
    /// This end of its control socket.
    pub(crate) socket: UnixStream,
    /// The process, to be reaped.
    pub(crate) child: Child,
}

/// Shims that wait for a run.
#[derive(Debug)]
pub(crate) struct ShimPool {
    program: PathBuf,
    instance: String,
    idle: Mutex<Vec<ShimProcess>>,
}

impl ShimPool {
    /// A pool of shims of `instance` running `program`; empty until [`ShimPool::refill`].
    pub(crate) fn new(program: PathBuf, instance: &InstanceTag) -> Self {
        Self { program, instance: instance.to_string(), idle: Mutex::new(Vec::new()) }
    }

    /// A waiting shim, or a fresh one.
    ///
    /// # Errors
    /// The program cannot be spawned.
    pub(crate) fn take(&self) -> io::Result<ShimProcess> {
        let waiting = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(mut shim) = waiting
            && shim.child.try_wait()?.is_none()
        {
            return Ok(shim);
        }
        self.spawn()
    }

    /// Spawns until [`POOLED`] shims wait. Blocking; not on the start path.
    pub(crate) fn refill(&self) -> io::Result<()> {
        loop {
            if self.idle.lock().unwrap_or_else(PoisonError::into_inner).len() >= POOLED {
                return Ok(());
            }
            let shim = self.spawn()?;
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(shim);
        }
    }

    /// Spawns a shim with its control socket as standard input.
    ///
    /// Nothing here may need `pre_exec`: that forks the whole daemon, which costs 2.5 ms; without it the
    /// standard library uses `posix_spawn`.
    fn spawn(&self) -> io::Result<ShimProcess> {
        let (ours, theirs) = UnixStream::pair()?;
        let mut command = command(&self.program);
        command.stdin(Stdio::from(OwnedFd::from(theirs))).stdout(Stdio::null());
        let child = command.env(INSTANCE_VARIABLE, &self.instance).spawn()?;
        Ok(ShimProcess { socket: ours, child })
    }
}

/// A command of the shim's program, which inherits nothing but [`HANDED_ON`].
pub(crate) fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear();
    for (ours, theirs) in HANDED_ON {
        if let Some(value) = std::env::var_os(ours) {
            command.env(theirs, value);
        }
    }
    command
}
