//! Limits of a run in the words of cgroup v1 and v2.

use super::devices;
use super::files::{write, write_if_present};
use super::hierarchies::Controller;
use crate::error::EngineError;
use shim_proto::spec::Limits;
use std::collections::BTreeSet;
use std::path::Path;

/// Period of the CPU ceiling in microseconds: the kernel's default.
const CPU_PERIOD_US: u64 = 100_000;

/// Smallest quota that the kernel takes, in microseconds.
const CPU_QUOTA_MIN_US: u64 = 1_000;

/// Controllers that a machine's v2 cgroup needs, where the tree has them.
const V2_WANTED: [Controller; 3] = [Controller::Memory, Controller::Cpu, Controller::Pids];

/// CPU ceiling as microseconds in each period.
fn quota_us(cpu_milli: u32) -> u64 {
    (u64::from(cpu_milli) * CPU_PERIOD_US / 1000).max(CPU_QUOTA_MIN_US)
}

/// A v2 weight (default 100) as v1 shares (default 1024, 2 to 262,144).
fn shares(weight: u32) -> u64 {
    (u64::from(weight) * 1024 / 100).clamp(2, 262_144)
}

/// Sets one controller's limits in a v1 directory.
pub(super) fn set_v1(
    dir: &Path,
    controller: Controller,
    limits: &Limits,
) -> Result<(), EngineError> {
    let put = |file: &str, value: u64| write(&dir.join(file), &value.to_string());
    match controller {
        Controller::Memory => {
            put("memory.limit_in_bytes", limits.ram_bytes)?;
            // Absent where the kernel does not count swap. The same number: no swap beyond RAM.
            let with_swap = dir.join("memory.memsw.limit_in_bytes");
            write_if_present(&with_swap, &limits.ram_bytes.to_string())
        }
        Controller::Cpu => {
            put("cpu.cfs_period_us", CPU_PERIOD_US)?;
            put("cpu.cfs_quota_us", quota_us(limits.cpu_milli))?;
            put("cpu.shares", shares(limits.cpu_weight))
        }
        Controller::Pids => put("pids.max", u64::from(limits.pids)),
        Controller::Devices => devices::set_v1(dir),
        Controller::CpuAcct | Controller::Freezer => Ok(()),
    }
}

/// Sets the limits whose controllers the v2 tree has.
pub(super) fn set_v2(
    dir: &Path,
    limits: &Limits,
    controllers: &BTreeSet<Controller>,
) -> Result<(), EngineError> {
    if controllers.contains(&Controller::Memory) {
        write(&dir.join("memory.max"), &limits.ram_bytes.to_string())?;
        write_if_present(&dir.join("memory.swap.max"), "0")?;
    }
    if controllers.contains(&Controller::Cpu) {
        let quota = quota_us(limits.cpu_milli);
        write(&dir.join("cpu.max"), &format!("{quota} {CPU_PERIOD_US}"))?;
        write(&dir.join("cpu.weight"), &limits.cpu_weight.clamp(1, 10_000).to_string())?;
    }
    if controllers.contains(&Controller::Pids) {
        write(&dir.join("pids.max"), &limits.pids.to_string())?;
    }
    Ok(())
}

/// Makes the v2 controllers available in the directory that will hold `name`.
pub(super) fn enable_controllers(
    tree: &Path,
    name: &Path,
    controllers: &BTreeSet<Controller>,
) -> Result<(), EngineError> {
    let wanted: Vec<_> = V2_WANTED
        .iter()
        .filter(|c| controllers.contains(c))
        .map(|c| format!("+{}", c.name()))
        .collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let parent = tree.join(name.parent().unwrap_or(Path::new("")));
    std::fs::create_dir_all(&parent).map_err(EngineError::cgroup("make", &parent))?;
    let mut dir = tree.to_owned();
    write(&dir.join("cgroup.subtree_control"), &wanted.join(" "))?;
    for part in name.parent().into_iter().flat_map(Path::components) {
        dir.push(part);
        write(&dir.join("cgroup.subtree_control"), &wanted.join(" "))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_and_ceilings_become_the_kernels_numbers() {
        assert_eq!(shares(100), 1024);
        assert_eq!(shares(1), 10);
        assert_eq!(shares(10_000), 102_400);
        assert_eq!(quota_us(1000), 100_000);
        assert_eq!(quota_us(62), 6_200);
        assert_eq!(quota_us(1), 1_000);
    }
}
