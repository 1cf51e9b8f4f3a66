//! From create to destroy, through stops, freezes and the death of control.

use crate::warm::{cgroups, pids};
use crate::{WAIT, config, house, started};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use testkit::Instance;
use tests::fixture;

fn kernel_of_host() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

#[test]
fn it_has_a_kernel_of_its_own_and_its_disk_stays_as_it_was_left() {
    let Some(instance) = house() else { return };
    let id = started(&instance, WAIT, &json!({"guest": {"memory_mb": 512, "cpus": 2}}));
    let view = instance.get(&Instance::path(&id)).expect(200);
    assert_eq!(view["engine"], "microvm", "{view}");
    assert_ne!(instance.sh(&id, "busybox uname -r").trim(), kernel_of_host());
    assert_eq!(instance.sh(&id, "busybox grep -c ^processor /proc/cpuinfo").trim(), "2");
    assert_eq!(instance.sh(&id, "busybox hostname").trim(), id);
    drop(instance.sh(&id, "echo kept >/note"));
    for _ in 0..2 {
        instance.stop_machine(&id);
        instance.wait_for(&id, "stopped");
        instance.start_machine(&id);
        assert_eq!(instance.sh(&id, "cat /note").trim(), "kept");
    }
    fixture::destroy(&instance, &id);
}

#[test]
fn it_freezes_and_goes_on() {
    let Some(instance) = house() else { return };
    let id = started(&instance, WAIT, &json!({}));
    drop(instance.sh(&id, "echo in RAM >/dev/shm/note"));
    let path = Instance::path(&id);
    drop(instance.post(&format!("{path}/suspend?depth=freeze"), &json!({})).expect(200));
    instance.wait_for(&id, "suspended");
    let view = instance.get(&path).expect(200);
    assert_eq!(view["sleep"]["depth"], "freeze", "{view}");
    instance.start_machine(&id);
    assert_eq!(instance.sh(&id, "cat /dev/shm/note").trim(), "in RAM");
    fixture::destroy(&instance, &id);
}

#[test]
fn it_outlives_control_and_starts_from_the_template_that_is_there() {
    let Some(mut instance) = house() else { return };
    let id = started(&instance, WAIT, &json!({}));
    drop(instance.sh(&id, "echo in RAM >/dev/shm/note"));
    instance.kill_control();
    instance.start_again();
    assert_eq!(instance.sh(&id, "cat /dev/shm/note").trim(), "in RAM");
    let made = templates(&instance);
    assert_eq!(made.len(), 1, "{made:?}");
    let before = fs::metadata(&made[0]).expect("there").modified().expect("a time");
    instance.stop_machine(&id);
    instance.start_machine(&id);
    assert_eq!(instance.sh(&id, "ls /dev/shm | busybox wc -l").trim(), "0");
    assert_eq!(fs::metadata(&made[0]).expect("there").modified().expect("a time"), before);
    fixture::destroy(&instance, &id);
}

#[test]
fn a_damaged_template_is_made_again() {
    let Some(mut instance) = house() else { return };
    let id =
        instance.create_with(&json!({"config": config(WAIT, &json!({})), "skip_launch": true}));
    instance.wait_for(&id, "stopped");
    let made = templates(&instance);
    let ram = made[0].join("ram");
    let mut bytes = fs::read(&ram).expect("there");
    let at = bytes.iter().position(|byte| *byte != 0).expect("something is in it");
    bytes[at] ^= 1;
    fs::write(&ram, bytes).expect("ours");
    instance.start_again();
    instance.start_machine(&id);
    assert_eq!(templates(&instance), made);
    fixture::destroy(&instance, &id);
}

/// Directories of the templates of an instance.
fn templates(instance: &Instance) -> Vec<PathBuf> {
    let dir = instance.data_dir().join("vm/templates");
    let entries = fs::read_dir(&dir).expect("there are some");
    entries.map(|entry| entry.expect("an entry").path()).filter(|path| Path::is_dir(path)).collect()
}

#[test]
fn whose_fault_its_end_is_is_told() {
    let Some(instance) = house() else { return };
    let id = started(&instance, WAIT, &json!({"restart": {"policy": "no"}}));
    // Nobody is left to answer.
    let panic = json!({"command": ["/bin/sh", "-c", "echo c >/proc/sysrq-trigger"]});
    drop(instance.post(&format!("{}/exec", Instance::path(&id)), &panic));
    instance.wait_for(&id, "stopped");
    let ended = last_exit(&instance, &id);
    assert!(ended["guest_error"].as_str().is_some_and(|said| said.contains("panicked")), "{ended}");
    assert_eq!(ended["error"], "", "{ended}");
    instance.start_machine(&id);
    // One directory in each tree of cgroups.
    let monitors: BTreeSet<u32> = cgroups(&instance).iter().flat_map(|dir| pids(dir)).collect();
    for pid in monitors {
        let monitor = Pid::from_raw(pid.cast_signed()).expect("a pid");
        kill_process(monitor, Signal::KILL).expect("ours");
    }
    instance.wait_for(&id, "stopped");
    let ended = last_exit(&instance, &id);
    assert!(ended["error"].as_str().is_some_and(|said| said.contains("signal 9")), "{ended}");
    assert_eq!(ended["guest_error"], "", "{ended}");
    fixture::destroy(&instance, &id);
}

/// What the last `exit` event says.
pub(crate) fn last_exit(instance: &Instance, id: &str) -> Value {
    let events = instance.get(&Instance::path(id)).expect(200)["events"].clone();
    let exit = events.as_array().and_then(|all| all.iter().find(|event| event["type"] == "exit"));
    exit.map_or(Value::Null, |exit| exit["request"]["exit_event"].clone())
}
