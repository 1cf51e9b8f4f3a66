//! Each kind of host, booted.

use crate::initramfs::{self, Choice};
use std::time::Duration;
use testkit::kernel::Kernel;
use testkit::report;
use tests::guest::Guest;

/// Longest time of a guest. It takes 30 s with a core of its own; beside other tests twice that.
const PATIENCE: Duration = Duration::from_secs(180);

/// What is tried in each guest: what must hold on any host, and of the other tests those that lean on
/// cgroups, namespaces and mounts the most.
const CHOICES: [Choice; 4] = [
    (
        "hosts",
        &[
            "any_host::the_container_engine_conforms",
            "any_host::the_container_engine_conforms_without_a_user_namespace",
            "any_host::device_nodes_are_made_and_not_opened",
            "any_host::a_program_that_eats_its_ram_is_killed_and_counted",
            "any_host::a_program_forks_so_far_and_no_further",
            "any_host::a_program_that_is_an_init_has_a_cgroup_of_its_own",
        ],
    ),
    (
        "life",
        &[
            "begin::a_restart_is_a_stop_and_a_start",
            "control::frozen_machines_stay_frozen_over_a_death_of_control",
        ],
    ),
    (
        "escape",
        &[
            "devices::no_device_of_the_host_is_reached",
            "limits::limits_are_seen_and_set_from_outside_only",
        ],
    ),
    // By itself, and last.
    ("hosts", &["own_clock::an_alarm_that_a_set_clock_has_passed_fires_at_once"]),
];

#[test]
fn a_host_with_a_v2_tree_alone() {
    check("v2");
}

#[test]
fn a_host_with_v1_hierarchies_alone() {
    check("v1");
}

#[track_caller]
fn check(cgroups: &str) {
    let said = match run(cgroups) {
        Ok(said) => said,
        Err(why) => return report::line("hosts", &format!("skipped hosts, {cgroups}: {why}")),
    };
    let has_passed = |name: &str| said.lines().any(|line| line == format!("test {name} ... ok"));
    let failed: Vec<&str> = CHOICES
        .iter()
        .flat_map(|(_, names)| *names)
        .copied()
        .filter(|name| !has_passed(name))
        .collect();
    assert!(failed.is_empty(), "on a host with {cgroups} alone: {failed:#?}\n{said}");
}

/// What a guest with these cgroups says; why there is none here.
fn run(cgroups: &str) -> Result<String, String> {
    let kernel = Kernel::fetch()?;
    let dir = tempfile::Builder::new().prefix("dormouse-test-").tempdir().expect("a directory");
    let (archive, console) = (dir.path().join("initramfs"), dir.path().join("console"));
    initramfs::write(&archive, &kernel, &CHOICES, dir.path());
    let guest = Guest::boot(&kernel.image(), &archive, &format!("host={cgroups}"), &console)?;
    Ok(guest.wait(PATIENCE, &console))
}
