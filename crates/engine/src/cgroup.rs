//! The machine's cgroup: limits, counters, freezer, and the way in.
//!
//! One directory of the same name in each hierarchy that is needed. Where a v2 tree is mounted,
//! with or without controllers, it carries membership, freezing and killing; v1 hierarchies carry
//! only the limits that the v2 tree lacks.
//!
//! Nobody ever writes another process's pid to a v1 hierarchy: that waits 4 to 16 ms for a grace
//! period of the kernel. The child joins v2 by `CLONE_INTO_CGROUP` and v1 by itself.
//!
//! The directories outlive a killed shim. The next run of the machine finds them by name, removes
//! them and starts with fresh counters; the daemon removes them when no run follows.

mod devices;
mod files;
mod freezer;
mod hierarchies;
mod limits;
mod make;

pub use devices::DeviceGuard;
pub(crate) use devices::{DeviceProgram, Devices};
pub(crate) use hierarchies::Hierarchies;

use crate::error::EngineError;
use files::{open_for_writing, read_number, read_pair, remove_tree};
use freezer::Freezer;
use hierarchies::Controller;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::PathBuf;

/// A machine's cgroup, one directory per hierarchy.
#[derive(Debug)]
pub(crate) struct Cgroup {
    /// Every directory, to be removed at the end.
    dirs: Vec<PathBuf>,
    /// v1 directories that the child joins by itself.
    v1_dirs: Vec<PathBuf>,
    /// v2 directory that the child is cloned into.
    entry: Option<OwnedFd>,
    /// What is given to a program that is an init.
    delegated: Option<Delegated>,
    /// Device nodes of the host cannot be opened.
    guards_devices: bool,
    freezer: Option<Freezer>,
    kill_file: Option<PathBuf>,
    cpu_source: Option<Source>,
    ram_source: Option<Source>,
    pids_source: Option<PathBuf>,
    oom_source: Option<PathBuf>,
}

/// A cgroup that belongs to a program that is an init.
#[derive(Debug)]
pub(crate) enum Delegated {
    /// The v2 directory, to be cloned into.
    V2(OwnedFd),
    /// `tasks` of a directory in the v1 hierarchy of inits, to be joined by writing `0`.
    V1(OwnedFd),
}

/// Where a number is read.
#[derive(Debug)]
enum Source {
    /// The file holds the number alone, in `per_unit` parts of ours.
    Number { path: PathBuf, per_unit: u64 },
    /// The line `<key> <number>` of the file.
    Pair { path: PathBuf, key: &'static str },
}

impl Source {
    fn read(&self) -> Result<u64, EngineError> {
        match self {
            Self::Number { path, per_unit } => Ok(read_number(path)? / per_unit),
            Self::Pair { path, key } => read_pair(path, key),
        }
    }
}

impl Cgroup {
    /// The v2 directory to clone the child into.
    pub(crate) fn entry(&self) -> Option<BorrowedFd<'_>> {
        self.entry.as_ref().map(OwnedFd::as_fd)
    }

    /// Takes what belongs to the program that is an init.
    pub(crate) fn take_delegated(&mut self) -> Option<Delegated> {
        self.delegated.take()
    }

    /// Whether device nodes of the host cannot be opened, so that making them does no harm.
    pub(crate) fn guards_devices(&self) -> bool {
        self.guards_devices
    }

    /// Opens the files by which the child joins the v1 directories: it writes `0` to each while it
    /// has no threads.
    pub(crate) fn open_v1_doors(&self) -> Result<Vec<OwnedFd>, EngineError> {
        self.v1_dirs.iter().map(|dir| open_for_writing(&dir.join("tasks"))).collect()
    }

    /// Freezes every process; `false` when this host has no freezer.
    pub(crate) fn freeze(&self) -> Result<bool, EngineError> {
        self.freezer.as_ref().map_or(Ok(false), |freezer| freezer.freeze().map(|()| true))
    }

    /// Thaws every process.
    pub(crate) fn thaw(&self) -> Result<(), EngineError> {
        self.freezer.as_ref().map_or(Ok(()), Freezer::thaw)
    }

    /// Sends SIGKILL to every process, where the kernel can do that in one go.
    pub(crate) fn kill(&self) -> Result<(), EngineError> {
        self.kill_file.as_ref().map_or(Ok(()), |path| files::write(path, "1"))
    }

    /// CPU time in microseconds.
    pub(crate) fn cpu_us(&self) -> Result<u64, EngineError> {
        self.cpu_source.as_ref().map_or(Ok(0), Source::read)
    }

    /// RAM in bytes, page cache included.
    pub(crate) fn ram_bytes(&self) -> Result<u64, EngineError> {
        self.ram_source.as_ref().map_or(Ok(0), Source::read)
    }

    /// Processes and threads.
    pub(crate) fn pids(&self) -> Result<u64, EngineError> {
        self.pids_source.as_ref().map_or(Ok(0), |path| read_number(path))
    }

    /// Processes that the kernel killed for want of RAM.
    pub(crate) fn oom_kills(&self) -> Result<u64, EngineError> {
        self.oom_source.as_ref().map_or(Ok(0), |path| read_pair(path, "oom_kill"))
    }

    /// Removes the directories; tries all of them and returns the first error.
    pub(crate) fn remove(&mut self) -> Result<(), EngineError> {
        self.entry = None;
        self.delegated = None;
        let mut result = Ok(());
        for dir in self.dirs.drain(..).rev() {
            result = result.and(remove_tree(&dir));
        }
        result
    }
}

/// Removes the cgroup `name` from every hierarchy, with what is in it.
pub(crate) fn remove_everywhere(hierarchies: &Hierarchies, name: &str) -> Result<(), EngineError> {
    let v2 = hierarchies.v2.iter().map(|v2| &v2.path);
    // The v2 tree first: removing there kills what is left.
    let roots =
        v2.chain(hierarchies.v1.iter().map(|v1| &v1.path)).chain(hierarchies.init_v1.iter());
    roots.map(|root| remove_tree(&root.join(name))).fold(Ok(()), Result::and)
}

/// What this host can enforce: limits, and freezing.
pub(crate) fn abilities(hierarchies: &Hierarchies) -> (bool, bool) {
    let has = |c| hierarchies.v1_of(c).is_some() || hierarchies.v2_has(c);
    let enforces = [Controller::Memory, Controller::Cpu, Controller::Pids].into_iter().all(has);
    (enforces, hierarchies.v2.is_some() || hierarchies.v1_of(Controller::Freezer).is_some())
}
