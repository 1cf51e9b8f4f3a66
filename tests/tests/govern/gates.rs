//! What stops whom: stops that mute, budgets, policies replaced on the way.

use crate::desk::sleeper;
use serde_json::{Value, json};
use std::time::Duration;
use testkit::{Instance, eventually};
use tests::fixture::let_pass;

/// Longer than the rest that a governed wake waits for.
const PAST_MIN_REST: Duration = Duration::from_secs(6);

fn go_policy() -> Value {
    json!({
        "facts": {"go": {"type": "bool", "default": false}, "n": {"type": "int", "default": 0}},
        "rules": [{"id": "go", "effect": "wake", "when": "memory.go && memory.n >= 0"}]
    })
}

#[test]
fn a_stop_silences_what_is_true_until_something_newer_comes() {
    let instance = Instance::start();
    let machine = sleeper(&instance, &go_policy(), &json!({}));
    machine.know(&json!({"go": true}));
    machine.wait_for("started");
    machine.explains("rule `go`");
    instance.stop_machine(&machine.id);
    let_pass(PAST_MIN_REST);
    assert_eq!(machine.state(), "stopped", "the rule is still true, and brought it back");
    let because = machine.get("/explain")["because"].to_string();
    assert!(because.contains("silenced by a stop"), "{because}");
    machine.know(&json!({"n": 1}));
    machine.wait_for("started");
    machine.check_trace();
}

#[test]
fn a_stop_of_a_machine_that_is_down_already_is_remembered() {
    let instance = Instance::start();
    let machine = sleeper(&instance, &go_policy(), &json!({}));
    assert_eq!(machine.traced("stop"), 0);
    instance.stop_machine(&machine.id);
    assert_eq!(machine.traced("stop"), 1, "it silences what has not come up yet");
    machine.know(&json!({"go": true}));
    machine.wait_for("started");
    machine.check_trace();
}

#[test]
fn a_denied_wake_is_refused_to_callers_and_owed_to_itself() {
    let instance = Instance::start();
    let policy = json!({
        "facts": {"closed": {"type": "bool", "default": true}},
        "rules": [{"id": "shut", "effect": "deny_wake", "when": "memory.closed"}]
    });
    let machine = sleeper(&instance, &policy, &json!({}));
    let start = format!("{}/start", Instance::path(&machine.id));
    let refused = instance.post(&start, &Value::Null);
    assert!(refused.text.contains("shut"), "{}", refused.text);
    drop(refused.refusal(412));
    machine.post(&json!({"body": "please", "wake": true}));
    machine.wait_for_decision("owed deny");
    machine.explains("rule `shut` denies it");
    machine.know(&json!({"closed": false}));
    machine.wait_for("started");

    machine.know(&json!({"closed": true}));
    instance.stop_machine(&machine.id);
    drop(instance.post(&start, &Value::Null).refusal(412));
    drop(instance.post(&format!("{start}?override=1"), &Value::Null).expect(200));
    machine.wait_for("started");
    machine.check_trace();
}

#[test]
fn a_policy_that_is_replaced_while_the_machine_wakes_lets_it_wake() {
    let instance = Instance::start();
    let machine = sleeper(&instance, &go_policy(), &json!({"fake.start_ms": "1500"}));
    machine.know(&json!({"go": true}));
    eventually("it starts", || (machine.state() == "starting").then_some(()));
    machine.set_policy(
        &json!({"rules": [{"id": "other", "effect": "wake", "when": "inbox.depth > 0"}]}),
    );
    machine.wait_for("started");
    machine.explains("because nothing wants it to rest");
    machine.check_trace();
}

#[test]
fn what_nobody_can_tell_starts_nothing() {
    let instance = Instance::start();
    for when in
        ["1 / memory.zero > 0", "memory.none == 'x'", "peer.nobody.age_s < 10", "memory.brief"]
    {
        let policy = json!({
            "facts": {"zero": {"type": "int", "default": 0}, "none": {"type": "string"}, "n": {"type": "int"},
                "brief": {"type": "bool", "ttl": "1s"}},
            "rules": [{"id": "unclear", "effect": "wake", "when": when}]
        });
        let machine = sleeper(&instance, &policy, &json!({}));
        machine.know(&json!({"n": 1}));
        assert_eq!(machine.state(), "stopped", "{when}");
        let because = machine.get("/explain")["because"].to_string();
        assert!(because.contains("rule `unclear` is unknown"), "{when}: {because}");
        assert_eq!(machine.governed_wakes(), 0, "{when}");
    }
}

#[test]
fn a_dry_run_says_what_would_be_and_changes_nothing() {
    let instance = Instance::start();
    let machine = sleeper(&instance, &go_policy(), &json!({}));
    let before = machine.get("");
    let tried =
        machine.ask("POST", "/policy/dry-run", &json!({"memory": {"go": true}})).expect(200);
    assert_eq!(tried["decision"]["stance"], "up", "{tried}");
    let policy = json!({"rules": [{"id": "old", "effect": "wake", "when": "inbox.oldest_s > 60"}]});
    let writes = json!([{"post": {"body": "x"}}]);
    let tried = machine
        .ask("POST", "/policy/dry-run", &json!({"policy": policy, "writes": writes}))
        .expect(200);
    assert_eq!(tried["decision"]["stance"], "stay", "{tried}");
    assert!(tried["next_at"].is_string(), "a message grows old: {tried}");
    assert_eq!(machine.get(""), before);
    assert_eq!(machine.state(), "stopped");
}
