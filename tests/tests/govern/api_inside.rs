//! Each path of a self from inside: the machine is known by its socket.

use crate::desk::Governed;
use serde_json::{Value, json};
use testkit::{Instance, eventually};
use tests::fixture::{PROBE, config, with_probe};

fn policy() -> Value {
    json!({
        "facts": {
            "progress": {"type": "double", "default": 0.0, "max": 1.0},
            "theirs": {"type": "bool", "writers": ["owner"]},
            "shared": {"type": "int", "writers": ["peer:left", "self"]},
            "key": {"type": "string", "secret": true}
        }
    })
}

fn start<'a>(instance: &'a Instance, name: &str) -> Governed<'a> {
    let more = json!({"policy": policy(), "restart": {"policy": "no"}});
    let config = config("exec sleep 1000", &more);
    let id = instance.create_with(&json!({"name": name, "config": config}));
    instance.wait_for(&id, "started");
    Governed { instance, id }
}

/// One request from inside; status and body.
#[track_caller]
fn call(machine: &Governed<'_>, method: &str, target: &str, body: &Value) -> (u16, Value) {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let outcome = machine.instance.exec(&machine.id, &[PROBE, "api", method, target, &body]);
    let text = outcome["stdout"].as_str().expect("text").to_owned();
    let (status, body) = text.split_once('\n').unwrap_or_else(|| panic!("{outcome}"));
    (status.parse().expect("a status"), serde_json::from_str(body).unwrap_or(Value::Null))
}

#[track_caller]
fn good(machine: &Governed<'_>, method: &str, target: &str, body: &Value) -> Value {
    let (status, answer) = call(machine, method, target, body);
    assert!(matches!(status, 200 | 201), "{method} {target} {body}: {status} {answer}");
    answer
}

#[track_caller]
fn refused(machine: &Governed<'_>, method: &str, target: &str, body: &Value, expect: (u16, &str)) {
    let (status, answer) = call(machine, method, target, body);
    let code = answer["code"].as_str().unwrap_or_default();
    assert_eq!((status, code), expect, "{method} {target} {body}: {answer}");
    assert!(answer["hint"].is_string() && answer["error"].is_string(), "{answer}");
}

const NONE: Value = Value::Null;

#[test]
fn a_machine_reads_and_writes_itself() {
    let instance = with_probe();
    let machine = start(&instance, "box");
    for target in [
        "/v1/self",
        "/v1/self/memory",
        "/v1/self/intent",
        "/v1/self/inbox",
        "/v1/self/inbox/dead",
        "/v1/self/outbox",
        "/v1/self/holds",
        "/v1/self/alarms",
        "/v1/self/wake",
        "/v1/self/hold-down",
        "/v1/self/policy",
        "/v1/self/explain",
        "/v1/self/trace",
        "/v1/self/trace/verify",
        "/v1/self/trace/replay",
        "/v1/self/signals",
        "/v1/self/export",
        "/v1/self/notices?timeout=0",
        "/v1/self/memory?wait_revision=0&timeout=1",
    ] {
        drop(good(&machine, "GET", target, &NONE));
    }
    let whole = good(&machine, "GET", "/v1/self", &NONE);
    assert_eq!((&whole["machine"], &whole["name"]), (&json!(machine.id), &json!("box")));

    drop(good(&machine, "PATCH", "/v1/self/memory", &json!({"progress": 0.5})));
    drop(good(&machine, "PUT", "/v1/self/memory/scratch.a", &json!({"value": [1]})));
    let fact = good(&machine, "GET", "/v1/self/memory/progress", &NONE);
    assert_eq!((&fact["value"], &fact["writer"]), (&json!(0.5), &json!("self")), "{fact}");
    drop(good(&machine, "DELETE", "/v1/self/memory/scratch.a", &NONE));
    drop(good(&machine, "PATCH", "/v1/self/intent", &json!({"phase": "working", "done": false})));
    assert_eq!(machine.get("/intent")["phase"], "working");
    drop(good(&machine, "PUT", "/v1/self/holds/job", &json!({"ttl": "1m", "reason": "busy"})));
    assert_eq!(machine.get("/holds")["holds"]["job"]["writer"], "self");
    drop(good(&machine, "DELETE", "/v1/self/holds/job", &NONE));
    drop(good(&machine, "PUT", "/v1/self/alarms/tea", &json!({"every": "1h"})));
    drop(good(&machine, "POST", "/v1/self/alarms/tea/ack", &NONE));
    drop(good(&machine, "DELETE", "/v1/self/alarms/tea", &NONE));
    drop(good(&machine, "POST", "/v1/self/beat", &NONE));
    assert!(machine.get("/signals")["beat_age_s"].is_u64());
    drop(good(&machine, "DELETE", "/v1/self/rest", &NONE));
    drop(good(&machine, "POST", "/v1/policy/lint", &policy()));
    drop(good(&machine, "POST", "/v1/self/policy/lint", &policy()));
    drop(good(&machine, "POST", "/v1/self/policy/dry-run", &json!({"memory": {"progress": 1.0}})));
    assert_eq!(machine.fact("progress"), 0.5);

    for (method, target, body, status, code) in [
        ("PATCH", "/v1/self/memory", json!({"theirs": true}), 403, "memory_writer"),
        ("PATCH", "/v1/self/memory", json!({"progress": 2.0}), 422, "memory_value_invalid"),
        ("PATCH", "/v1/self/intent", json!({"objective": "mine"}), 403, "self_rights"),
        ("PUT", "/v1/self/policy", json!({"rules": []}), 403, "policy_amend"),
        ("PUT", "/v1/self/hold-down", json!({"reason": "x"}), 403, "self_rights"),
        ("DELETE", "/v1/self/breaker", NONE, 403, "self_rights"),
        ("POST", "/v1/self/import", json!({}), 403, "self_rights"),
        ("POST", "/v1/self/rest", json!({}), 422, "rest_for_ever"),
        ("POST", "/v1/self/rest", json!({"until": "inbox.deth > 0"}), 422, "condition_invalid"),
        ("POST", "/v1/self/rest", json!({"mode": "deep", "until": "true"}), 400, "wrong_type"),
        ("POST", "/v1/self/policy/dry-run", json!({"as": "owner"}), 403, "permission_denied"),
        ("GET", "/v1/self/notices?timeout=x", NONE, 400, "invalid_parameter"),
    ] {
        refused(&machine, method, target, &body, (status, code));
    }
    machine.check_trace();
}

#[test]
fn messages_are_taken_one_after_the_other_and_waited_for() {
    let instance = with_probe();
    let machine = start(&instance, "box");
    let take = |body: Value| good(&machine, "POST", "/v1/self/inbox/take", &body);
    assert_eq!(take(json!({}))["messages"], json!([]));
    for n in 0..3 {
        machine.post(&json!({"body": format!("m{n}")}));
    }
    let first = take(json!({}));
    assert_eq!(first["messages"][0]["body"], "m0", "{first}");
    assert!(first["again_at"].is_string(), "{first}");
    let rest = good(&machine, "GET", "/v1/self/inbox?take=10&timeout=5", &NONE);
    assert_eq!(rest["messages"].as_array().map(Vec::len), Some(2), "{rest}");
    let acked = good(&machine, "POST", "/v1/self/inbox/ack", &json!({"seqs": [1, 2, 3]}));
    assert_eq!(acked["depth"], 0, "{acked}");
    let late = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| take(json!({"max": 1, "timeout": "15s"})));
        machine.post(&json!({"body": "late"}));
        waiting.join().expect("an answer")
    });
    assert_eq!(late["messages"][0]["body"], "late", "{late}");
    let own = good(&machine, "POST", "/v1/self/inbox", &json!({"body": "note to self"}));
    assert_eq!(own["new"], true);
    refused(
        &machine,
        "POST",
        "/v1/self/inbox/take",
        &json!({"max": 0}),
        (400, "invalid_parameter"),
    );
    machine.check_trace();
}

#[test]
fn peers_are_read_written_and_told() {
    let instance = with_probe();
    let (left, right) = (start(&instance, "left"), start(&instance, "right"));
    right.know(&json!({"key": "hush", "progress": 0.25}));
    let state = good(&left, "GET", "/v1/peers/right/state", &NONE);
    assert_eq!((&state["state"], &state["machine"]), (&json!("started"), &json!(right.id)));
    let facts = good(&left, "GET", "/v1/peers/right/memory", &NONE)["facts"].clone();
    assert_eq!(facts["progress"]["value"], 0.25);
    assert!(facts["key"].is_null(), "a secret is shown to a peer: {facts}");
    drop(good(&left, "PATCH", "/v1/peers/right/memory", &json!({"shared": 7})));
    assert_eq!(right.get("/memory/shared")["writer"], "peer:left");
    drop(good(&left, "POST", "/v1/peers/right/inbox", &json!({"body": "hi", "hops": 1})));
    let message = right.get("/inbox")["messages"][0].clone();
    assert_eq!((&message["from"], &message["hops"]), (&json!("peer:left"), &json!(2)));
    let by_id = format!("/v1/peers/{}/state", right.id);
    drop(good(&left, "GET", &by_id, &NONE));

    let path = "/v1/peers/right/memory";
    refused(&left, "PATCH", path, &json!({"progress": 1.0}), (403, "memory_writer"));
    refused(
        &right,
        "PATCH",
        "/v1/peers/left/memory",
        &json!({"shared": 1}),
        (403, "memory_writer"),
    );
    refused(&left, "GET", "/v1/peers/nobody/state", &NONE, (404, "peer_not_found"));
    refused(&left, "GET", "/v1/peers/..%2Fright/state", &NONE, (404, "peer_not_found"));
    refused(&left, "POST", "/v1/peers/right/inbox", &json!({"text": "x"}), (400, "wrong_type"));
    let (status, _) = call(&left, "PUT", "/v1/peers/right/memory", &json!({}));
    assert_eq!(status, 405);
    // Another machine's self is only what a peer may see of it.
    let outside = format!("{}/self", Instance::path(&right.id));
    refused(&left, "GET", &outside, &NONE, (403, "permission_denied"));
    for machine in [left, right] {
        machine.check_trace();
    }
}

#[test]
fn a_machine_that_rests_by_its_own_word_is_answered_first() {
    let instance = with_probe();
    let wish = json!({"mode": "freeze", "until": "inbox.depth > 0", "note": "nothing to do"});
    let script = format!("{PROBE} api POST /v1/self/rest '{wish}'; echo; exec sleep 1000");
    let more = json!({"policy": policy(), "restart": {"policy": "no"}});
    let id = instance.create_with(&json!({"name": "box", "config": config(&script, &more)}));
    let machine = Governed { instance: &instance, id };
    machine.wait_for("suspended");
    let whole = machine.get("");
    let rest = &whole["rest"];
    assert_eq!((&rest["phase"], &rest["note"]), (&json!("resting"), &json!("nothing to do")));
    machine.explains("by its own word");
    machine.post(&json!({"body": "up"}));
    machine.wait_for("started");
    assert_eq!(machine.get("/wake")["wake"]["cause"], "rest_until");
    eventually("it is over", || machine.get("")["rest"].is_null().then_some(()));
    let answer = eventually("an answer", || {
        let log = machine.instance.log(&machine.id);
        let status = log.iter().position(|line| line == "200")?;
        serde_json::from_str::<Value>(log.get(status + 1)?).ok()
    });
    assert_eq!(answer["name"], rest["name"], "{answer}");
    // The command that asks for the stop ends with the machine; its answer may be lost.
    let stop = json!({"command": [PROBE, "api", "POST", "/v1/self/stop"]});
    drop(instance.post(&format!("{}/exec", Instance::path(&machine.id)), &stop));
    machine.wait_for("stopped");
    machine.check_trace();
}
