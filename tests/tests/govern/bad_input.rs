//! Bad input: a clear refusal with a code, a hint, and an entry in the trace.

use crate::desk::{Governed, sleeper};
use serde_json::{Value, json};
use testkit::Instance;

fn policy() -> Value {
    json!({
        "facts": {
            "n": {"type": "int", "min": 0, "max": 9},
            "phase": {"type": "string", "default": "new", "enum": ["new", "asked", "yes"], "writers": ["self", "owner"],
                "transitions": [{"from": "new", "to": "asked"}, {"from": "asked", "to": "yes", "by": ["self"]}]},
            "theirs": {"type": "bool", "writers": ["self"]},
            "even": {"type": "int", "guard": "new % 2 == 0 && new > old"},
            "key": {"type": "string", "secret": true}
        },
        "alarms": {"night": {"cron": "0 2 * * *", "tz": "Europe/Rome"}}
    })
}

#[track_caller]
fn check(machine: &Governed<'_>, method: &str, rest: &str, body: &Value, status: u16, code: &str) {
    let refusal = machine.ask(method, rest, body).refusal(status);
    assert_eq!(refusal.code, code, "{method} {rest}: {refusal:?}");
    assert!(!refusal.hint.is_empty(), "{method} {rest}: {refusal:?}");
}

#[test]
fn facts_that_do_not_fit() {
    let instance = Instance::start();
    let machine = sleeper(&instance, &policy(), &json!({}));
    let patch =
        |body: Value, status, code| check(&machine, "PATCH", "/memory", &body, status, code);
    patch(json!({"n": "three"}), 422, "memory_value_invalid");
    patch(json!({"n": 10}), 422, "memory_value_invalid");
    patch(json!({"phase": "maybe"}), 422, "memory_value_invalid");
    patch(json!({"phase": "yes"}), 409, "memory_transition");
    patch(json!({"theirs": true}), 403, "memory_writer");
    patch(json!({"other": 1}), 422, "memory_undeclared");
    patch(json!({"n o": 1}), 422, "memory_key_invalid");
    patch(json!({"even": 3}), 409, "memory_guard");
    patch(json!({"scratch.big": "x".repeat(5000)}), 413, "memory_value_too_long");
    let many: serde_json::Map<_, _> =
        (0..200).map(|n| (format!("scratch.k{n}"), json!(n))).collect();
    patch(Value::Object(many), 413, "memory_full");
    let large: serde_json::Map<_, _> =
        (0..40).map(|n| (format!("scratch.k{n}"), json!("x".repeat(4000)))).collect();
    patch(Value::Object(large), 413, "memory_full");
    // All of it or nothing.
    patch(json!({"n": 3, "other": 1}), 422, "memory_undeclared");
    assert!(machine.get("/memory")["facts"]["n"].is_null(), "half of a refused patch was written");
    // A transition of somebody else.
    machine.know(&json!({"phase": "asked"}));
    patch(json!({"phase": "yes"}), 409, "memory_transition");

    let refused = machine.trace().iter().filter(|entry| entry["refused"].is_string()).count();
    assert!(refused >= 12, "{refused} refusals are in the trace");
    machine.check_trace();
}

#[test]
fn a_revision_that_somebody_else_has_made() {
    let instance = Instance::start();
    let machine = sleeper(&instance, &policy(), &json!({}));
    let revision = machine.get("")["revision"].as_u64().expect("a number");
    let target = format!("{}/self/memory", Instance::path(&machine.id));
    let at = |revision: u64, n: u64| {
        let tag = format!("\"{revision}\"");
        instance.request_with("PATCH", &target, &[("if-match", &tag)], &json!({"n": n}))
    };
    drop(at(revision, 1).expect(200));
    assert_eq!(at(revision, 2).refusal(412).code, "self_revision");
    assert_eq!(machine.fact("n"), 1);
}

#[test]
fn secrets_are_shown_nowhere() {
    let instance = Instance::start();
    let machine = sleeper(&instance, &policy(), &json!({}));
    machine.know(&json!({"key": "hush-hush"}));
    for rest in ["", "/memory", "/memory/key", "/trace?limit=1000", "/explain", "/export"] {
        assert!(!machine.get(rest).to_string().contains("hush-hush"), "{rest}");
    }
}

#[test]
fn holds_alarms_and_messages_that_cannot_be() {
    let instance = Instance::start();
    let machine = sleeper(&instance, &policy(), &json!({}));
    let put =
        |rest: &str, body: Value, status, code| check(&machine, "PUT", rest, &body, status, code);
    put("/holds/h", json!({"ttl": "2h"}), 422, "self_time_invalid");
    put("/holds/h", json!({"ttl": "1m", "reason": "x".repeat(300)}), 413, "self_too_long");
    for n in 0..16 {
        drop(machine.ask("PUT", &format!("/holds/h{n}"), &json!({"ttl": "1h"})).expect(200));
    }
    put("/holds/h16", json!({"ttl": "1m"}), 409, "self_full");
    put("/alarms/a", json!({"at": "2020-01-01T00:00:00Z"}), 422, "self_time_invalid");
    put("/alarms/a", json!({"cron": "61 * * * *"}), 422, "alarm_invalid");
    put("/alarms/a", json!({"cron": "0 0 30 2 *"}), 422, "alarm_invalid");
    put("/alarms/a", json!({"cron": "0 2 * * *", "tz": "Europe/Roma"}), 422, "alarm_invalid");
    put("/alarms/a", json!({"every": "10ms"}), 422, "alarm_invalid");
    put("/alarms/a", json!({}), 422, "alarm_invalid");
    put("/alarms/night", json!({"every": "1h"}), 409, "alarm_of_policy");
    put(
        "/hold-down",
        json!({"reason": "x", "until": "2020-01-01T00:00:00Z"}),
        422,
        "self_time_invalid",
    );
    check(&machine, "DELETE", "/holds/none", &Value::Null, 404, "self_missing");
    check(&machine, "POST", "/inbox", &json!({"body": "x", "hops": 8}), 422, "inbox_hops");
    check(&machine, "POST", "/inbox", &json!({"body": "x".repeat(300_000)}), 413, "self_too_long");
    check(&machine, "POST", "/inbox/ack", &json!({"seqs": [1]}), 404, "self_missing");
    check(&machine, "POST", "/inbox/take", &json!({"max": 1}), 403, "self_rights");
    machine.check_trace();
}

#[test]
fn policies_that_cannot_be() {
    let instance = Instance::start();
    let machine = sleeper(&instance, &policy(), &json!({}));
    let rule = |when: &str| json!({"rules": [{"id": "r", "effect": "wake", "when": when}]});
    let nested =
        |open: &str, close: &str, n: usize| format!("{}true{}", open.repeat(n), close.repeat(n));
    for when in [
        nested("(", ")", 100),
        nested("!", "", 1000),
        nested("[", "][0]", 200),
        format!("1{}", " + 1".repeat(5000)),
        "!!(".repeat(40),
        "inbox.depth > 'many'".to_owned(),
        "machine.idle_s * 2 > 10".to_owned(),
        "now.getHours() == 9".to_owned(),
        "[1, 2].all(x, x > 0)".to_owned(),
        "memory.missing".to_owned(),
        "request.path == '/'".to_owned(),
        "\u{0}".to_owned(),
        String::new(),
    ] {
        check(&machine, "PUT", "/policy", &rule(&when), 422, "policy_invalid");
    }
    check(&machine, "PUT", "/policy", &json!({"ruels": []}), 422, "policy_invalid");
    check(&machine, "PUT", "/policy", &json!({"note": "x".repeat(70_000)}), 422, "policy_invalid");
    let other = format!("/policy?hash=sha256:{}", "0".repeat(64));
    check(&machine, "PUT", &other, &json!({}), 412, "policy_hash");

    // With position: who writes policies is a program, too.
    let refused = machine.ask("PUT", "/policy", &rule("inbox.depth > 'many'"));
    let finding = &refused.body["findings"][0];
    assert_eq!(finding["path"], "rules[0].when", "{finding}");
    assert!(finding["column"].is_u64() && finding["excerpt"].is_string(), "{finding}");
    let body = json!({"config": {"image": "fake", "engine": "fake", "policy": rule("nonsense")}, "skip_launch": true});
    let create = instance.post(&format!("/v1/apps/{}/machines", testkit::instance::APP), &body);
    assert!(matches!(create.status, 400 | 422), "{}", create.text);
    assert_eq!(create.body["code"], "policy_invalid", "{}", create.text);

    let linted =
        instance.post("/v1/policy/lint", &rule("inbox.depth > 3 && inbox.depth < 2")).expect(200);
    assert_eq!(linted["ok"], true, "{linted}");
    assert!(linted["findings"].to_string().contains("can never be true"), "{linted}");
    assert_eq!(
        machine.get("/policy")["policy"]["facts"]["n"]["max"],
        9,
        "a refused policy was set"
    );
    machine.check_trace();
}
