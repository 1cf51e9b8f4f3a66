//! Destroy works in every state and leaves nothing.

use serde_json::{Value, json};
use std::process::Output;
use std::thread;
use testkit::{Builder, Instance, eventually};
use tests::fixture::{Held, config, destroy, started, wait_for_line, with_busybox, with_image};

const SLEEP: &str = "exec sleep 1000";

#[test]
fn a_started_machine_is_destroyed_by_force_only() {
    let instance = with_busybox();
    let id = started(&instance, SLEEP, &json!({}));
    let refusal = instance.delete(&Instance::path(&id)).refusal(412);
    assert!(refusal.hint.contains("force"), "{refusal:?}");
    assert_eq!(instance.state(&id), "started");
    destroy(&instance, &id);
    // It stays known as a tombstone, and is in no list.
    assert_eq!(instance.state(&id), "destroyed");
    let list = instance.get("/v1/apps/test/machines").expect(200);
    assert_eq!(list.as_array().map(Vec::len), Some(0), "{list}");
}

#[test]
fn stopped_suspended_and_never_started_machines_are_destroyed() {
    let instance = with_busybox();
    let stopped = started(&instance, SLEEP, &json!({}));
    instance.stop_machine(&stopped);
    let suspended = started(&instance, SLEEP, &json!({}));
    drop(
        instance.post(&format!("{}/suspend", Instance::path(&suspended)), &Value::Null).expect(200),
    );
    instance.wait_for(&suspended, "suspended");
    let never =
        instance.create_with(&json!({"config": config(SLEEP, &json!({})), "skip_launch": true}));
    instance.wait_for(&never, "stopped");
    for id in [stopped, suspended, never] {
        drop(instance.delete(&Instance::path(&id)).expect(200));
        instance.wait_for(&id, "destroyed");
        tests::fixture::expect_nothing_left(&instance, &id);
    }
}

#[test]
fn a_stopping_machine_is_destroyed() {
    let instance = with_busybox();
    let id =
        started(&instance, "trap '' INT; echo ready; while :; do sleep 0.05; done", &json!({}));
    wait_for_line(&instance, &id, "ready");
    let path = Instance::path(&id);
    drop(instance.post(&format!("{path}/stop"), &json!({"timeout": "50s"})).expect(200));
    assert_eq!(instance.state(&id), "stopping");
    destroy(&instance, &id);
}

#[test]
fn a_machine_in_back_off_is_destroyed() {
    let instance = with_busybox();
    let restart = json!({"restart": {"policy": "always"}});
    let id = instance.create_with(&json!({"config": config("exit 1", &restart)}));
    eventually("it waits for its restart", || (instance.state(&id) == "restarting").then_some(()));
    destroy(&instance, &id);
}

#[test]
fn a_starting_machine_is_destroyed() {
    let instance = with_busybox();
    let id =
        instance.create_with(&json!({"config": config(SLEEP, &json!({})), "skip_launch": true}));
    instance.wait_for(&id, "stopped");
    let held = Held::children_of(instance.control_pid());
    thread::scope(|scope| {
        scope.spawn(|| {
            let reply = instance.post(&format!("{}/start", Instance::path(&id)), &Value::Null);
            assert!(matches!(reply.status, 200 | 412 | 503), "{}", reply.text);
        });
        eventually("the start is accepted", || (instance.state(&id) == "starting").then_some(()));
        drop(instance.delete(&format!("{}?force=true", Instance::path(&id))).expect(200));
        drop(held);
        instance.wait_for(&id, "destroyed");
    });
    tests::fixture::expect_nothing_left(&instance, &id);
}

#[test]
fn a_machine_that_cannot_be_prepared_is_destroyed_while_it_is_tried_and_after() {
    let no_disk = Builder::default().env("DORMOUSE_STEP_FAULT", "fail-always:create.disk");
    let instance = with_image(no_disk, &[]);
    let tried = instance.create(&["/bin/sleep", "1000"]);
    assert_eq!(instance.state(&tried), "created");
    destroy(&instance, &tried);

    let failed = instance.create(&["/bin/sleep", "1000"]);
    instance.wait_for(&failed, "failed");
    let shown = instance.get(&Instance::path(&failed)).expect(200);
    assert!(shown["failure"]["message"].as_str().is_some_and(|m| !m.is_empty()), "{shown}");
    destroy(&instance, &failed);
}

#[test]
fn a_machine_whose_program_is_missing_fails_with_a_reason_and_is_destroyed() {
    let instance = with_busybox();
    let id = instance.create(&["/no/such/program"]);
    instance.wait_for(&id, "failed");
    let shown = instance.get(&Instance::path(&id)).expect(200);
    assert_eq!(shown["failure"]["code"], "not_found", "{shown}");
    destroy(&instance, &id);
}

#[test]
fn auto_destroy_removes_a_machine_when_its_program_has_ended() {
    let instance = with_busybox();
    let more = json!({"auto_destroy": true, "restart": {"policy": "no"}});
    let id = instance.create_with(&json!({"config": config("exit 0", &more)}));
    instance.wait_for(&id, "destroyed");
    tests::fixture::expect_nothing_left(&instance, &id);
}

#[test]
fn an_app_is_deleted_with_its_machines_by_force_only() {
    let instance = with_busybox();
    let ids = [started(&instance, SLEEP, &json!({})), started(&instance, SLEEP, &json!({}))];
    assert_eq!(instance.delete("/v1/apps/test").refusal(412).code, "app_not_empty");
    let deleted = instance.delete("/v1/apps/test?force=true");
    assert_eq!(deleted.status, 202, "{}", deleted.text);
    for id in &ids {
        tests::fixture::expect_nothing_left(&instance, id);
    }
}

#[test]
fn an_app_whose_machines_are_being_destroyed_is_deleted_when_they_are_gone() {
    let instance = with_busybox();
    let id = started(&instance, "trap '' TERM; sleep 600", &json!({}));
    assert_eq!(instance.delete(&format!("{}?force=true", Instance::path(&id))).status, 200);
    assert_eq!(instance.delete("/v1/apps/test").status, 202);
    tests::fixture::expect_nothing_left(&instance, &id);
}

/// Runs the CLI.
fn cli(instance: &Instance, args: &[&str]) -> Output {
    instance.command().args(args).output().expect("the CLI's binary can be run")
}

#[test]
fn the_command_waits_until_the_name_is_free_unless_it_is_told_not_to() {
    let instance = with_busybox();
    let destroy = |id: &str, options: &[&str]| {
        let output = cli(&instance, &[&["machine", "destroy", "--force", id], options].concat());
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{told}");
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim_end(), id);
    };
    let named = || {
        let body = json!({"name": "dusky", "config": config(SLEEP, &json!({}))});
        let id = instance.create_with(&body);
        instance.wait_for(&id, "started");
        id
    };
    for _ in 0..3 {
        let id = named();
        destroy(&id, &[]);
        assert_eq!(instance.state(&id), "destroyed");
    }
    let id = named();
    destroy(&id, &["--detach"]);
    instance.wait_for(&id, "destroyed");
}
