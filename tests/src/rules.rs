//! The rules of an instance's router, as the kernel has them.

use std::process::Command;
use testkit::Instance;

/// The chain of one machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineChain {
    /// Its name.
    pub name: String,
    /// Its rules, one in each line.
    pub rules: String,
}

/// The chains of the router's table that belong to single machines.
///
/// # Panics
/// The rules cannot be listed.
#[must_use]
#[track_caller]
pub fn of_machines(instance: &Instance) -> Vec<MachineChain> {
    let runtime = format!("/run/dormouse/{}", instance.tag());
    let output = Command::new("nsenter")
        .arg(format!("--mount={runtime}/mnt"))
        .args(["nsenter", &format!("--net={runtime}/ns/router")])
        .args(["nft", "list", "table", "inet", "dormouse"])
        .output()
        .expect("nsenter");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let chains = text.split("chain ").skip(1).filter_map(|chain| chain.split_once(" {"));
    let of_machines = chains.filter(|(name, _)| name.starts_with("m_"));
    of_machines
        .map(|(name, rules)| MachineChain { name: name.to_owned(), rules: rules.to_owned() })
        .collect()
}
