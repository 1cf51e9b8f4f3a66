//! Hungry programs: what they take is bounded, and nobody else goes without.

use crate::{WAIT, prisoner};
use serde_json::json;
use testkit::Instance;
use tests::fixture;

/// More processes than a machine may have.
const MANY: &str = "10000";

#[test]
fn a_machine_forks_so_far_and_no_further() {
    let instance = fixture::with_probe();
    let (hungry, other) = (with_much_ram(&instance, false), prisoner(&instance));
    let outcome = instance.exec(&hungry, &["/bin/guest-probe", "fork", MANY]);
    let said = outcome["stdout"].as_str().expect("text");
    let n_children: u32 = said
        .trim()
        .strip_prefix("children: ")
        .and_then(|number| number.parse().ok())
        .unwrap_or_else(|| panic!("{outcome}"));
    assert!((100..4096).contains(&n_children), "{outcome}");
    assert!(outcome["stderr"].as_str().expect("text").contains("temporarily unavailable"));
    assert_eq!(instance.sh(&other, "echo here"), "here\n");
    assert_eq!(instance.sh(&hungry, "echo here"), "here\n");
}

#[test]
fn a_program_that_is_an_init_forks_no_further_either() {
    let instance = fixture::with_probe();
    let id = with_much_ram(&instance, true);
    let said = testkit::eventually("the probe has forked", || {
        instance.log(&id).into_iter().find(|line| line.starts_with("children: "))
    });
    let n_children: u32 = said["children: ".len()..].parse().expect("a number");
    assert!((100..4096).contains(&n_children), "{said}");
}

/// A machine in which processes run out before RAM does. As an init it forks by itself.
fn with_much_ram(instance: &Instance, is_pid1: bool) -> String {
    let fork = if is_pid1 { "guest-probe fork 10000; " } else { "" };
    let exec = ["/bin/sh", "-c", &format!("{fork}sleep 600")];
    let size = json!({"cpu_kind": "shared", "cpus": 1, "memory_mb": 1024});
    let more = json!({"init": {"exec": exec, "pid1": is_pid1}, "guest": size});
    fixture::started(instance, WAIT, &more)
}

#[test]
fn a_program_that_eats_its_ram_is_killed_and_told_apart() {
    let instance = fixture::with_probe();
    let other = prisoner(&instance);
    let no_restart = json!({"restart": {"policy": "no"}});
    let id = fixture::started(&instance, "exec guest-probe eat-ram", &no_restart);
    instance.wait_for(&id, "stopped");
    let exit = fixture::last_exit(&instance, &id);
    assert_eq!(exit["exit_event"]["oom_killed"], true, "{exit}");
    assert_eq!(exit["exit_event"]["guest_signal"], 9, "{exit}");
    let eaten_mib = instance.log(&id).iter().filter(|line| line.starts_with("eaten: ")).count() * 4;
    assert!((100..=256).contains(&eaten_mib), "{eaten_mib} MiB of 256");
    assert_eq!(instance.sh(&other, "echo here"), "here\n");

    let killed = fixture::started(&instance, "kill -9 $$", &no_restart);
    instance.wait_for(&killed, "stopped");
    let exit = fixture::last_exit(&instance, &killed);
    assert_eq!(exit["exit_event"]["oom_killed"], false, "{exit}");
}

#[test]
fn a_command_that_eats_the_ram_leaves_the_program_alone() {
    let instance = fixture::with_probe();
    let id = prisoner(&instance);
    let outcome = instance.exec(&id, &["/bin/guest-probe", "eat-ram"]);
    assert_eq!(outcome["exit_signal"], 9, "{outcome}");
    assert_eq!(instance.sh(&id, "ps | grep -c '[s]leep 600'"), "1\n");
    assert_eq!(instance.state(&id), "started");
}

#[test]
fn files_in_ram_count_as_the_machines_ram() {
    let instance = fixture::with_probe();
    let id = prisoner(&instance);
    let fill = |place: &str| {
        let script = format!("dd if=/dev/zero of={place}/full bs=64k count=100000");
        let outcome = instance.exec(&id, &["/bin/sh", "-c", &script]);
        assert_ne!(outcome["exit_code"], 0, "{place}: {outcome}");
        let size: u64 = instance
            .sh(&id, &format!("stat -c %s {place}/full; rm {place}/full"))
            .trim()
            .parse()
            .expect("a size");
        assert!(size <= 256 * 1024 * 1024, "{place}: {size}");
    };
    ["/dev/shm", "/dev", "/.fly"].into_iter().for_each(fill);
    assert_eq!(instance.state(&id), "started");
}

#[test]
fn limits_are_seen_and_set_from_outside_only() {
    let instance = fixture::with_probe();
    let id = fixture::started(
        &instance,
        WAIT,
        &json!({"init": {"exec": ["/bin/sleep", "600"], "pid1": true}}),
    );
    // An init has a cgroup of its own; what limits it lies above and cannot be seen.
    let files = instance.sh(&id, "find /sys/fs/cgroup -name '*.max' -exec grep -H . {} + || true");
    assert!(!files.contains("4096") && !files.contains("268435456"), "{files}");
    let outcome = instance.exec(&id, &["/bin/sh", "-c", "echo 1 > /sys/fs/cgroup/../cgroup.procs"]);
    assert_ne!(outcome["exit_code"], 0, "{outcome}");
}
