//! `wait`: until a state is reached, or time is up.

use serde_json::{Value, json};
use std::time::{Duration, Instant};
use testkit::Instance;
use tests::fixture::{config, started, with_busybox};

fn wait(instance: &Instance, id: &str, query: &str) -> testkit::Reply {
    instance.get(&format!("{}/wait?{query}", Instance::path(id)))
}

#[test]
fn a_wait_for_what_is_already_true_answers_at_once() {
    let instance = with_busybox();
    let id = started(&instance, "exec sleep 1000", &json!({}));
    let began = Instant::now();
    for query in ["state=started", "state=settled", "state=stopped,started", ""] {
        let body = wait(&instance, &id, query).expect(200);
        assert_eq!((&body["ok"], &body["state"]), (&json!(true), &json!("started")), "{query}");
    }
    assert!(began.elapsed() < Duration::from_secs(60), "it waited for what was true");
}

#[test]
fn a_wait_in_vain_says_where_the_machine_is() {
    let instance = with_busybox();
    let id = started(&instance, "exec sleep 1000", &json!({}));
    let began = Instant::now();
    let refusal = wait(&instance, &id, "state=stopped&timeout=1").refusal(408);
    assert!(began.elapsed() >= Duration::from_secs(1));
    assert_eq!(
        refusal.error,
        "deadline_exceeded: machine failed to reach desired state, stopped, currently started"
    );
}

#[test]
fn a_wait_ends_with_the_change_it_waits_for() {
    let instance = with_busybox();
    let id = started(&instance, "exec sleep 1000", &json!({}));
    std::thread::scope(|scope| {
        let waits: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| wait(&instance, &id, "state=stopped&timeout=30").expect(200)))
            .collect();
        instance.stop_machine(&id);
        for wait in waits {
            assert_eq!(wait.join().expect("the wait ends")["state"], "stopped");
        }
    });
}

#[test]
fn a_wait_for_another_version_says_that_it_was_replaced() {
    let instance = with_busybox();
    let id = started(&instance, "exec sleep 1000", &json!({}));
    let path = Instance::path(&id);
    let before = instance.get(&path).expect(200)["instance_id"].as_str().expect("text").to_owned();
    let change = json!({"config": config("exec sleep 2000", &json!({}))});
    drop(instance.post(&path, &change).expect(200));
    let refusal = wait(&instance, &id, &format!("instance_id={before}&state=stopped")).refusal(408);
    assert!(refusal.error.contains("currently replaced"), "{refusal:?}");
    drop(wait(&instance, &id, "state=started").expect(200));
    let processes = instance.get(&format!("{path}/ps")).expect(200).to_string();
    assert!(processes.contains("2000") && !processes.contains("1000"), "{processes}");
}

#[test]
fn a_wait_with_wrong_parameters_is_refused() {
    let instance = with_busybox();
    let id = started(&instance, "exec sleep 1000", &json!({}));
    for query in ["state=asleep", "timeout=0", "timeout=soon", "version=7"] {
        drop(wait(&instance, &id, query).refusal(400));
    }
    let absent = instance.get(&format!("{}/wait", Instance::path("00000000000000")));
    assert_eq!(absent.status, 404, "{}", absent.text);
    assert_eq!(wait(&instance, &id, "state=started").body["ok"], Value::Bool(true));
}
