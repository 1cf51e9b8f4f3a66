//! Each path of a self from outside: what it answers, and what bad input gets.

use crate::desk::{Governed, awake, sleeper};
use serde_json::{Value, json};
use testkit::Instance;

fn policy() -> Value {
    json!({
        "facts": {
            "watching": {"type": "bool", "default": false},
            "shape": {"type": "json"},
            "key": {"type": "string", "secret": true}
        },
        "alarms": {"night": {"cron": "0 2 * * *", "tz": "Europe/Rome"}}
    })
}

#[track_caller]
fn refused(machine: &Governed<'_>, method: &str, rest: &str, body: &Value, expect: (u16, &str)) {
    let refusal = machine.ask(method, rest, body).refusal(expect.0);
    assert_eq!(refusal.code, expect.1, "{method} {rest} {body}: {refusal:?}");
    assert!(!refusal.error.is_empty() && !refusal.hint.is_empty(), "{refusal:?}");
}

/// Sends `body` as it is, with this content type.
fn raw(
    machine: &Governed<'_>,
    method: &str,
    rest: &str,
    kind: &str,
    body: &[u8],
) -> testkit::Reply {
    let endpoint = machine.instance.endpoint().expect("it has listened");
    let socket = endpoint["unix"].as_str().expect("a unix socket");
    let target = format!("{}/self{rest}", Instance::path(&machine.id));
    let headers = [("content-type", kind)];
    testkit::http::request(socket.as_ref(), method, &target, &headers, body).expect("an answer")
}

#[test]
fn every_path_that_shows_something_shows_its_revision() {
    let instance = Instance::start();
    let machine = sleeper(&instance, &policy(), &json!({}));
    machine.know(&json!({"watching": true}));
    let revision = machine.get("")["revision"].as_u64().expect("a number").to_string();
    for rest in [
        "",
        "/memory",
        "/memory/watching",
        "/intent",
        "/inbox",
        "/inbox/dead",
        "/holds",
        "/alarms",
        "/wake",
        "/hold-down",
        "/policy",
        "/explain",
        "/trace",
        "/trace/verify",
        "/signals",
    ] {
        let reply = machine.ask("GET", rest, &Value::Null);
        assert_eq!(reply.status, 200, "{rest}: {}", reply.text);
        assert_eq!(reply.header("dormouse-revision"), Some(&*revision), "{rest}");
        assert_eq!(reply.header("etag"), Some(&*format!("\"{revision}\"")), "{rest}");
    }
    assert_eq!(machine.ask("GET", "/", &Value::Null).status, 200, "a trailing slash");
    let written = machine.ask("PATCH", "/memory", &json!({"watching": false}));
    let after = written.body["revision"].to_string();
    assert_eq!(written.header("dormouse-revision"), Some(&*after));
    for (method, rest) in
        [("POST", "/memory"), ("DELETE", "/inbox"), ("PUT", "/explain"), ("GET", "/beat")]
    {
        refused(&machine, method, rest, &Value::Null, (405, "method_not_allowed"));
    }
    assert_eq!(machine.ask("GET", "/nothing", &Value::Null).status, 404);
}

#[test]
fn a_machine_that_is_not_there_has_no_self() {
    let instance = Instance::start();
    instance.ensure_app();
    let machine = Governed { instance: &instance, id: "00000000000000".to_owned() };
    for rest in ["", "/memory", "/policy", "/explain", "/trace", "/trace?follow=1", "/export"] {
        refused(&machine, "GET", rest, &Value::Null, (404, "machine_not_found"));
    }
    refused(&machine, "POST", "/inbox", &json!({"body": "x"}), (404, "machine_not_found"));
    for path in ["/v1/self", "/v1/self/memory", "/v1/peers/box/state"] {
        assert_eq!(instance.get(path).refusal(404).code, "inside_only", "{path}");
    }
}

#[test]
fn a_fact_is_put_whole_and_patched_in_part() {
    let instance = Instance::start();
    let machine = sleeper(&instance, &policy(), &json!({}));
    assert_eq!(machine.get("/memory/watching")["default"], true);
    drop(machine.ask("PATCH", "/memory", &json!({"shape": {"a": {"x": 1, "y": 2}}})).expect(200));
    drop(
        machine.ask("PATCH", "/memory", &json!({"shape": {"a": {"x": null}, "b": 1}})).expect(200),
    );
    assert_eq!(machine.fact("shape"), json!({"a": {"y": 2}, "b": 1}));
    drop(machine.ask("PUT", "/memory/shape", &json!({"value": {"a": {"z": 3}}})).expect(200));
    assert_eq!(machine.fact("shape"), json!({"a": {"z": 3}}));
    drop(machine.ask("PUT", "/memory/shape", &json!([1, 2])).expect(200));
    assert_eq!(machine.fact("shape"), json!([1, 2]));
    assert_eq!(raw(&machine, "PUT", "/memory/scratch.note", "text/plain", b"hej").status, 200);
    let fact = machine.get("/memory/scratch.note");
    assert_eq!((&fact["value"], &fact["writer"]), (&json!("hej"), &json!("owner")), "{fact}");
    drop(machine.ask("DELETE", "/memory/shape", &Value::Null).expect(200));
    drop(machine.ask("DELETE", "/memory/shape", &Value::Null).expect(200));
    refused(&machine, "GET", "/memory/shape", &Value::Null, (404, "self_missing"));
    assert_eq!(raw(&machine, "PUT", "/memory/shape", "", b"null").refusal(400).code, "null_fact");
    assert_eq!(raw(&machine, "PUT", "/memory/shape", "", b"{").refusal(400).code, "bad_json");
    let binary = raw(&machine, "PUT", "/memory/scratch.note", "text/plain", b"\xff\xfe");
    assert_eq!(binary.refusal(415).code, "not_text");
    refused(&machine, "PATCH", "/memory", &json!([]), (400, "wrong_type"));
    refused(&machine, "PATCH", "/intent", &json!({"fase": "x"}), (400, "wrong_type"));
    machine.check_trace();
}

#[test]
fn a_write_on_a_condition_is_made_on_that_condition_alone() {
    let instance = Instance::start();
    let machine = sleeper(&instance, &policy(), &json!({}));
    let at = |method: &str, rest: &str, tag: &str, body: &Value| {
        let target = format!("{}/self{rest}", Instance::path(&machine.id));
        instance.request_with(method, &target, &[("if-match", tag)], body)
    };
    let revision = machine.get("")["revision"].to_string();
    let stale = at("PATCH", "/memory", "\"9999\"", &json!({"watching": true}));
    assert_eq!(stale.body["revision"].to_string(), revision, "{}", stale.text);
    assert_eq!(stale.header("dormouse-revision"), Some(&*revision));
    assert_eq!(stale.refusal(412).code, "self_revision");
    for rest in ["/memory/watching", "/policy"] {
        let stale = at("PUT", rest, "\"9999\"", &json!({})).refusal(412);
        assert_eq!(stale.code, "self_revision", "{rest}");
    }
    assert_eq!(at("PATCH", "/memory", "x", &json!({})).refusal(400).code, "invalid_if_match");
    let hold = at("PUT", "/holds/h", "\"1\"", &json!({"ttl": 5}));
    assert_eq!(hold.refusal(422).code, "unsupported_field");
    assert_eq!(machine.fact("watching"), false);
    drop(
        at("PATCH", "/memory", &format!("\"{revision}\""), &json!({"watching": true})).expect(200),
    );
    assert_eq!(machine.fact("watching"), true);
}

#[test]
fn whoever_waits_for_a_revision_hears_of_it() {
    let instance = Instance::start();
    let machine = sleeper(&instance, &policy(), &json!({}));
    let revision = machine.get("")["revision"].as_u64().expect("a number");
    let same = machine.get(&format!("/memory?wait_revision={revision}&timeout=0"));
    assert_eq!(same["revision"], revision);
    let heard = std::thread::scope(|scope| {
        let waits = || machine.get(&format!("/memory?wait_revision={revision}&timeout=60"));
        let waiting = scope.spawn(waits);
        machine.know(&json!({"watching": true}));
        waiting.join().expect("an answer")
    });
    assert_eq!(heard["facts"]["watching"]["value"], true, "{heard}");
    for query in ["wait_revision=x", "wait_revision=1&timeout=soon", "wait_revision=1&timeout=-1"] {
        let rest = format!("/memory?{query}");
        refused(&machine, "GET", &rest, &Value::Null, (400, "invalid_parameter"));
    }
}

#[test]
fn messages_are_texts_of_any_kind() {
    let instance = Instance::start();
    let machine = sleeper(&instance, &policy(), &json!({}));
    let first = machine.ask("POST", "/inbox", &json!({"body": {"b": 1, "a": [2]}, "id": "one"}));
    assert_eq!((first.status, &first.body["new"]), (201, &json!(true)), "{}", first.text);
    let again = machine.ask("POST", "/inbox", &json!({"body": "other", "id": "one"}));
    assert_eq!((again.status, &again.body["seq"]), (200, &first.body["seq"]), "{}", again.text);
    let form = "application/x-www-form-urlencoded";
    assert_eq!(raw(&machine, "POST", "/inbox?id=two", form, "grüß=1".as_bytes()).status, 201);
    let page = machine.get("/inbox");
    assert_eq!(page["messages"][0]["body"], r#"{"a":[2],"b":1}"#);
    assert_eq!(page["messages"][1]["body"], "grüß=1");
    assert_eq!(page["messages"][0]["from"], "owner");
    let binary = raw(&machine, "POST", "/inbox", "application/octet-stream", b"\xff\0\xfe");
    assert_eq!(binary.refusal(415).code, "not_text");
    let huge = raw(&machine, "POST", "/inbox", "text/plain", &[b'x'; 2 * 1024 * 1024]);
    assert_eq!(huge.refusal(413).code, "body_too_large");
    let long_id = json!({"body": "x", "id": "i".repeat(200)});
    refused(&machine, "POST", "/inbox", &long_id, (413, "self_too_long"));
    for body in [json!({}), json!({"body": "x", "weak": 1}), json!([]), json!("x")] {
        refused(&machine, "POST", "/inbox", &body, (400, "wrong_type"));
    }
    for rest in ["/inbox?after=x", "/inbox?limit=0", "/inbox?take=0", "/inbox?take=1&timeout=x"] {
        refused(&machine, "GET", rest, &Value::Null, (400, "invalid_parameter"));
    }
    refused(&machine, "GET", "/inbox?take=1", &Value::Null, (403, "self_rights"));
    assert_eq!(machine.get("/inbox")["depth"], 2, "what was refused is not there");
    drop(machine.ask("POST", "/inbox/ack", &json!({"seqs": [1, 2]})).expect(200));
    assert_eq!(machine.ask("POST", "/inbox/ack", &json!({"seqs": [1]})).expect(200)["depth"], 0);
    machine.check_trace();
}

#[test]
fn what_only_the_machine_may_do_is_refused_outside() {
    let instance = Instance::start();
    let machine = sleeper(&instance, &policy(), &json!({}));
    let until = json!({"until": "inbox.depth > 0"});
    refused(&machine, "POST", "/rest", &until, (403, "self_rights"));
    refused(&machine, "POST", "/inbox/take", &Value::Null, (403, "self_rights"));
    refused(&machine, "POST", "/beat", &Value::Null, (403, "permission_denied"));
    refused(&machine, "GET", "/notices?timeout=1", &Value::Null, (403, "permission_denied"));
    refused(&machine, "POST", "/rest", &json!({"mode": "sleep"}), (400, "wrong_type"));
    refused(&machine, "POST", "/rest", &json!({"at": "tomorrow"}), (400, "wrong_type"));
    refused(&machine, "PUT", "/holds/h", &json!({"reason": "x"}), (400, "ttl_missing"));
    refused(&machine, "PUT", "/alarms/a", &json!({"every": "soon"}), (400, "wrong_type"));
    drop(machine.ask("DELETE", "/rest", &Value::Null).expect(200));
    drop(machine.ask("DELETE", "/breaker", &Value::Null).expect(200));
}

#[test]
fn a_start_that_is_refused_names_the_gate() {
    let instance = Instance::start();
    let denied = json!({
        "facts": {"quiet": {"type": "bool", "default": true}},
        "rules": [{"id": "quiet-hours", "effect": "deny_wake", "when": "memory.quiet"}]
    });
    let machine = sleeper(&instance, &denied, &json!({}));
    let start = || instance.post(&format!("{}/start", Instance::path(&machine.id)), &Value::Null);
    let reply = start();
    assert_eq!(
        (&reply.body["gate"], &reply.body["reason"]),
        (&json!("deny"), &json!("quiet-hours"))
    );
    assert_eq!(reply.refusal(412).code, "denied");
    machine.know(&json!({"quiet": false}));
    let hold = json!({"reason": "moving house"});
    drop(machine.ask("PUT", "/hold-down", &hold).expect(200));
    assert_eq!(machine.get("/hold-down")["hold_down"]["reason"], "moving house");
    machine.post(&json!({"body": "x", "wake": true}));
    machine.wait_for_decision("owed hold_down");
    let reply = start();
    assert_eq!(reply.body["gate"], "hold_down", "{}", reply.text);
    assert_eq!(reply.body["reason"], "moving house", "{}", reply.text);
    let line = reply.header("dormouse-decision").expect("what was decided").to_owned();
    assert_eq!(line, "owed: a message wants it up; gate hold_down");
    assert_eq!(reply.refusal(409).code, "held_down");
    drop(machine.ask("DELETE", "/hold-down", &Value::Null).expect(200));
    machine.wait_for("started");
}

#[test]
fn a_dry_run_changes_nothing() {
    let instance = Instance::start();
    let machine = sleeper(&instance, &policy(), &json!({}));
    let before = machine.get("");
    let pile = json!({"rules": [{"id": "pile", "effect": "wake", "when": "inbox.depth >= 2"}]});
    let two = json!([{"post": {"body": "a"}}, {"post": {"body": "b"}}]);
    let run = |body: &Value| machine.ask("POST", "/policy/dry-run", body);
    let tried = run(&json!({"policy": pile, "writes": two})).expect(200);
    assert_eq!(tried["decision"]["stance"], "up", "{tried}");
    assert_eq!(tried["rules"][0]["when"]["is"], "true", "{tried}");
    assert_eq!(tried["rules"][0]["when"]["reads"][0]["value"], "2", "{tried}");
    let word = json!({"as": "self", "writes": [{"rest": {"until": "inbox.depth > 0"}}]});
    assert_eq!(run(&word).status, 200);
    for (body, status, code) in [
        (json!({"writes": [{"rest": {"until": "inbox.depth > 0"}}]}), 403, "self_rights"),
        (json!({"policy": {"rulez": []}}), 422, "policy_invalid"),
        (json!({"memory": {"watching": 3}}), 422, "memory_value_invalid"),
        (json!({"as": "token:*"}), 400, "invalid_writer"),
        (json!({"memmory": {}}), 400, "wrong_type"),
        (json!({"writes": vec![json!("stop"); 65]}), 400, "too_many_writes"),
    ] {
        assert_eq!(run(&body).refusal(status).code, code, "{body}");
    }
    assert_eq!(machine.get(""), before, "a dry run has left something");
}

#[test]
fn a_policy_is_named_by_its_content() {
    let instance = Instance::start();
    let machine = sleeper(&instance, &policy(), &json!({}));
    let lint = instance.post("/v1/policy/lint", &policy()).expect(200);
    assert_eq!(machine.get("/policy")["hash"], lint["hash"]);
    let same = format!("/policy?hash={}", lint["hash"].as_str().expect("a hash"));
    let set = machine.ask("PUT", &same, &policy()).expect(200);
    assert_eq!(set["hash"], lint["hash"], "{set}");
    refused(&machine, "PUT", "/policy?hash=abc", &policy(), (400, "invalid_parameter"));
    let broken = raw(&machine, "PUT", "/policy", "application/json", b"{\"rules\": [");
    let place = broken.body["findings"][0].clone();
    assert_eq!(broken.refusal(422).code, "policy_invalid");
    assert_eq!(place["line"], 1, "{place}");
    let lint = machine.ask("POST", "/policy/lint", &json!({"rules": 7})).expect(200);
    assert_eq!(lint["ok"], false, "{lint}");
    drop(machine.ask("DELETE", "/policy", &Value::Null).expect(200));
    assert_eq!(machine.get("/policy")["policy"], json!({}));
}

#[test]
fn a_trace_is_followed_and_a_self_is_moved() {
    let instance = Instance::start();
    let machine = sleeper(&instance, &policy(), &json!({}));
    machine.know(&json!({"watching": true, "key": "hush"}));
    machine.post(&json!({"body": "carry me"}));
    let endpoint = instance.endpoint().expect("it has listened");
    let socket = endpoint["unix"].as_str().expect("a unix socket");
    let target = format!("{}/self/trace?follow=1&tail=1", Instance::path(&machine.id));
    let mut lines = testkit::http::lines(socket.as_ref(), &target).expect("a stream");
    let mut next = || -> Value {
        serde_json::from_str(&lines.next().expect("a line")).expect("a line of JSON")
    };
    let last = next()["seq"].as_u64().expect("a number");
    machine.know(&json!({"watching": false}));
    let entry = next();
    assert_eq!(entry["seq"], last + 1, "{entry}");
    assert_eq!(entry["changes"][0], "memory.watching = false", "{entry}");
    assert_eq!(machine.get("/trace?tail=1")["entries"].as_array().map(Vec::len), Some(1));
    refused(&machine, "GET", "/trace/replay?seq=99999", &Value::Null, (404, "not_found"));

    let export = machine.get("/export");
    let other = sleeper(&instance, &json!({}), &json!({}));
    drop(other.ask("POST", "/import", &export).expect(200));
    assert_eq!(other.fact("watching"), false);
    assert_eq!(other.get("/inbox")["messages"][0]["body"], "carry me");
    other.check_trace();
    let mut forged = export.clone();
    forged["trace"][0]["changes"] = json!(["nothing"]);
    refused(&other, "POST", "/import", &forged, (422, "import_invalid"));
    refused(&other, "POST", "/import", &json!({}), (400, "bad_export"));
    other.check_trace();
}

#[test]
fn a_machine_that_runs_shows_what_the_host_sees() {
    let instance = Instance::start();
    let machine = awake(&instance, &json!({}));
    let seen = machine.get("/signals");
    assert_eq!(seen["state"], "started", "{seen}");
    assert!(seen["uptime_s"].is_u64() && seen["rest_s"].is_null(), "{seen}");
    drop(machine.ask("POST", "/stop", &Value::Null).expect(200));
    machine.wait_for("stopped");
    assert_eq!(machine.traced("stop"), 1);
    assert!(
        machine.get("/explain")["sentence"]
            .as_str()
            .is_some_and(|text| text.starts_with("stopped by a call"))
    );
}

#[test]
fn a_schedule_becomes_an_alarm() {
    let instance = Instance::start();
    instance.ensure_app();
    let create = |config: Value| {
        let path = format!("/v1/apps/{}/machines", testkit::instance::APP);
        instance.post(&path, &json!({"config": config, "skip_launch": true}))
    };
    let with = |schedule: Value, policy: Value| json!({"image": "fake", "engine": "fake", "schedule": schedule, "policy": policy});
    let made = create(with(json!("daily"), policy())).expect(200);
    assert_eq!(made["config"]["schedule"], "daily");
    let id = made["id"].as_str().expect("an id").to_owned();
    instance.wait_for(&id, "stopped");
    let machine = Governed { instance: &instance, id };
    let alarms = machine.get("/alarms")["alarms"].clone();
    assert_eq!(alarms["schedule"]["every"], "1d", "{alarms}");
    assert!(alarms["schedule"]["next"].is_string() && alarms["night"]["next"].is_string());
    let yearly = create(with(json!("yearly"), Value::Null));
    assert_eq!(yearly.refusal(400).code, "invalid_schedule");
    assert_eq!(create(with(json!(7), Value::Null)).refusal(400).code, "wrong_type");
    let broken = json!({"rules": [{"id": "a", "effect": "wake", "when": "nonsense"}]});
    assert_eq!(create(with(Value::Null, broken)).refusal(422).code, "policy_invalid");
}
