//! The events of a machine say in words what woke it and what put it to rest.

use crate::desk::{Governed, awake, running, sleeper};
use serde_json::{Value, json};
use testkit::{Instance, eventually};
use tests::fixture::{events, with_busybox};

/// Waits for an event of this kind whose message says all of `words`; its cause.
#[track_caller]
fn told(machine: &Governed<'_>, kind: &str, words: &[&str]) -> Value {
    let events = || events(machine.instance, &machine.id);
    let says = |event: &Value| {
        let message = event["message"].as_str().unwrap_or_default();
        event["type"] == kind && words.iter().all(|word| message.contains(word))
    };
    let found = || events().into_iter().find(says);
    let cause = eventually(&format!("an event `{kind}` says {words:?}: {:#?}", events()), || {
        found().map(|event| event["cause"].clone())
    });
    let table = machine.instance.cli(&["machine", "events", &machine.id, "--app", "test"]);
    let table = String::from_utf8_lossy(&table.stdout).into_owned();
    assert!(words.iter().all(|word| table.contains(word)), "{table}");
    cause
}

#[test]
fn each_governed_wake_says_what_it_was() {
    let instance = Instance::start();
    let policy = json!({
        "facts": {"go": {"type": "bool", "default": false}, "key": {"type": "string", "secret": true}},
        "rules": [{"id": "go", "effect": "wake", "when": "memory.go && memory.key == 'hush'"}]
    });
    let by_rule = sleeper(&instance, &policy, &json!({}));
    by_rule.know(&json!({"key": "hush", "go": true}));
    by_rule.wait_for("started");
    let words = ["by rule `go`: `memory.go &&", "memory.go = true", "memory.key = (secret)"];
    assert_eq!(told(&by_rule, "start", &words), json!({"cause": "rule", "rule": "go"}));

    let by_alarm = sleeper(&instance, &json!({}), &json!({}));
    drop(by_alarm.ask("PUT", "/alarms/tea", &json!({"every": "2s"})).expect(200));
    by_alarm.wait_for("started");
    let cause = told(&by_alarm, "start", &["by alarm `tea`"]);
    assert_eq!(cause, json!({"cause": "alarm", "alarm": "tea"}));

    let by_message = sleeper(&instance, &json!({}), &json!({}));
    by_message.post(&json!({"body": "up!", "wake": true}));
    by_message.wait_for("started");
    assert_eq!(told(&by_message, "start", &["by a message"]), json!({"cause": "message"}));
}

#[test]
fn a_wake_by_a_peer_says_which_fact() {
    let instance = Instance::start();
    let facts = json!({"facts": {"ready": {"type": "bool", "default": false}}});
    let fake = json!({"image": "fake", "engine": "fake", "policy": facts});
    let id = instance.create_with(&json!({"name": "source", "config": fake, "skip_launch": true}));
    instance.wait_for(&id, "stopped");
    let source = Governed { instance: &instance, id };
    let policy =
        json!({"rules": [{"id": "follow", "effect": "wake", "when": "peer.source.ready"}]});
    let machine = sleeper(&instance, &policy, &json!({}));
    source.know(&json!({"ready": true}));
    machine.wait_for("started");
    told(&machine, "start", &["by rule `follow`: `peer.source.ready` (now true)"]);
}

#[test]
fn a_rest_says_what_it_was_and_a_call_needs_no_words() {
    let instance = with_busybox();
    let machine = running(&instance, "waiter", &json!({}), "exec sleep 1000");
    machine.sh_later("dm sleep --mode freeze --until 'inbox.depth > 0'");
    machine.wait_for("suspended");
    told(&machine, "suspend", &["by its own word until `inbox.depth > 0`"]);
    machine.post(&json!({"body": "here"}));
    machine.wait_for("started");
    told(&machine, "start", &["by its own word: `inbox.depth > 0`"]);
    instance.stop_machine(&machine.id);
    let stop = events(&instance, &machine.id).into_iter().find(|event| event["type"] == "stop");
    assert!(stop.is_some_and(|event| event["message"].is_null() && event["source"] == "user"));
}

/// One that tired of itself 30 s after its start, and one whose program ended by itself.
#[test]
fn what_rests_names_who_put_it_to_rest() {
    let mut instance = Instance::start();
    let policy = json!({"rules": [
        {"id": "idle", "effect": "rest", "when": "machine.uptime_s > 1"},
        {"id": "pile", "effect": "wake", "when": "inbox.depth > 2"},
    ]});
    let id = {
        let machine = awake(&instance, &policy);
        let short = json!({"image": "fake", "engine": "fake", "metadata": {"fake.exit_after_ms": "300"},
            "restart": {"policy": "no"}});
        let ended = instance.create_with(&json!({"config": short}));
        instance.wait_for(&ended, "stopped");
        let ended = Governed { instance: &instance, id: ended };
        ended.explains("because its program ended with 0 since");

        machine.wait_for("stopped");
        told(&machine, "stop", &["by rule `idle`: `machine.uptime_s > 1` (now 3"]);
        machine.explains("asleep by rule `idle` since ");
        machine.explains("; waits for rule `pile`: `inbox.depth > 2` (now 0)");
        machine.id
    };
    instance.end_process();
    instance.start_again();
    let machine = Governed { instance: &instance, id };
    machine.explains("asleep by rule `idle` since ");
    drop(
        instance.post(&format!("{}/start", Instance::path(&machine.id)), &Value::Null).expect(200),
    );
    machine.wait_for("started");
    instance.stop_machine(&machine.id);
    machine.explains("stopped by a call by ");
    machine.check_trace();
}
