//! Virtual machines that wait for a start.

use crate::{WAIT, config, house_with, started};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use testkit::{Instance, instance, wait};
use tests::{fixture, host};

/// One is warm as soon as it is wanted, and no more than one.
const ONE: &str = "1,1";

/// Waits until so many are warm.
#[track_caller]
pub(crate) fn wait_for_warm(instance: &Instance, n_warm: u32) {
    wait::eventually(&format!("{n_warm} are warm"), || {
        (number(instance, "dormouse_warm_vms") == f64::from(n_warm)).then_some(())
    });
}

/// A sample of the metrics.
#[track_caller]
fn number(instance: &Instance, sample: &str) -> f64 {
    let text = instance.get("/metrics").text;
    let value = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{sample} in {text}"))
}

/// Starts the machine; the parts of that.
#[track_caller]
fn parts_of_start(instance: &Instance, id: &str) -> String {
    let reply = instance.post(&format!("{}/start", Instance::path(id)), &json!(null));
    assert_eq!(reply.status, 200, "{}", reply.text);
    instance.wait_for(id, "started");
    reply.header("server-timing").expect("parts").to_owned()
}

/// Cgroups of virtual machines, whether they have a run or not.
pub(crate) fn cgroups(instance: &Instance) -> Vec<PathBuf> {
    let trees = testkit::place::cgroup_trees();
    let dirs = trees.iter().map(|tree| tree.join(format!("dormouse-{}", instance.tag())));
    let entries = dirs.filter_map(|dir| fs::read_dir(dir).ok()).flatten();
    let is_vm = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vm-"))
    };
    entries.map(|entry| entry.expect("an entry").path()).filter(is_vm).collect()
}

/// Processes in one of them.
pub(crate) fn pids(dir: &Path) -> Vec<u32> {
    let text = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

#[test]
fn a_start_that_finds_one_brings_its_disks() {
    let Some(instance) = house_with(ONE) else { return };
    let id = started(&instance, WAIT, &json!({}));
    for round in 1..=3 {
        drop(instance.sh(&id, &format!("echo {round} >>/note")));
        instance.stop_machine(&id);
        wait_for_warm(&instance, 1);
        let parts = parts_of_start(&instance, &id);
        assert!(parts.contains("exchange;") && !parts.contains("vmm;"), "{parts}");
        let lines: String = (1..=round).map(|n| format!("{n}\n")).collect();
        assert_eq!(instance.sh(&id, "cat /note"), lines);
        assert_eq!(instance.sh(&id, "busybox hostname").trim(), id);
        let hits = number(&instance, "dormouse_warm_vm_starts_total{outcome=\"hit\"}");
        assert_eq!(hits, f64::from(round));
    }
    assert_eq!(number(&instance, "dormouse_warm_vm_starts_total{outcome=\"miss\"}"), 1.0);
    fixture::destroy(&instance, &id);
}

#[test]
fn none_waits_when_no_machine_could_use_it() {
    let Some(instance) = house_with(ONE) else { return };
    assert_eq!(number(&instance, "dormouse_warm_vms"), 0.0);
    let config = config(WAIT, &json!({}));
    let id = instance.create_with(&json!({"config": config, "skip_launch": true}));
    instance.wait_for(&id, "stopped");
    wait_for_warm(&instance, 1);
    assert!(!cgroups(&instance).is_empty());
    fixture::destroy(&instance, &id);
    wait_for_warm(&instance, 0);
    assert_eq!(cgroups(&instance), Vec::<PathBuf>::new());
}

#[test]
fn none_waits_where_none_is_wanted() {
    let Some(instance) = house_with("0,0") else { return };
    let id = started(&instance, WAIT, &json!({}));
    instance.stop_machine(&id);
    let parts = parts_of_start(&instance, &id);
    assert!(parts.contains("vmm;"), "{parts}");
    assert_eq!(number(&instance, "dormouse_warm_vm_rehearsals_total{outcome=\"warm\"}"), 0.0);
    fixture::destroy(&instance, &id);
}

#[test]
fn one_that_has_ended_is_no_start_lost() {
    let Some(instance) = house_with(ONE) else { return };
    let id = started(&instance, WAIT, &json!({}));
    instance.stop_machine(&id);
    wait_for_warm(&instance, 1);
    let monitors: Vec<u32> = cgroups(&instance).iter().flat_map(|dir| pids(dir)).collect();
    instance::kill(*monitors.first().expect("it runs"));
    instance.start_machine(&id);
    assert_eq!(instance.sh(&id, "echo here").trim(), "here");
    fixture::destroy(&instance, &id);
}

#[test]
fn they_end_with_control_and_others_come_with_the_next() {
    let Some(mut instance) = house_with(ONE) else { return };
    let id = started(&instance, WAIT, &json!({}));
    wait_for_warm(&instance, 1);
    let before: Vec<u32> = cgroups(&instance).iter().flat_map(|dir| pids(dir)).collect();
    instance.kill_control();
    instance.start_again();
    // The one that runs is the same, the one that waits another.
    assert_eq!(instance.sh(&id, "echo here").trim(), "here");
    wait_for_warm(&instance, 1);
    let n_left = before.iter().filter(|pid| !host::of(**pid, "comm").is_empty()).count();
    assert_eq!(n_left * 2, before.len(), "{before:?}");
    fixture::destroy(&instance, &id);
    wait_for_warm(&instance, 0);
    assert_eq!(cgroups(&instance), Vec::<PathBuf>::new());
}

#[test]
fn machines_of_other_sizes_have_their_own() {
    let Some(instance) = house_with(ONE) else { return };
    let ids = [256, 512].map(|memory_mb| {
        let more = json!({"guest": {"memory_mb": memory_mb, "cpus": 1}});
        started(&instance, WAIT, &more)
    });
    wait_for_warm(&instance, 2);
    for (id, total_mib) in ids.iter().zip([256, 512]) {
        instance.stop_machine(id);
        let parts = parts_of_start(&instance, id);
        assert!(parts.contains("exchange;"), "{parts}");
        let said = instance.sh(id, "busybox grep MemTotal /proc/meminfo | busybox tr -dc 0-9");
        let kib: u64 = said.trim().parse().expect("a number");
        assert!((total_mib * 700..total_mib * 1024).contains(&kib), "{kib}");
    }
    for id in &ids {
        fixture::destroy(&instance, id);
    }
}
