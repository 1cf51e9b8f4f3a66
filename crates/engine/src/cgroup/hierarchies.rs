//! Which cgroup hierarchies does this host have, and where?
//!
//! Source: cgroups(7); `/proc/self/mountinfo` in proc_pid_mountinfo(5). Nothing is assumed about
//! names below `/sys/fs/cgroup`: `cpu` and `cpuacct` are one mount on some hosts and two on others.

use crate::error::EngineError;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A resource that is limited or counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Controller {
    Memory,
    Cpu,
    CpuAcct,
    Pids,
    Devices,
    Freezer,
}

impl Controller {
    /// Its name in v1 mount options and in `cgroup.controllers`.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Cpu => "cpu",
            Self::CpuAcct => "cpuacct",
            Self::Pids => "pids",
            Self::Devices => "devices",
            Self::Freezer => "freezer",
        }
    }

    const ALL: [Self; 6] =
        [Self::Memory, Self::Cpu, Self::CpuAcct, Self::Pids, Self::Devices, Self::Freezer];
}

/// Super block option of the v1 hierarchy that belongs to inits. Source: systemd's "Control Group
/// APIs and Delegation", legacy hierarchy.
const INIT_V1: &str = "name=systemd";

/// A mounted v1 hierarchy with those of its controllers that we know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct V1 {
    pub(super) path: PathBuf,
    pub(super) controllers: BTreeSet<Controller>,
}

/// The mounted v2 tree with its available controllers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct V2 {
    pub(super) path: PathBuf,
    pub(super) controllers: BTreeSet<Controller>,
}

/// All cgroup hierarchies of this host: v1, v2, or (hybrid) both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hierarchies {
    pub(super) v1: Vec<V1>,
    pub(super) v2: Option<V2>,
    /// The v1 hierarchy without controllers in which inits keep their books.
    pub(super) init_v1: Option<PathBuf>,
}

impl Hierarchies {
    /// Reads what is mounted now.
    pub(crate) fn detect() -> Result<Self, EngineError> {
        let path = Path::new("/proc/self/mountinfo");
        let text = std::fs::read_to_string(path).map_err(EngineError::cgroup("read", path))?;
        let mut found = Self::parse(&text);
        if let Some(v2) = &mut found.v2 {
            let path = v2.path.join("cgroup.controllers");
            let names =
                std::fs::read_to_string(&path).map_err(EngineError::cgroup("read", &path))?;
            v2.controllers = known(names.split_whitespace());
        }
        Ok(found)
    }

    /// The hierarchies in a `mountinfo` text; v2 without its controllers.
    fn parse(mountinfo: &str) -> Self {
        let mut found = Self { v1: Vec::new(), v2: None, init_v1: None };
        for line in mountinfo.lines() {
            let Some((path, kind, options)) = parse_line(line) else { continue };
            match kind {
                "cgroup2" if found.v2.is_none() => {
                    found.v2 = Some(V2 { path, controllers: BTreeSet::new() });
                }
                "cgroup" if options.split(',').any(|option| option == INIT_V1) => {
                    found.init_v1.get_or_insert(path);
                }
                "cgroup" => {
                    let controllers = known(options.split(','));
                    let is_new = found.v1.iter().all(|v1| v1.controllers.is_disjoint(&controllers));
                    if !controllers.is_empty() && is_new {
                        found.v1.push(V1 { path, controllers });
                    }
                }
                _ => {}
            }
        }
        found
    }

    /// The v1 hierarchy with this controller.
    pub(super) fn v1_of(&self, controller: Controller) -> Option<&V1> {
        self.v1.iter().find(|v1| v1.controllers.contains(&controller))
    }

    /// Whether the v2 tree has this controller.
    pub(super) fn v2_has(&self, controller: Controller) -> bool {
        self.v2.as_ref().is_some_and(|v2| v2.controllers.contains(&controller))
    }
}

fn known<'a>(names: impl Iterator<Item = &'a str>) -> BTreeSet<Controller> {
    names.filter_map(|name| Controller::ALL.into_iter().find(|c| c.name() == name)).collect()
}

/// Mount point, file system type and super block options of a line.
fn parse_line(line: &str) -> Option<(PathBuf, &str, &str)> {
    let (left, right) = line.split_once(" - ")?;
    let mut left = left.split(' ').skip(3);
    let (root, path) = (left.next()?, left.next()?);
    // A bind mount of a sub-directory is somebody's view, not the hierarchy.
    if root != "/" {
        return None;
    }
    let mut right = right.split(' ');
    let kind = right.next()?;
    let options = right.nth(1)?;
    Some((PathBuf::from(path), kind, options))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
22 27 0:21 / /proc rw,relatime - proc proc rw
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
33 31 0:30 / /sys/fs/cgroup/cpuacct rw,relatime - cgroup cgroup rw,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:7 - cgroup cgroup rw,memory
39 31 0:36 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids
40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd
99 31 0:32 /docker/x /var/lib/x rw - cgroup cgroup rw,memory
41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
";

    #[test]
    fn a_hybrid_host_is_read_from_its_mounts() {
        let found = Hierarchies::parse(HYBRID);
        let place = |c| found.v1_of(c).map(|v1| v1.path.to_str().expect("text").to_owned());
        assert_eq!(place(Controller::Cpu).as_deref(), Some("/sys/fs/cgroup/cpu"));
        assert_eq!(place(Controller::CpuAcct).as_deref(), Some("/sys/fs/cgroup/cpuacct"));
        assert_eq!(place(Controller::Memory).as_deref(), Some("/sys/fs/cgroup/memory"));
        assert_eq!(place(Controller::Devices), None);
        assert_eq!(found.v1.len(), 4, "named hierarchies and bind mounts are not ours");
        assert_eq!(found.init_v1.as_deref(), Some(Path::new("/sys/fs/cgroup/systemd")));
        assert_eq!(found.v2.expect("v2").path, Path::new("/sys/fs/cgroup/unified"));
    }

    #[test]
    fn joint_controllers_are_one_hierarchy() {
        let found = Hierarchies::parse(
            "30 25 0:26 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n",
        );
        assert_eq!(found.v1.len(), 1);
        assert_eq!(found.v1_of(Controller::Cpu), found.v1_of(Controller::CpuAcct));
        assert_eq!(found.v2, None);
    }

    #[test]
    fn a_unified_host_has_no_v1() {
        let found = Hierarchies::parse(
            "30 25 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate\n",
        );
        assert!(found.v1.is_empty());
        assert_eq!(found.v2.expect("v2").path, Path::new("/sys/fs/cgroup"));
    }
}
