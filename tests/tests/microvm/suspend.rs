//! Virtual machines whose RAM goes to disk and comes back.

use crate::{WAIT, config, house, house_of, started};
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use testkit::{Builder, Instance, instance, leftovers};
use tests::{fixture, host};

/// What a machine has in its RAM, and nowhere else.
const NOTE: &str = "/dev/shm/note";

fn noted(instance: &Instance, more: &Value) -> String {
    let id = started(instance, WAIT, more);
    drop(instance.sh(&id, &format!("echo in RAM >{NOTE}")));
    id
}

#[track_caller]
fn assert_noted(instance: &Instance, id: &str) {
    assert_eq!(instance.sh(id, &format!("cat {NOTE}")).trim(), "in RAM");
}

#[track_caller]
fn suspend(instance: &Instance, id: &str) {
    drop(instance.post(&format!("{}/suspend", Instance::path(id)), &json!({})).expect(200));
    instance.wait_for(id, "suspended");
}

fn ram_dir(instance: &Instance, id: &str) -> PathBuf {
    instance.data_dir().join("machines").join(id).join("ram")
}

#[test]
fn it_holds_nothing_while_it_sleeps_and_wakes_as_it_was() {
    let Some(instance) = house() else { return };
    let id = noted(&instance, &json!({"guest": {"memory_mb": 512, "cpus": 2}}));
    for _ in 0..3 {
        suspend(&instance, &id);
        let view = instance.get(&Instance::path(&id)).expect(200);
        assert_eq!(view["sleep"]["depth"], "suspend", "{view}");
        assert_eq!(view["sleep"]["ram_bytes"], 0, "{view}");
        assert_eq!(leftovers::shims_of(&instance.tag()), []);
        assert!(host::processes(&instance, &id).is_empty());
        instance.start_machine(&id);
        assert_noted(&instance, &id);
        assert_eq!(instance.sh(&id, "busybox grep -c ^processor /proc/cpuinfo").trim(), "2");
    }
    fixture::destroy(&instance, &id);
}

#[test]
fn it_sleeps_on_while_control_comes_and_goes() {
    let Some(mut instance) = house() else { return };
    let id = noted(&instance, &json!({}));
    suspend(&instance, &id);
    instance.start_again();
    assert_eq!(instance.state(&id), "suspended");
    instance.start_machine(&id);
    assert_noted(&instance, &id);
    instance.start_again();
    assert_noted(&instance, &id);
    fixture::destroy(&instance, &id);
}

#[test]
fn it_sleeps_through_a_reboot_of_the_host() {
    let boot_id = tempfile::NamedTempFile::new().expect("a file");
    let boot = |digit: &str| {
        let id = format!(
            "{0}-{1}-4{2}-8{2}-{3}\n",
            digit.repeat(8),
            digit.repeat(4),
            digit.repeat(3),
            digit.repeat(12)
        );
        fs::write(&boot_id, id).expect("ours");
    };
    boot("1");
    let argument = format!("--boot-id-file={}", boot_id.path().display());
    let Some(mut instance) = house_of(Builder::default().arg(&argument), "0,0") else { return };
    let id = noted(&instance, &json!({}));
    suspend(&instance, &id);
    instance.end_process();
    boot("2");
    instance.start_again();
    assert_eq!(instance.state(&id), "suspended");
    instance.start_machine(&id);
    assert_noted(&instance, &id);
    // It belongs to the new boot now.
    instance.start_again();
    assert_noted(&instance, &id);
    fixture::destroy(&instance, &id);
}

#[test]
fn a_wake_on_its_way_to_sleep_is_never_lost() {
    let Some(instance) = house() else { return };
    let id = noted(&instance, &json!({}));
    for _ in 0..6 {
        drop(instance.post(&format!("{}/suspend", Instance::path(&id)), &json!({})).expect(200));
        instance.start_machine(&id);
        assert_noted(&instance, &id);
    }
    fixture::destroy(&instance, &id);
}

#[test]
fn a_visitor_wakes_it() {
    let Some(instance) = house() else { return };
    let serve = format!(
        "echo in RAM >{NOTE}; busybox mkdir -p /www; echo here >/www/index.html; \
                         exec busybox httpd -f -p 7000 -h /www"
    );
    let service = json!({
        "internal_port": 7000,
        "ports": [{"port": 8080, "handlers": ["http"]}],
    });
    let id = started(&instance, &serve, &json!({"services": [service]}));
    fixture::wait_until_it_listens(&instance, &id, 7000);
    suspend(&instance, &id);
    instance.wait_for_route(&id, |machine| machine["route"]["state"]["state"] == "asleep");
    let reply = instance.visit(8080, "test.localhost", "/");
    assert_eq!((reply.status, reply.text.trim()), (200, "here"), "{}", reply.text);
    assert_noted(&instance, &id);
    fixture::destroy(&instance, &id);
}

#[test]
fn what_cannot_come_back_starts_cold() {
    let Some(instance) = house() else { return };
    let id = noted(&instance, &json!({}));
    drop(instance.sh(&id, "echo kept >/kept"));
    suspend(&instance, &id);
    let pages = ram_dir(&instance, &id).join("pages");
    let mut bytes = fs::read(&pages).expect("it sleeps on disk");
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    fs::write(&pages, bytes).expect("ours");
    instance.start_machine(&id);
    instance.wait_for(&id, "started");
    assert_eq!(
        instance.sh(&id, &format!("ls {NOTE} 2>&1; cat /kept")).lines().last(),
        Some("kept")
    );
    assert!(!ram_dir(&instance, &id).exists());
    fixture::destroy(&instance, &id);
}

#[test]
fn a_shim_that_is_killed_on_the_way_loses_no_machine() {
    let Some(instance) = house() else { return };
    let id = noted(&instance, &json!({}));
    drop(instance.sh(&id, "echo kept >/kept; sync"));
    drop(instance.post(&format!("{}/suspend", Instance::path(&id)), &json!({})).expect(200));
    for shim in leftovers::shims_of(&instance.tag()) {
        instance::kill(shim.pid);
    }
    instance.wait_for(&id, "settled");
    instance.start_machine(&id);
    assert_eq!(instance.sh(&id, "cat /kept").trim(), "kept");
    fixture::destroy(&instance, &id);
}

#[test]
fn stopped_updated_or_destroyed_it_leaves_no_ram_behind() {
    let Some(instance) = house() else { return };
    let id = noted(&instance, &json!({}));
    let path = Instance::path(&id);
    suspend(&instance, &id);
    assert!(ram_dir(&instance, &id).exists());
    instance.stop_machine(&id);
    assert!(!ram_dir(&instance, &id).exists());
    instance.start_machine(&id);
    assert_eq!(instance.sh(&id, "ls /dev/shm | busybox wc -l").trim(), "0");
    suspend(&instance, &id);
    let body = json!({"config": config(WAIT, &json!({"env": {"NEW": "yes"}}))});
    drop(instance.post(&path, &body).expect(200));
    instance.wait_for(&id, "settled");
    instance.start_machine(&id);
    assert_eq!(instance.sh(&id, "ls /dev/shm | busybox wc -l; echo $NEW").trim(), "0\nyes");
    suspend(&instance, &id);
    drop(instance.delete(&path).expect(200));
    instance.wait_for(&id, "destroyed");
    assert_eq!(
        leftovers::of_machine(&instance.tag(), instance.data_dir(), &id),
        Vec::<String>::new()
    );
}
