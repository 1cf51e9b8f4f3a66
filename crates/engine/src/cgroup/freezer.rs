//! Freezing and thawing, by the v2 file or the v1 hierarchy.

use super::files::{read, write};
use crate::error::EngineError;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Longest wait until the last process is frozen. One in uninterruptible I/O holds it up.
const FREEZE_WAIT: Duration = Duration::from_secs(5);

/// A freezer of one cgroup.
#[derive(Debug)]
pub(super) enum Freezer {
    /// `freezer.state`.
    V1 { state: PathBuf },
    /// `cgroup.freeze`, and `cgroup.events` that says when it is done.
    V2 { freeze: PathBuf, events: PathBuf },
}

impl Freezer {
    pub(super) fn v1(dir: &Path) -> Self {
        Self::V1 { state: dir.join("freezer.state") }
    }

    /// The freezer of a v2 cgroup; kernels before 5.2 have none.
    pub(super) fn v2(dir: &Path) -> Option<Self> {
        let freeze = dir.join("cgroup.freeze");
        freeze.exists().then(|| Self::V2 { freeze, events: dir.join("cgroup.events") })
    }

    /// Freezes; on failure the processes run on.
    pub(super) fn freeze(&self) -> Result<(), EngineError> {
        let frozen = match self {
            Self::V1 { state } => freeze_v1(state),
            Self::V2 { freeze, events } => write(freeze, "1").and_then(|()| wait_frozen(events)),
        };
        frozen.or_else(|error| self.thaw().and(Err(error)))
    }

    pub(super) fn thaw(&self) -> Result<(), EngineError> {
        match self {
            Self::V1 { state } => write(state, "THAWED"),
            Self::V2 { freeze, .. } => write(freeze, "0"),
        }
    }
}

/// Reading the state drives the freezing on; sometimes it needs more than one read.
fn freeze_v1(state: &Path) -> Result<(), EngineError> {
    write(state, "FROZEN")?;
    let deadline = Instant::now() + FREEZE_WAIT;
    while read(state)?.trim() != "FROZEN" {
        if Instant::now() >= deadline {
            return Err(too_long());
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    Ok(())
}

fn wait_frozen(events: &Path) -> Result<(), EngineError> {
    let deadline = Instant::now() + FREEZE_WAIT;
    let file = open(events, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(EngineError::cgroup("open", events))?;
    loop {
        let mut text = [0; 256];
        let n =
            rustix::io::pread(&file, &mut text, 0).map_err(EngineError::cgroup("read", events))?;
        if text[..n].split(|byte| *byte == b'\n').any(|line| line == b"frozen 1") {
            return Ok(());
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(too_long());
        }
        let timeout = Timespec::try_from(left).ok();
        match poll(&mut [PollFd::new(&file, PollFlags::PRI)], timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(EngineError::cgroup("wait for", events)(error)),
        }
    }
}

fn too_long() -> EngineError {
    EngineError::Deadline { what: "freezing", limit: FREEZE_WAIT }
}
