//! A self that cannot be read: its owner puts another in its place, and what was there is kept.

use crate::desk::{Governed, running, sleeper};
use rusqlite::Connection;
use serde_json::{Value, json};
use std::fs;
use testkit::Instance;

fn policy() -> Value {
    json!({"facts": {"n": {"type": "int", "default": 0}, "go": {"type": "bool", "default": false}},
        "rules": [{"id": "go", "effect": "wake", "when": "memory.go"}]})
}

/// Damages the record of a machine while nobody has it open.
fn damage(instance: &mut Instance, id: &str, text: &str) {
    instance.end_process();
    let store = Connection::open(instance.data_dir().join("dormouse.db")).expect("the store opens");
    let n = store.execute("UPDATE selfhood SET record = ?2 WHERE machine = ?1", (id, text));
    assert_eq!(n.expect("the row is there"), 1);
    drop(store);
    instance.start_again();
}

/// The documents that were kept.
fn kept(instance: &Instance) -> Vec<String> {
    let dir = instance.data_dir().join("quarantine/selves");
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| fs::read_to_string(entry.path()).expect("it can be read")).collect()
}

/// A stopped machine with a fact, two messages, and a record that says `text`.
fn damaged(text: &str) -> (Instance, String) {
    let mut instance = Instance::start();
    let id = {
        let machine = sleeper(&instance, &policy(), &json!({}));
        machine.know(&json!({"n": 7}));
        machine.post(&json!({"body": "first"}));
        machine.post(&json!({"body": "second"}));
        machine.id
    };
    damage(&mut instance, &id, text);
    (instance, id)
}

#[test]
fn its_owner_sets_a_policy_in_its_place() {
    for text in ["{\"v\":1,", "{\"v\": 9, \"later\": true}", ""] {
        let (instance, id) = damaged(text);
        let machine = Governed { instance: &instance, id };
        let refused = machine.ask("PATCH", "/memory", &json!({"n": 8})).refusal(500);
        assert_eq!(refused.code, "self_unreadable");
        let wrong = json!({"rules": [{"id": "x", "effect": "wake", "when": "nonsense"}]});
        drop(machine.ask("PUT", "/policy", &wrong).refusal(422));
        assert_eq!(machine.ask("GET", "", &Value::Null).status, 500, "nothing has replaced it");

        machine.set_policy(&policy());
        assert_eq!(kept(&instance), [text]);
        let trace = machine.trace();
        let line = trace.iter().rev().filter_map(|entry| entry["changes"][0].as_str());
        let line = line.filter(|line| line.contains("begins anew")).collect::<Vec<_>>();
        assert!(line.len() == 1 && line[0].contains("quarantine/selves/"), "{trace:#?}");
        assert!(trace.len() > 4, "what was noted before is still there: {trace:#?}");
        assert_eq!(machine.fact("n"), 0, "it has forgotten");
        assert_eq!(machine.get("/inbox")["depth"], 2, "messages are rows of their own");
        assert!(machine.post(&json!({"body": "third"})) > 2);
        machine.know(&json!({"go": true}));
        machine.wait_for("started");
        machine.check_trace();
    }
}

#[test]
fn its_owner_brings_a_self_from_elsewhere() {
    let (instance, id) = damaged("nothing");
    let other = sleeper(&instance, &policy(), &json!({}));
    other.know(&json!({"n": 42}));
    let export = other.get("/export");
    let machine = Governed { instance: &instance, id };
    drop(machine.ask("POST", "/import", &export).expect(200));
    assert_eq!(machine.fact("n"), 42);
    assert_eq!(kept(&instance), ["nothing"]);
    let trace = machine.trace();
    let told = trace.iter().filter_map(|entry| entry["changes"][0].as_str());
    assert!(told.into_iter().any(|line| line.contains("quarantine/selves/")), "{trace:#?}");
    machine.check_trace();
}

/// The chain is broken as well: a new one begins.
#[test]
fn a_trace_that_does_not_hold_goes_with_it() {
    let (mut instance, id) = damaged("nothing");
    instance.end_process();
    let store = Connection::open(instance.data_dir().join("dormouse.db")).expect("the store opens");
    let sql = "UPDATE trace SET entry = replace(entry, 'owner', 'someone') WHERE machine = ?1";
    store.execute(sql, [&id]).expect("the rows are there");
    drop(store);
    instance.start_again();
    let machine = Governed { instance: &instance, id };
    machine.set_policy(&policy());
    machine.check_trace();
    assert_eq!(machine.trace()[0]["seq"], 1);
}

/// Its life does not depend on what it remembers, and what it says itself replaces nothing.
#[test]
fn the_machine_runs_on_and_replaces_nothing_by_itself() {
    let mut instance = tests::fixture::with_busybox();
    let id = running(&instance, "one", &json!({"amend": ["rules"]}), "exec sleep 1000").id;
    damage(&mut instance, &id, "nothing");
    let machine = Governed { instance: &instance, id };
    assert_eq!(machine.state(), "started");
    let answer = machine.sh("dm set scratch.n=1 --json 2>&1 || true");
    assert!(answer.contains("self_unreadable"), "{answer}");
    assert!(kept(&instance).is_empty());
    instance.stop_machine(&machine.id);
    instance.start_machine(&machine.id);
    machine.set_policy(&json!({}));
    assert_eq!(kept(&instance), ["nothing"]);
    machine.sh("dm set scratch.n=1");
    machine.check_trace();
}
