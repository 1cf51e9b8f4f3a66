//! Stop, signal, kill: who is told what, and what is remembered.

use serde_json::{Value, json};
use std::time::{Duration, Instant};
use testkit::Instance;
use tests::fixture::{last_exit, started, wait_for_line, with_busybox};

/// Says which signal it got, and ends with its number.
const TELL_SIGNAL: &str = "for s in INT TERM USR1 HUP; do trap \"echo got $s; exit 7\" $s; done; \
    echo ready; while :; do sleep 0.02; done";

/// Obeys nothing that can be caught.
const IGNORE_ALL: &str = "trap '' INT TERM HUP USR1 QUIT; echo ready; while :; do sleep 0.02; done";

fn stop(instance: &Instance, id: &str, body: &Value) {
    drop(instance.post(&format!("{}/stop", Instance::path(id)), body).expect(200));
    instance.wait_for(id, "stopped");
}

#[track_caller]
fn check_signal(config: &Value, body: &Value, expected: &str) {
    let instance = with_busybox();
    let id = started(&instance, TELL_SIGNAL, config);
    wait_for_line(&instance, &id, "ready");
    stop(&instance, &id, body);
    assert_eq!(instance.log(&id), ["ready", &format!("got {expected}")]);
    assert_eq!(last_exit(&instance, &id)["exit_event"]["exit_code"], 7);
}

#[test]
fn a_stop_sends_sigint_when_nobody_says_otherwise() {
    check_signal(&json!({}), &Value::Null, "INT");
}

#[test]
fn a_stop_sends_the_signal_of_the_configuration() {
    check_signal(&json!({"stop_config": {"signal": "SIGTERM"}}), &Value::Null, "TERM");
}

#[test]
fn a_stop_sends_the_signal_of_the_call_before_that_of_the_configuration() {
    let config = json!({"stop_config": {"signal": "SIGTERM"}});
    check_signal(&config, &json!({"signal": "SIGUSR1"}), "USR1");
}

#[test]
fn a_program_that_ignores_its_stop_is_killed_after_the_timeout() {
    let instance = with_busybox();
    let id = started(&instance, IGNORE_ALL, &json!({"stop_config": {"timeout": "30s"}}));
    wait_for_line(&instance, &id, "ready");
    let began = Instant::now();
    stop(&instance, &id, &json!({"timeout": "1s"}));
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(1), "killed too early: {took:?}");
    assert!(took < Duration::from_secs(30), "killed too late: {took:?}");
    let exit = &last_exit(&instance, &id)["exit_event"];
    assert_eq!(exit["requested_stop"], true);
    assert_eq!(exit["exit_code"], 137);
}

#[test]
fn a_second_stop_with_sigkill_ends_a_stop_that_waits() {
    let instance = with_busybox();
    let id = started(&instance, IGNORE_ALL, &json!({"stop_config": {"timeout": "60s"}}));
    wait_for_line(&instance, &id, "ready");
    drop(instance.post(&format!("{}/stop", Instance::path(&id)), &Value::Null).expect(200));
    assert_eq!(instance.state(&id), "stopping");
    let began = Instant::now();
    stop(&instance, &id, &json!({"signal": "SIGKILL", "timeout": "1s"}));
    assert!(began.elapsed() < Duration::from_secs(60), "the first stop was waited for");
}

#[test]
fn a_signal_reaches_the_program_and_ends_nothing_by_itself() {
    let instance = with_busybox();
    let id = started(
        &instance,
        "trap 'echo hup' HUP; echo ready; while :; do sleep 0.02; done",
        &json!({}),
    );
    wait_for_line(&instance, &id, "ready");
    let path = Instance::path(&id);
    drop(instance.post(&format!("{path}/signal"), &json!({"signal": "SIGHUP"})).expect(200));
    wait_for_line(&instance, &id, "hup");
    assert_eq!(instance.state(&id), "started");
    drop(instance.post(&format!("{path}/signal"), &json!({"signal": "SIGKILL"})).expect(200));
    instance.wait_for(&id, "stopped,started");
    let exit = testkit::eventually("the exit is told", || {
        tests::fixture::events(&instance, &id).into_iter().find(|event| event["type"] == "exit")
    });
    assert_eq!(exit["request"]["exit_event"]["guest_signal"], 9);
    assert_eq!(exit["request"]["exit_event"]["requested_stop"], false);
    let refused = instance.post(&format!("{path}/signal"), &json!({"signal": "SIGBLAH"}));
    assert!(!refused.refusal(400).code.is_empty());
}

#[test]
fn every_exit_is_told_as_it_was() {
    let instance = with_busybox();
    let no_restart = json!({"restart": {"policy": "no"}});
    for (script, code, signal) in [
        ("exit 0", 0, -1),
        ("exit 42", 42, -1),
        ("kill -TERM $$", 143, 15),
        ("kill -SEGV $$", 139, 11),
    ] {
        let id =
            instance.create_with(&json!({"config": tests::fixture::config(script, &no_restart)}));
        instance.wait_for(&id, "stopped");
        let exit = testkit::eventually("the exit is told", || {
            tests::fixture::events(&instance, &id).into_iter().find(|event| event["type"] == "exit")
        });
        let exit = &exit["request"]["exit_event"];
        assert_eq!(exit["exit_code"], code, "{script}: {exit}");
        assert_eq!(exit["guest_signal"], signal, "{script}: {exit}");
        assert_eq!(exit["requested_stop"], false, "{script}: {exit}");
        assert_eq!(exit["oom_killed"], false, "{script}: {exit}");
        assert_eq!(exit["restarting"], false, "{script}: {exit}");
    }
}

#[test]
fn a_program_that_eats_its_ram_is_told_as_such() {
    let instance = with_busybox();
    let more = json!({"restart": {"policy": "no"}, "guest": {"cpu_kind": "shared", "cpus": 1, "memory_mb": 256}});
    let eat = "exec head -c 2000m /dev/zero | tail";
    let id = instance.create_with(&json!({"config": tests::fixture::config(eat, &more)}));
    instance.wait_for(&id, "stopped");
    let exit = &last_exit(&instance, &id)["exit_event"];
    assert_eq!(exit["oom_killed"], true, "{exit}");
}
