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

pub(super) use hierarchies::Hierarchies;

use crate::error::EngineError;
use files::{make_dir, open_dir, open_for_writing, read_number, read_pair, remove_tree};
use freezer::Freezer;
use hierarchies::Controller;
use shim_proto::spec::Limits;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Leaf of the guest init when the program gets a delegated cgroup of its own.
const INIT_LEAF: &str = "init";
/// The delegated cgroup.
const PID1_LEAF: &str = "pid1";

/// A machine's cgroup, one directory per hierarchy.
#[derive(Debug)]
pub(super) struct Cgroup {
    /// Every directory, to be removed at the end.
    dirs: Vec<PathBuf>,
    /// v1 directories that the child joins by itself.
    v1_dirs: Vec<PathBuf>,
    /// v2 directory that the child is cloned into.
    entry: Option<OwnedFd>,
    /// v2 directory that is given to a program that is an init.
    delegated: Option<OwnedFd>,
    freezer: Option<Freezer>,
    kill_file: Option<PathBuf>,
    cpu_source: Option<Source>,
    ram_source: Option<Source>,
    pids_source: Option<PathBuf>,
    oom_source: Option<PathBuf>,
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
    /// Makes the cgroup `name` in each hierarchy that is needed and sets its limits. With
    /// `delegate_to`, a program that is an init gets a sub-cgroup owned by that id.
    pub(super) fn make(
        hierarchies: &Hierarchies,
        name: &str,
        limits: &Limits,
        delegate_to: Option<u32>,
    ) -> Result<Self, EngineError> {
        let mut group = Self::unmade();
        let made = group.make_all(hierarchies, Path::new(name), limits, delegate_to);
        let Err(error) = made else { return Ok(group) };
        match group.remove() {
            Ok(()) => Err(error),
            Err(second) => {
                Err(EngineError::Teardown { parts: vec![error.sentence(), second.sentence()] })
            }
        }
    }

    fn unmade() -> Self {
        Self {
            dirs: Vec::new(),
            v1_dirs: Vec::new(),
            entry: None,
            delegated: None,
            freezer: None,
            kill_file: None,
            cpu_source: None,
            ram_source: None,
            pids_source: None,
            oom_source: None,
        }
    }

    fn make_all(
        &mut self,
        hierarchies: &Hierarchies,
        name: &Path,
        limits: &Limits,
        delegate_to: Option<u32>,
    ) -> Result<(), EngineError> {
        if let Some(v2) = &hierarchies.v2 {
            limits::enable_controllers(&v2.path, name, &v2.controllers)?;
            let dir = v2.path.join(name);
            self.make_dir(&dir)?;
            self.make_v2(&dir, delegate_to)?;
            limits::set_v2(&dir, limits, &v2.controllers)?;
            self.read_v2(&dir, hierarchies);
        }
        for v1 in &hierarchies.v1 {
            let needed: Vec<_> =
                v1.controllers.iter().copied().filter(|c| self.needs_v1(hierarchies, *c)).collect();
            if needed.is_empty() {
                continue;
            }
            let dir = v1.path.join(name);
            self.make_dir(&dir)?;
            self.v1_dirs.push(dir.clone());
            for controller in needed {
                self.set_v1(&dir, controller, limits)?;
            }
        }
        Ok(())
    }

    /// Whether a v1 hierarchy has to provide what the v2 tree does not.
    fn needs_v1(&self, hierarchies: &Hierarchies, controller: Controller) -> bool {
        match controller {
            Controller::Freezer => self.freezer.is_none(),
            Controller::CpuAcct => self.cpu_source.is_none(),
            Controller::Devices => true,
            _ => !hierarchies.v2_has(controller),
        }
    }

    fn make_dir(&mut self, dir: &Path) -> Result<(), EngineError> {
        make_dir(dir)?;
        self.dirs.push(dir.to_owned());
        Ok(())
    }

    fn make_v2(&mut self, dir: &Path, delegate_to: Option<u32>) -> Result<(), EngineError> {
        let kill_file = dir.join("cgroup.kill");
        self.kill_file = kill_file.exists().then_some(kill_file);
        self.freezer = Freezer::v2(dir);
        let Some(owner) = delegate_to else {
            self.entry = Some(open_dir(dir)?);
            return Ok(());
        };
        let (init, pid1) = (dir.join(INIT_LEAF), dir.join(PID1_LEAF));
        self.make_dir(&init)?;
        self.make_dir(&pid1)?;
        files::delegate(&pid1, owner)?;
        self.entry = Some(open_dir(&init)?);
        self.delegated = Some(open_dir(&pid1)?);
        Ok(())
    }

    fn read_v2(&mut self, dir: &Path, hierarchies: &Hierarchies) {
        // Counted in every v2 cgroup, whether or not the controller is there.
        self.cpu_source = Some(Source::Pair { path: dir.join("cpu.stat"), key: "usage_usec" });
        if hierarchies.v2_has(Controller::Memory) {
            self.ram_source =
                Some(Source::Number { path: dir.join("memory.current"), per_unit: 1 });
            self.oom_source = Some(dir.join("memory.events"));
        }
        if hierarchies.v2_has(Controller::Pids) {
            self.pids_source = Some(dir.join("pids.current"));
        }
    }

    fn set_v1(
        &mut self,
        dir: &Path,
        controller: Controller,
        limits: &Limits,
    ) -> Result<(), EngineError> {
        limits::set_v1(dir, controller, limits)?;
        match controller {
            Controller::Memory => {
                let path = dir.join("memory.usage_in_bytes");
                self.ram_source = Some(Source::Number { path, per_unit: 1 });
                self.oom_source = Some(dir.join("memory.oom_control"));
            }
            Controller::CpuAcct => {
                // Nanoseconds.
                let path = dir.join("cpuacct.usage");
                self.cpu_source = Some(Source::Number { path, per_unit: 1000 });
            }
            Controller::Pids => self.pids_source = Some(dir.join("pids.current")),
            Controller::Freezer => self.freezer = Some(Freezer::v1(dir)),
            Controller::Cpu | Controller::Devices => {}
        }
        Ok(())
    }

    /// The v2 directory to clone the child into.
    pub(super) fn entry(&self) -> Option<BorrowedFd<'_>> {
        self.entry.as_ref().map(OwnedFd::as_fd)
    }

    /// The v2 directory for a program that is an init.
    pub(super) fn delegated(&self) -> Option<BorrowedFd<'_>> {
        self.delegated.as_ref().map(OwnedFd::as_fd)
    }

    /// Opens the files by which the child joins the v1 directories: it writes `0` to each while it
    /// has no threads.
    pub(super) fn open_v1_doors(&self) -> Result<Vec<OwnedFd>, EngineError> {
        self.v1_dirs.iter().map(|dir| open_for_writing(&dir.join("tasks"))).collect()
    }

    /// Freezes every process; `false` when this host has no freezer.
    pub(super) fn freeze(&self) -> Result<bool, EngineError> {
        self.freezer.as_ref().map_or(Ok(false), |freezer| freezer.freeze().map(|()| true))
    }

    /// Thaws every process.
    pub(super) fn thaw(&self) -> Result<(), EngineError> {
        self.freezer.as_ref().map_or(Ok(()), Freezer::thaw)
    }

    /// Sends SIGKILL to every process, where the kernel can do that in one go.
    pub(super) fn kill(&self) -> Result<(), EngineError> {
        self.kill_file.as_ref().map_or(Ok(()), |path| files::write(path, "1"))
    }

    /// CPU time in microseconds.
    pub(super) fn cpu_us(&self) -> Result<u64, EngineError> {
        self.cpu_source.as_ref().map_or(Ok(0), Source::read)
    }

    /// RAM in bytes, page cache included.
    pub(super) fn ram_bytes(&self) -> Result<u64, EngineError> {
        self.ram_source.as_ref().map_or(Ok(0), Source::read)
    }

    /// Processes and threads.
    pub(super) fn pids(&self) -> Result<u64, EngineError> {
        self.pids_source.as_ref().map_or(Ok(0), |path| read_number(path))
    }

    /// Processes that the kernel killed for want of RAM.
    pub(super) fn oom_kills(&self) -> Result<u64, EngineError> {
        self.oom_source.as_ref().map_or(Ok(0), |path| read_pair(path, "oom_kill"))
    }

    /// Removes the directories; tries all of them and returns the first error.
    pub(super) fn remove(&mut self) -> Result<(), EngineError> {
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
pub(super) fn remove_everywhere(hierarchies: &Hierarchies, name: &str) -> Result<(), EngineError> {
    let v2 = hierarchies.v2.iter().map(|v2| &v2.path);
    // The v2 tree first: removing there kills what is left.
    let roots = v2.chain(hierarchies.v1.iter().map(|v1| &v1.path));
    roots.map(|root| remove_tree(&root.join(name))).fold(Ok(()), Result::and)
}

/// What this host can enforce: limits, and freezing.
pub(super) fn abilities(hierarchies: &Hierarchies) -> (bool, bool) {
    let has = |c| hierarchies.v1_of(c).is_some() || hierarchies.v2_has(c);
    let enforces = [Controller::Memory, Controller::Cpu, Controller::Pids].into_iter().all(has);
    (enforces, hierarchies.v2.is_some() || hierarchies.v1_of(Controller::Freezer).is_some())
}

/// Whether a cgroup controller decides which devices may be opened. The v2 tree has none that is a
/// file.
pub(super) fn guards_devices(hierarchies: &Hierarchies) -> bool {
    hierarchies.v1_of(Controller::Devices).is_some()
}
