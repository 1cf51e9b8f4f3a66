//! The host boots again: simulated by another boot id and the death of every process of ours.

use serde_json::json;
use testkit::{Builder, Instance, instance, leftovers};
use tests::fixture::{config, destroy, last_exit, started, with_image};

const FIRST_BOOT: &str = "11111111-1111-4111-8111-111111111111\n";
const SECOND_BOOT: &str = "22222222-2222-4222-8222-222222222222\n";

/// An instance whose boot id a test may change.
struct Host {
    instance: Instance,
    boot_id_file: tempfile::NamedTempFile,
}

impl Host {
    fn boot() -> Self {
        let boot_id_file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(&boot_id_file, FIRST_BOOT).expect("the file can be written");
        let argument = format!("--boot-id-file={}", boot_id_file.path().display());
        let instance = with_image(Builder::default().arg(&argument), &[]);
        Self { instance, boot_id_file }
    }

    fn boot_again(&mut self) {
        self.instance.end_process();
        for shim in leftovers::shims_of(&self.instance.tag()) {
            instance::kill(shim.pid);
        }
        std::fs::write(&self.boot_id_file, SECOND_BOOT).expect("the file can be written");
        self.instance.start_again();
    }
}

#[test]
fn after_a_reboot_machines_that_were_up_return_and_others_do_not() {
    let mut host = Host::boot();
    let up =
        started(&host.instance, "exec sleep 1000", &json!({"restart": {"policy": "on-failure"}}));
    let always =
        started(&host.instance, "exec sleep 1000", &json!({"restart": {"policy": "always"}}));
    let never = started(&host.instance, "exec sleep 1000", &json!({"restart": {"policy": "no"}}));
    let stopped =
        started(&host.instance, "exec sleep 1000", &json!({"restart": {"policy": "always"}}));
    for id in [&up, &always, &never, &stopped] {
        drop(host.instance.sh(id, "echo kept > /root/kept; sync"));
    }
    host.instance.stop_machine(&stopped);
    host.boot_again();
    for id in [&up, &always] {
        host.instance.wait_for(id, "started");
        assert_eq!(host.instance.sh(id, "cat /root/kept"), "kept\n");
        let exit = last_exit(&host.instance, id);
        assert_eq!(exit["exit_event"]["restarting"], true, "{exit}");
        // A reboot is not the program's fault.
        assert_eq!(exit["restart_count"].as_u64().unwrap_or(0), 0, "{exit}");
    }
    for id in [&never, &stopped] {
        assert_eq!(host.instance.state(id), "stopped", "{id}");
        host.instance.start_machine(id);
        assert_eq!(host.instance.sh(id, "cat /root/kept"), "kept\n");
    }
    for id in [&up, &always, &never, &stopped] {
        destroy(&host.instance, id);
    }
}

#[test]
fn a_reboot_that_ends_a_machine_for_good_removes_it_with_auto_destroy() {
    let mut host = Host::boot();
    let more = |policy| json!({"auto_destroy": true, "restart": {"policy": policy}});
    let ended = started(&host.instance, "exec sleep 1000", &more("no"));
    let back = started(&host.instance, "exec sleep 1000", &more("always"));
    host.boot_again();
    host.instance.wait_for(&ended, "destroyed");
    tests::fixture::expect_nothing_left(&host.instance, &ended);
    host.instance.wait_for(&back, "started");
    destroy(&host.instance, &back);
}

#[test]
fn a_frozen_machine_is_started_afresh_after_a_reboot() {
    let mut host = Host::boot();
    let id = started(&host.instance, "exec sleep 1000", &json!({"restart": {"policy": "always"}}));
    drop(host.instance.sh(&id, "echo kept > /root/kept; sync"));
    let path = Instance::path(&id);
    drop(host.instance.post(&format!("{path}/suspend"), &serde_json::Value::Null).expect(200));
    host.instance.wait_for(&id, "suspended");
    host.boot_again();
    host.instance.wait_for(&id, "started");
    assert_eq!(host.instance.sh(&id, "cat /root/kept; ls /dev/shm"), "kept\n");
    destroy(&host.instance, &id);
}

#[test]
fn a_machine_that_was_being_stopped_is_stopped_after_a_reboot() {
    let mut host = Host::boot();
    let more = json!({"restart": {"policy": "always"}});
    let script = "trap '' INT; echo ready; while :; do sleep 0.05; done";
    let id = host.instance.create_with(&json!({"config": config(script, &more)}));
    tests::fixture::wait_for_line(&host.instance, &id, "ready");
    let stop = format!("{}/stop", Instance::path(&id));
    drop(host.instance.post(&stop, &json!({"timeout": "60s"})).expect(200));
    host.boot_again();
    host.instance.wait_for(&id, "stopped");
    assert_eq!(last_exit(&host.instance, &id)["exit_event"]["requested_stop"], true);
    destroy(&host.instance, &id);
}
