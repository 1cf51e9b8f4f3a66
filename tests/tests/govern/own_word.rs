//! A machine's own `rest until`.

use crate::desk::{Governed, running};
use serde_json::{Value, json};
use std::time::Duration;
use testkit::{Instance, eventually};
use tests::fixture::{let_pass, with_busybox};

/// Says each time that it is up, and why.
const SAYS_WHY: &str = "dm why; exec sleep 1000";

fn policy() -> Value {
    json!({"facts": {"answer": {"type": "string", "default": "", "writers": ["owner"]}}})
}

#[track_caller]
fn sleep(machine: &Governed<'_>, options: &str) {
    machine.sh_later(&format!("dm sleep {options}"));
}

#[test]
fn a_machine_sleeps_until_what_it_waits_for_and_knows_why_it_is_up() {
    let instance = with_busybox();
    let machine = running(&instance, "waiter", &policy(), SAYS_WHY);
    sleep(&machine, "--until 'memory.answer != \"\"' --note 'for a person'");
    machine.wait_for("stopped");
    machine.explains("by its own word");
    machine.explains("`memory.answer != \"\"` (now ''");
    machine.post(&json!({"body": "not this"}));
    let_pass(Duration::from_secs(6));
    assert_eq!(machine.state(), "stopped", "a message is not what it waits for");
    machine.know(&json!({"answer": "yes"}));
    machine.wait_for("started");
    assert_eq!(machine.get("/wake")["wake"]["cause"], "rest_until");
    eventually("the program says why", || {
        instance
            .log(&machine.id)
            .iter()
            .any(|line| line.contains("woken by its own word"))
            .then_some(())
    });
    assert!(machine.get("")["rest"].is_null(), "it is one shot");
    machine.check_trace();
}

#[test]
fn a_moment_wakes_it_even_if_its_condition_does_not() {
    let instance = with_busybox();
    let machine = running(&instance, "waiter", &policy(), "exec sleep 1000");
    sleep(&machine, "--mode freeze --until 'memory.answer == \"never\"' --at +7s");
    machine.wait_for("suspended");
    machine.wait_for("started");
    assert_eq!(machine.get("/wake")["wake"]["cause"], "rest_until");
    machine.check_trace();
}

#[test]
fn what_has_come_already_keeps_it_awake() {
    let instance = with_busybox();
    let machine = running(&instance, "waiter", &policy(), "exec sleep 1000");
    machine.post(&json!({"body": "before"}));
    machine.sh("dm sleep --until 'inbox.depth > 0'");
    eventually("the wait is over", || machine.get("")["rest"].is_null().then_some(()));
    assert_eq!(machine.state(), "started");
    machine.check_trace();
}

#[test]
fn a_wait_survives_the_daemon() {
    let mut instance = with_busybox();
    let id = {
        let machine = running(&instance, "waiter", &policy(), "exec sleep 1000");
        sleep(&machine, "--until 'memory.answer == \"yes\"'");
        machine.wait_for("stopped");
        machine.id
    };
    instance.end_process();
    instance.start_again();
    let machine = Governed { instance: &instance, id };
    machine.explains("by its own word");
    machine.know(&json!({"answer": "yes"}));
    machine.wait_for("started");
    machine.check_trace();
}

#[test]
fn a_wait_that_makes_no_sense_is_refused() {
    let instance = with_busybox();
    let machine = running(&instance, "waiter", &policy(), "exec sleep 1000");
    let refused = |options: &str| {
        let outcome =
            instance.exec(&machine.id, &["/bin/sh", "-c", &format!("dm sleep --json {options}")]);
        assert_eq!(outcome["exit_code"], 1, "{options}: {outcome}");
        let body: Value =
            serde_json::from_str(outcome["stderr"].as_str().expect("text")).expect("JSON");
        body["code"].as_str().expect("a word").to_owned()
    };
    assert_eq!(refused("--until 'memory.nonsense'"), "condition_invalid");
    assert_eq!(refused("--until 'inbox.depth >'"), "condition_invalid");
    assert_eq!(refused("--at 2020-01-01T00:00:00Z"), "self_time_invalid");
    assert_eq!(refused("--at 2200-01-01T00:00:00Z"), "self_time_invalid");
    assert_eq!(machine.state(), "started");

    let from_outside = machine.ask("POST", "/rest", &json!({"until": "inbox.depth > 0"}));
    assert_eq!(from_outside.refusal(403).code, "self_rights");
}

#[test]
fn a_policy_under_which_a_sleeper_would_never_wake_is_refused() {
    let instance = with_busybox();
    let machine = running(&instance, "waiter", &policy(), "exec sleep 1000");
    sleep(&machine, "--until 'memory.answer == \"yes\"'");
    machine.wait_for("stopped");
    assert_eq!(machine.ask("PUT", "/policy", &json!({})).refusal(409).code, "policy_breaks_rest");
    machine.explains("by its own word");
    drop(
        instance.post(&format!("{}/start", Instance::path(&machine.id)), &Value::Null).expect(200),
    );
    machine.wait_for("started");
    machine.set_policy(&json!({}));
}

#[test]
fn a_machine_may_stop_itself_and_a_message_wakes_it() {
    let instance = with_busybox();
    let machine = running(&instance, "worker", &json!({}), "exec sleep 1000");
    machine.sh_later("dm stop");
    machine.wait_for("stopped");
    machine.post(&json!({"body": "up!", "wake": true}));
    machine.wait_for("started");
    machine.check_trace();
}
