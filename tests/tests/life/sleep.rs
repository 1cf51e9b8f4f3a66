//! Freeze and thaw; what is metered.

use serde_json::{Value, json};
use std::time::Duration;
use testkit::{Instance, eventually, leftovers};
use tests::fixture::{Held, let_pass, started, with_busybox};

/// Counts in a shell variable, which lives in RAM alone, and shows the count in a file.
const COUNT: &str = "n=0; while :; do n=$((n+1)); echo $n > /dev/shm/new; mv /dev/shm/new /dev/shm/n; sleep 0.01; done";

fn suspend(instance: &Instance, id: &str) {
    drop(instance.post(&format!("{}/suspend", Instance::path(id)), &Value::Null).expect(200));
    instance.wait_for(id, "suspended");
}

fn count(instance: &Instance, id: &str) -> u64 {
    let counted = || instance.sh(id, "cat /dev/shm/n 2>/dev/null || echo 0");
    counted().trim().parse().expect("a number")
}

fn started_s(instance: &Instance, id: &str) -> f64 {
    let usage = instance.get(&format!("{}/usage", Instance::path(id))).expect(200);
    usage["started_s"].as_f64().expect("a number")
}

#[test]
fn a_frozen_machine_keeps_its_processes_and_its_ram() {
    let instance = with_busybox();
    let id = started(&instance, COUNT, &json!({}));
    eventually("it counts", || (count(&instance, &id) > 20).then_some(()));
    let before = count(&instance, &id);
    suspend(&instance, &id);
    let shown = instance.get(&Instance::path(&id)).expect(200);
    assert_eq!(shown["state"], "suspended");
    assert_eq!(shown["sleep"]["depth"], "freeze", "{shown}");
    assert!(shown["sleep"]["ram_bytes"].as_u64().is_some_and(|bytes| bytes > 0), "{shown}");
    let_pass(Duration::from_secs(1));
    instance.start_machine(&id);
    let after = count(&instance, &id);
    assert!(after >= before, "the counter began anew: {before}, then {after}");
    // In the second of its sleep it would have counted to about a hundred more.
    assert!(after < before + 60, "it counted on while frozen: {before}, then {after}");
    eventually("it counts on", || (count(&instance, &id) > after).then_some(()));
}

#[test]
fn a_frozen_machine_refuses_exec_with_a_hint_and_can_be_stopped() {
    let instance = with_busybox();
    let id = started(&instance, "exec sleep 1000", &json!({}));
    suspend(&instance, &id);
    let body = json!({"command": ["/bin/true"]});
    let refusal = instance.post(&format!("{}/exec", Instance::path(&id)), &body).refusal(412);
    assert_eq!(refusal.code, "not_running");
    drop(instance.post(&format!("{}/stop", Instance::path(&id)), &Value::Null).expect(200));
    instance.wait_for(&id, "stopped");
    instance.start_machine(&id);
    assert_eq!(instance.sh(&id, "echo up"), "up\n");
}

#[test]
fn a_freeze_and_a_wake_at_once_end_awake() {
    let instance = with_busybox();
    let id = started(&instance, COUNT, &json!({}));
    for _ in 0..20 {
        let path = Instance::path(&id);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let reply = instance.post(&format!("{path}/suspend"), &Value::Null);
                assert!(matches!(reply.status, 200 | 412), "{}", reply.text);
            });
            scope.spawn(|| {
                let reply = instance.post(&format!("{path}/start"), &Value::Null);
                assert!(matches!(reply.status, 200 | 409 | 412), "{}", reply.text);
            });
        });
        instance.wait_for(&id, "settled");
        instance.start_machine(&id);
        assert_eq!(instance.sh(&id, "echo up"), "up\n");
    }
}

#[test]
fn a_start_that_comes_during_a_freeze_is_not_lost() {
    let instance = with_busybox();
    let id = started(&instance, COUNT, &json!({}));
    let path = Instance::path(&id);
    let held = hold_shims(&instance);
    drop(instance.post(&format!("{path}/suspend"), &Value::Null).expect(200));
    assert_eq!(instance.state(&id), "suspending");
    std::thread::scope(|scope| {
        let waking = scope.spawn(|| instance.post(&format!("{path}/start"), &Value::Null));
        // Nothing shows that the wake has come in. Should it come later, it is an ordinary thaw.
        let_pass(Duration::from_millis(300));
        drop(held);
        drop(waking.join().expect("an answer").expect(200));
    });
    assert_eq!(instance.state(&id), "started");
    assert_eq!(instance.sh(&id, "echo up"), "up\n");
}

#[test]
fn a_start_that_comes_during_a_stop_is_refused_for_now() {
    let instance = with_busybox();
    let id = started(&instance, COUNT, &json!({}));
    let path = Instance::path(&id);
    let held = hold_shims(&instance);
    drop(instance.post(&format!("{path}/stop"), &Value::Null).expect(200));
    assert_eq!(instance.state(&id), "stopping");
    let reply = instance.post(&format!("{path}/start"), &Value::Null);
    assert_eq!(reply.body["retryable"], true, "{}", reply.text);
    drop(reply.refusal(412));
    drop(held);
    instance.wait_for(&id, "stopped");
    instance.start_machine(&id);
}

/// Lets the shims of running machines stand still, so that what they were told is not done yet.
fn hold_shims(instance: &Instance) -> Held {
    Held::processes(leftovers::shims_of(&instance.tag()).iter().map(|shim| shim.pid).collect())
}

#[test]
fn suspend_to_disk_is_refused_where_the_engine_cannot() {
    let instance = with_busybox();
    let id = started(&instance, "exec sleep 1000", &json!({}));
    let target = format!("{}/suspend?depth=suspend", Instance::path(&id));
    let refusal = instance.post(&target, &Value::Null).refusal(412);
    assert!(refusal.hint.contains("freeze"), "{refusal:?}");
    assert_eq!(instance.state(&id), "started");
}

#[test]
fn stopped_and_frozen_seconds_are_not_metered() {
    let instance = with_busybox();
    let id = started(&instance, "exec sleep 1000", &json!({}));
    let_pass(Duration::from_secs(1));
    instance.stop_machine(&id);
    let after_first = started_s(&instance, &id);
    assert!((1.0..10.0).contains(&after_first), "{after_first}");
    let_pass(Duration::from_secs(2));
    assert!((started_s(&instance, &id) - after_first).abs() < 0.001, "metered while stopped");

    instance.start_machine(&id);
    suspend(&instance, &id);
    let frozen = started_s(&instance, &id);
    let_pass(Duration::from_secs(2));
    assert!((started_s(&instance, &id) - frozen).abs() < 0.001, "metered while frozen");
    instance.start_machine(&id);
    let_pass(Duration::from_secs(1));
    instance.stop_machine(&id);
    let total = started_s(&instance, &id);
    assert!(total - frozen >= 1.0, "not metered after the thaw: {frozen}, then {total}");
}
