//! What a machine brings along, what an update changes in it, and what becomes of its self in the end.

use crate::desk::{Governed, sleeper};
use serde_json::{Value, json};
use testkit::{Instance, eventually};

#[test]
fn a_machine_that_is_to_retire_goes_once_it_is_down() {
    let instance = Instance::start();
    let policy = json!({
        "facts": {"done": {"type": "bool", "default": false}},
        "rules": [{"id": "gone", "effect": "retire", "when": "memory.done"}]
    });
    let machine = sleeper(&instance, &policy, &json!({}));
    machine.know(&json!({"done": true}));
    machine.wait_for("destroyed");
    let reply = machine.ask("GET", "", &Value::Null);
    assert_eq!(reply.status, 404, "{}", reply.text);
}

#[test]
fn an_update_changes_policy_and_schedule_and_keeps_the_memory() {
    let instance = Instance::start();
    let policy =
        |id: &str| json!({"rules": [{"id": id, "effect": "wake", "when": "inbox.depth > 9"}]});
    let config = |more: Value| {
        let mut config = json!({"image": "fake", "engine": "fake", "restart": {"policy": "no"}});
        config.as_object_mut().expect("an object").extend(more.as_object().expect("one").clone());
        config
    };
    let first = config(json!({"policy": policy("a"), "schedule": "daily"}));
    let id = instance.create_with(&json!({"config": first, "skip_launch": true}));
    instance.wait_for(&id, "stopped");
    let machine = Governed { instance: &instance, id };
    machine.know(&json!({"scratch.kept": 1}));
    let alarms = machine.get("/alarms");
    assert!(alarms["alarms"]["schedule"].to_string().contains(r#""1d""#), "{alarms}");

    let path = Instance::path(&machine.id);
    let second = config(json!({"policy": policy("b")}));
    drop(instance.post(&path, &json!({"config": second, "skip_launch": true})).expect(200));
    machine.wait_for("stopped");
    eventually("the policy is another one", || {
        machine.get("/policy").to_string().contains(r#""id":"b""#).then_some(())
    });
    assert!(machine.get("/alarms")["alarms"]["schedule"].is_null());
    assert_eq!(machine.fact("scratch.kept"), 1);

    let wrong = config(json!({"policy": {"rules": [{"id": "x", "effect": "wake", "when": "("}]}}));
    let reply = instance.request_with("POST", &path, &[], &json!({"config": wrong}));
    assert_eq!(
        (reply.status, &reply.body["code"]),
        (422, &json!("policy_invalid")),
        "{}",
        reply.text
    );
    assert!(machine.get("/policy").to_string().contains(r#""id":"b""#), "nothing has changed");
    machine.check_trace();
}

#[test]
fn a_self_moves_from_machine_to_machine() {
    let instance = Instance::start();
    let policy = json!({"rules": [{"id": "many", "effect": "wake", "when": "inbox.depth > 1"}]});
    let from = sleeper(&instance, &policy, &json!({}));
    from.know(&json!({"scratch.n": 7}));
    from.post(&json!({"body": "kept", "id": "one"}));
    let export = from.get("/export");
    let to = sleeper(&instance, &json!({}), &json!({}));
    to.post(&json!({"body": "goes"}));
    drop(to.ask("POST", "/import", &export).expect(200));
    assert_eq!(to.fact("scratch.n"), 7);
    assert_eq!(to.get("/inbox")["messages"][0]["body"], "kept");
    to.check_trace();
    to.post(&json!({"body": "the second"}));
    to.wait_for("started");
    to.check_trace();
}
