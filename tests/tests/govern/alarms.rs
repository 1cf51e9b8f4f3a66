//! Alarms: kept while nobody is there, fired once, owed behind a gate.

use crate::desk::sleeper;
use serde_json::{Value, json};
use std::time::Duration;
use testkit::{Instance, eventually};
use tests::fixture::let_pass;

/// Set to fire this many seconds from now.
fn in_seconds(seconds: u64) -> Value {
    let at = model::clock::now().0 / 1000 + seconds;
    let output = std::process::Command::new("date")
        .args(["-u", "-d", &format!("@{at}"), "+%Y-%m-%dT%H:%M:%SZ"])
        .output();
    let text = String::from_utf8(output.expect("`date` can be run").stdout).expect("text");
    json!({"at": text.trim()})
}

#[test]
fn an_alarm_that_nothing_reads_wakes_the_machine() {
    let instance = Instance::start();
    let machine = sleeper(&instance, &json!({}), &json!({}));
    drop(machine.ask("PUT", "/alarms/tea", &in_seconds(2)).expect(200));
    machine.explains("alarm `tea`");
    machine.wait_for("started");
    assert_eq!(machine.get("/wake")["wake"]["alarm"], "tea", "{}", machine.get("/wake"));
    assert_eq!(machine.traced("alarm `tea` fired"), 1);
    machine.check_trace();
}

#[test]
fn an_alarm_that_falls_due_while_nobody_is_there_fires_once_at_the_next_start() {
    let mut instance = Instance::start();
    let id = sleeper(&instance, &json!({}), &json!({})).id;
    let target = format!("{}/self/alarms/tea", Instance::path(&id));
    drop(instance.request_with("PUT", &target, &[], &in_seconds(2)).expect(200));
    instance.end_process();
    let_pass(Duration::from_secs(3));
    instance.start_again();
    instance.wait_for(&id, "started");
    let machine = crate::desk::Governed { instance: &instance, id };
    assert_eq!(machine.traced("alarm `tea` fired"), 1);
    assert_eq!(machine.governed_wakes(), 1);
    machine.check_trace();
}

#[test]
fn a_repeated_alarm_makes_up_for_its_missed_firings_as_it_was_told() {
    let mut instance = Instance::start();
    let quiet = json!({"rules": [{"id": "never", "effect": "wake", "when": "due.tick && memory.go"}],
        "facts": {"go": {"type": "bool", "default": false}}});
    let ids: Vec<(String, &str)> = ["skip", "once", "all"]
        .into_iter()
        .map(|missed| {
            let machine = sleeper(&instance, &quiet, &json!({}));
            drop(
                machine
                    .ask("PUT", "/alarms/tick", &json!({"every": "2s", "missed": missed}))
                    .expect(200),
            );
            (machine.id.clone(), missed)
        })
        .collect();
    instance.end_process();
    let_pass(Duration::from_secs(5));
    instance.start_again();
    for (id, missed) in ids {
        let machine = crate::desk::Governed { instance: &instance, id };
        // Firings that are less than a minute late are not missed, whatever `missed` says of others.
        let count = eventually("it fires", || {
            machine.get("/alarms")["alarms"]["tick"]["due"]["count"].as_u64()
        });
        if missed == "all" {
            assert!(count >= 2, "{missed}: {count}");
        } else {
            assert_eq!(count, 1, "{missed}");
        }
        assert_eq!(machine.state(), "stopped", "a rule reads the alarm, and is not true");
    }
}

#[test]
fn a_wake_is_owed_while_somebody_holds_the_lease() {
    let instance = Instance::start();
    let machine = sleeper(&instance, &json!({}), &json!({}));
    let lease = format!("{}/lease", Instance::path(&machine.id));
    let nonce = instance.post(&lease, &json!({"ttl": 60})).expect(201)["data"]["nonce"].clone();
    drop(machine.ask("PUT", "/alarms/tea", &in_seconds(1)).expect(200));
    eventually("the alarm is due", || {
        machine.get("/alarms")["alarms"]["tea"]["due"].is_object().then_some(())
    });
    machine.wait_for_decision("owed lease");
    assert_eq!(machine.state(), "stopped");
    machine.explains("somebody holds its lease");
    let nonce = nonce.as_str().expect("a nonce");
    let header = [("fly-machine-lease-nonce", nonce)];
    drop(instance.request_with("DELETE", &lease, &header, &Value::Null).expect(200));
    machine.wait_for("started");
    assert_eq!(machine.traced("alarm `tea` fired"), 1);
    machine.check_trace();
}

#[test]
fn a_wake_is_owed_while_the_machine_is_held_down() {
    let instance = Instance::start();
    let machine = sleeper(&instance, &json!({}), &json!({}));
    drop(machine.ask("PUT", "/hold-down", &json!({"reason": "inspection"})).expect(200));
    machine.post(&json!({"body": "up!", "wake": true}));
    machine.wait_for_decision("owed hold_down");
    machine.explains("inspection");
    let start = instance.post(&format!("{}/start", Instance::path(&machine.id)), &Value::Null);
    assert_eq!(start.status, 409, "{}", start.text);
    drop(machine.ask("DELETE", "/hold-down", &Value::Null).expect(200));
    machine.wait_for("started");
    machine.check_trace();
}
