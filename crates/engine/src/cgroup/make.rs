//! Making a machine's cgroup: directories, limits, and what belongs to a program that is an init.

use super::devices::{self, DeviceProgram, Devices};
use super::files::{DELEGATED_V1, DELEGATED_V2, delegate, make_dir, open_dir, open_for_writing};
use super::freezer::Freezer;
use super::hierarchies::{Controller, Hierarchies};
use super::{Cgroup, Delegated, Source, limits};
use crate::error::EngineError;
use shim_proto::spec::Limits;
use std::os::fd::AsFd as _;
use std::path::Path;

/// Leaf of the guest init when the program gets a delegated cgroup of its own.
const INIT_LEAF: &str = "init";
/// The delegated cgroup.
const PID1_LEAF: &str = "pid1";

impl Cgroup {
    /// Makes the cgroup `name` in each hierarchy that is needed and sets its limits. With
    /// `delegate_to`, a program that is an init gets a sub-cgroup owned by that id.
    pub(crate) fn make(
        hierarchies: &Hierarchies,
        devices: Devices<'_>,
        name: &str,
        limits: &Limits,
        delegate_to: Option<u32>,
    ) -> Result<Self, EngineError> {
        let mut group = Self::unmade();
        let name = Path::new(name);
        let made = group
            .make_v2(hierarchies, devices, name, limits, delegate_to)
            .and_then(|()| group.make_v1(hierarchies, devices, name, limits, delegate_to));
        let Err(error) = made else { return Ok(group) };
        match group.remove() {
            Ok(()) => Err(error),
            Err(second) => {
                Err(EngineError::Teardown { parts: vec![error.sentence(), second.sentence()] })
            }
        }
    }

    /// Sets other limits of RAM, CPU and processes. `name` is the one that it was made with.
    pub(crate) fn set_limits(
        &self,
        hierarchies: &Hierarchies,
        name: &str,
        limits: &Limits,
    ) -> Result<(), EngineError> {
        if let Some(v2) = &hierarchies.v2 {
            limits::set_v2(&v2.path.join(name), limits, &v2.controllers)?;
        }
        for v1 in &hierarchies.v1 {
            let dir = v1.path.join(name);
            for controller in [Controller::Memory, Controller::Cpu, Controller::Pids] {
                if v1.controllers.contains(&controller) && !hierarchies.v2_has(controller) {
                    limits::set_v1(&dir, controller, limits)?;
                }
            }
        }
        Ok(())
    }

    fn unmade() -> Self {
        Self {
            dirs: Vec::new(),
            v1_dirs: Vec::new(),
            entry: None,
            delegated: None,
            guards_devices: false,
            freezer: None,
            kill_file: None,
            cpu_source: None,
            ram_source: None,
            pids_source: None,
            oom_source: None,
        }
    }

    fn make_v2(
        &mut self,
        hierarchies: &Hierarchies,
        devices: Devices<'_>,
        name: &Path,
        limits: &Limits,
        delegate_to: Option<u32>,
    ) -> Result<(), EngineError> {
        let Some(v2) = &hierarchies.v2 else { return Ok(()) };
        limits::enable_controllers(&v2.path, name, &v2.controllers)?;
        let dir = v2.path.join(name);
        self.make_dir(&dir)?;
        let kill_file = dir.join("cgroup.kill");
        self.kill_file = kill_file.exists().then_some(kill_file);
        self.freezer = Freezer::v2(&dir);
        limits::set_v2(&dir, limits, &v2.controllers)?;
        self.read_v2(&dir, hierarchies);
        let opened = open_dir(&dir)?;
        // A host that does not let us gets machines that make no nodes.
        let is_attached = |program: &DeviceProgram| program.attach(opened.as_fd()).is_ok();
        self.guards_devices |= match devices {
            Devices::OfMachine(program) => program.is_some_and(is_attached),
            Devices::AndKvm => {
                DeviceProgram::with_kvm(hierarchies).is_some_and(|p| is_attached(&p))
            }
        };
        self.entry = Some(opened);
        delegate_to.map_or(Ok(()), |owner| self.delegate_v2(&dir, owner))
    }

    /// Processes lie in leaves: one for the guest init, one for the program that is an init itself.
    fn delegate_v2(&mut self, dir: &Path, owner: u32) -> Result<(), EngineError> {
        let (init, pid1) = (dir.join(INIT_LEAF), dir.join(PID1_LEAF));
        self.make_dir(&init)?;
        self.make_dir(&pid1)?;
        delegate(&pid1, &DELEGATED_V2, owner)?;
        self.entry = Some(open_dir(&init)?);
        self.delegated = Some(Delegated::V2(open_dir(&pid1)?));
        Ok(())
    }

    fn make_v1(
        &mut self,
        hierarchies: &Hierarchies,
        devices: Devices<'_>,
        name: &Path,
        limits: &Limits,
        delegate_to: Option<u32>,
    ) -> Result<(), EngineError> {
        for v1 in &hierarchies.v1 {
            let needed: Vec<_> =
                v1.controllers.iter().copied().filter(|c| self.needs_v1(hierarchies, *c)).collect();
            if needed.is_empty() {
                continue;
            }
            let dir = v1.path.join(name);
            self.make_dir(&dir)?;
            self.v1_dirs.push(dir.clone());
            for controller in &needed {
                self.set_v1(&dir, *controller, limits)?;
            }
            if matches!(devices, Devices::AndKvm) && needed.contains(&Controller::Devices) {
                devices::allow_kvm_v1(&dir)?;
            }
        }
        match delegate_to {
            Some(owner) if self.delegated.is_none() => self.delegate_v1(hierarchies, name, owner),
            _ => Ok(()),
        }
    }

    /// Without a v2 tree, an init keeps its books where the host's own does.
    fn delegate_v1(
        &mut self,
        hierarchies: &Hierarchies,
        name: &Path,
        owner: u32,
    ) -> Result<(), EngineError> {
        let tree = hierarchies.init_v1.as_ref().ok_or(EngineError::NoInitCgroup)?;
        let dir = tree.join(name);
        let pid1 = dir.join(PID1_LEAF);
        self.make_dir(&dir)?;
        self.make_dir(&pid1)?;
        delegate(&pid1, &DELEGATED_V1, owner)?;
        self.v1_dirs.push(dir);
        self.delegated = Some(Delegated::V1(open_for_writing(&pid1.join("tasks"))?));
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
            Controller::Devices => self.guards_devices = true,
            Controller::Cpu => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { ram_bytes: 1 << 20, cpu_milli: 1000, cpu_weight: 100, pids: 1 };

    #[test]
    fn without_any_tree_an_init_is_refused_with_advice_and_others_are_not() {
        let nothing = Hierarchies { v1: Vec::new(), v2: None, init_v1: None };
        let devices = Devices::OfMachine(None);
        let make =
            |delegate_to| Cgroup::make(&nothing, devices, "dormouse-x/y", &LIMITS, delegate_to);
        let error = make(Some(0)).expect_err("there is nothing to give");
        assert!(matches!(error, EngineError::NoInitCgroup));
        assert!(error.sentence().contains("`mount -t cgroup2"), "{}", error.sentence());
        assert!(!make(None).expect("nothing is needed").guards_devices());
    }
}
