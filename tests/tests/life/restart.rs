//! The restart policy: who comes back, when, and how often.

use serde_json::{Value, json};
use std::thread;
use std::time::{Duration, Instant};
use testkit::{Instance, eventually};
use tests::fixture::{Held, config, events, let_pass, started, wait_for_line, with_busybox};

fn create(instance: &Instance, script: &str, restart: &Value) -> String {
    instance.create_with(&json!({"config": config(script, &json!({"restart": restart}))}))
}

/// The exits of the machine, oldest first.
fn exits(instance: &Instance, id: &str) -> Vec<Value> {
    let mut exits = events(instance, id);
    exits.retain(|event| event["type"] == "exit");
    exits.reverse();
    exits
}

#[test]
fn without_a_policy_an_ended_program_stays_ended() {
    let instance = with_busybox();
    let id = create(&instance, "exit 3", &json!({"policy": "no"}));
    instance.wait_for(&id, "stopped");
    let exits = exits(&instance, &id);
    assert_eq!(exits.len(), 1);
    assert_eq!(exits[0]["request"]["exit_event"]["restarting"], false);
}

#[test]
fn on_failure_leaves_a_program_that_succeeded_alone() {
    let instance = with_busybox();
    let id = create(&instance, "exit 0", &json!({"policy": "on-failure", "max_retries": 3}));
    instance.wait_for(&id, "stopped");
    assert_eq!(exits(&instance, &id).len(), 1);
}

#[test]
fn on_failure_tries_again_with_growing_pauses_and_then_gives_up() {
    let instance = with_busybox();
    let id = create(&instance, "exit 3", &json!({"policy": "on-failure", "max_retries": 2}));
    eventually("it has given up", || {
        (instance.state(&id) == "stopped" && exits(&instance, &id).len() == 3).then_some(())
    });
    let exits = exits(&instance, &id);
    let restarting = exits.iter().map(|exit| exit["request"]["exit_event"]["restarting"] == true);
    assert_eq!(restarting.collect::<Vec<_>>(), [true, true, false]);
    let counts: Vec<_> =
        exits.iter().map(|exit| exit["request"]["restart_count"].as_u64()).collect();
    assert!(counts.is_sorted() && counts[2] == Some(2), "{counts:?}");
    let at: Vec<u64> = exits.iter().filter_map(|exit| exit["timestamp"].as_u64()).collect();
    assert!(at[1] - at[0] >= 1_000, "first pause {} ms", at[1] - at[0]);
    assert!(at[2] - at[1] >= 2_000, "second pause {} ms", at[2] - at[1]);
}

#[test]
fn always_starts_again_even_after_success_until_somebody_stops_it() {
    let instance = with_busybox();
    let id = create(&instance, "echo run; exit 0", &json!({"policy": "always"}));
    eventually("it has run twice", || (instance.log(&id).len() >= 2).then_some(()));
    eventually("it waits for its restart", || (instance.state(&id) == "restarting").then_some(()));
    drop(instance.post(&format!("{}/stop", Instance::path(&id)), &Value::Null).expect(200));
    instance.wait_for(&id, "stopped");
    let runs = instance.log(&id).len();
    tests::fixture::let_pass(std::time::Duration::from_secs(3));
    assert_eq!(instance.log(&id).len(), runs, "it started again after a stop");
}

#[test]
fn a_stop_by_order_is_never_followed_by_a_restart() {
    let instance = with_busybox();
    let id = started(&instance, "exec sleep 1000", &json!({"restart": {"policy": "always"}}));
    instance.stop_machine(&id);
    tests::fixture::let_pass(std::time::Duration::from_secs(2));
    assert_eq!(instance.state(&id), "stopped");
}

#[test]
fn a_start_during_the_back_off_does_not_wait_for_its_end() {
    let instance = with_busybox();
    let id = create(
        &instance,
        "test -e /root/ready && exec sleep 1000; touch /root/ready; exit 1",
        &json!({"policy": "always"}),
    );
    eventually("it waits for its restart", || (instance.state(&id) == "restarting").then_some(()));
    instance.start_machine(&id);
    assert_eq!(exits(&instance, &id).len(), 1);
}

#[test]
fn the_seconds_of_a_run_end_when_it_ended_and_not_when_control_heard_of_it() {
    let instance = with_busybox();
    let began = Instant::now();
    let script = "trap 'sleep 1; exit 0' INT; echo ready; while :; do sleep 0.05; done";
    let id = started(&instance, script, &json!({}));
    wait_for_line(&instance, &id, "ready");
    let path = Instance::path(&id);
    thread::scope(|scope| {
        let restart =
            scope.spawn(|| instance.post(&format!("{path}/restart?timeout=30"), &Value::Null));
        eventually("it restarts", || (instance.state(&id) == "restarting").then_some(()));
        // The program ends within the second; control hears of it three seconds later.
        let held = Held::processes(vec![instance.control_pid()]);
        let_pass(Duration::from_secs(4));
        drop(held);
        assert_eq!(restart.join().expect("an answer").status, 200);
    });
    instance.stop_machine(&id);
    let took = began.elapsed();
    let used = instance.get(&format!("{path}/usage")).expect(200);
    let used_s = used["started_s"].as_f64().expect("a number");
    assert!(used_s < took.as_secs_f64() - 2.0, "{used_s} s of {took:?}");
    assert!(used_s > 0.5, "{used_s} s of {took:?}");
}
