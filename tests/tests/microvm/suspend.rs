//! Virtual machines whose RAM goes to disk and comes back.

use crate::warm::{cgroups, wait_for_warm};
use crate::{WAIT, config, house, house_of, house_with, started};
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use testkit::{Builder, Instance, eventually, instance, leftovers};
use tests::fixture;

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
        assert_eq!(cgroups(&instance), Vec::<PathBuf>::new());
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
fn one_that_was_warmed_sleeps_as_any_other() {
    let Some(instance) = house_with("1,1") else { return };
    let id = started(&instance, WAIT, &json!({}));
    instance.stop_machine(&id);
    wait_for_warm(&instance, 1);
    instance.start_machine(&id);
    drop(instance.sh(&id, &format!("echo in RAM >{NOTE}")));
    for _ in 0..2 {
        suspend(&instance, &id);
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

/// A wall clock that can be set forward under a daemon that runs.
struct Clock(tempfile::TempDir);

impl Clock {
    fn new() -> Self {
        let clock = Self(tempfile::tempdir().expect("a directory"));
        clock.set(0);
        clock
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("shift")
    }

    /// Sets it to so many minutes from the host's.
    fn set(&self, minutes: u64) {
        let next = self.0.path().join("next");
        fs::write(&next, (minutes * 60_000).to_string()).expect("ours");
        fs::rename(next, self.file()).expect("ours");
    }

    /// An instance with this clock.
    #[track_caller]
    fn house(&self) -> Option<Instance> {
        let file = self.file();
        let builder = Builder::default().env("DORMOUSE_CLOCK", file.to_str().expect("plain"));
        house_of(builder, "0,0")
    }
}

#[track_caller]
fn freeze(instance: &Instance, id: &str) {
    let path = format!("{}/suspend?depth=freeze", Instance::path(id));
    drop(instance.post(&path, &json!({})).expect(200));
    wait_for_depth(instance, id, "freeze");
}

#[track_caller]
fn wait_for_depth(instance: &Instance, id: &str, depth: &str) {
    eventually(depth, || {
        let view = instance.get(&Instance::path(id)).expect(200);
        (view["state"] == "suspended" && view["sleep"]["depth"] == depth).then_some(())
    });
}

/// What comes next of the machine by time alone.
#[track_caller]
fn next(instance: &Instance, id: &str) -> String {
    let told = instance.get(&format!("{}/self/explain", Instance::path(id))).expect(200);
    told["next"]["what"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn it_goes_to_disk_with_age_and_is_stopped_with_more() {
    let clock = Clock::new();
    let Some(mut instance) = clock.house() else { return };
    let ages = json!({"deepen": {"suspend_after": "1h", "stop_after": "4h"}});
    let id = noted(&instance, &ages);
    freeze(&instance, &id);
    let told = next(&instance, &id);
    assert!(told.starts_with("to disk by its setting `deepen` "), "{told}");
    clock.set(61);
    wait_for_depth(&instance, &id, "suspend");
    assert!(ram_dir(&instance, &id).exists());
    // Control comes back to one whose age is known from the store alone.
    instance.set_env(&[("DORMOUSE_CLOCK", clock.file().to_str().expect("plain"))]);
    instance.start_again();
    let told = next(&instance, &id);
    assert!(told.starts_with("stopped by its setting `deepen` "), "{told}");
    // Its age began when it was frozen, not when it went to disk; a wake begins it anew.
    instance.start_machine(&id);
    assert_noted(&instance, &id);
    freeze(&instance, &id);
    clock.set(61 + 3 * 60);
    wait_for_depth(&instance, &id, "suspend");
    clock.set(61 + 4 * 60 + 1);
    instance.wait_for(&id, "stopped");
    eventually("no RAM on disk", || (!ram_dir(&instance, &id).exists()).then_some(()));
    let events = instance.get(&format!("{}/events?limit=50", Instance::path(&id))).expect(200);
    let stop = events.as_array().expect("a list").iter().find(|event| event["type"] == "stop");
    let cause = &stop.expect("it was stopped")["cause"];
    assert_eq!(*cause, json!({"cause": "age", "after": 4 * 3_600_000}));
    fixture::destroy(&instance, &id);
}
