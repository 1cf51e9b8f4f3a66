//! Knocks that wake nobody: each visitor is told why, and when to come back.

use crate::house::{
    HOST, HTTP, RAW, expect_from, house, http, service, sleeper, sleeper_of, starts, with,
};
use serde_json::{Value, json};
use std::io::Read as _;
use std::time::{Duration, Instant};
use testkit::{Instance, Reply};

/// Checks the words, the header and the advice of a refused wake; its sentence.
#[track_caller]
fn expect_refused(reply: &Reply, code: &str) -> String {
    assert_eq!(reply.status, 503, "{}", reply.text);
    assert_eq!(reply.body["code"], code, "{}", reply.text);
    assert_eq!(reply.body["retryable"], true, "{}", reply.text);
    let again = reply.header("retry-after").expect("when to come back");
    assert!(again.parse::<u32>().is_ok_and(|seconds| seconds > 0), "{again}");
    let decision = reply.header("dormouse-decision").expect("a decision");
    assert_eq!(decision, format!("refused; {code}"));
    reply.body["error"].as_str().expect("a sentence").to_owned()
}

/// A request with a budget of its own.
fn visit_for(instance: &Instance, hold: &str) -> Reply {
    instance.visit_with(HTTP, HOST, "/", &[("dormouse-hold", hold)])
}

/// Closed without a byte.
#[track_caller]
fn expect_closed(instance: &Instance) {
    let mut heard = Vec::new();
    // Closed by an end or by a reset: both are a closed door.
    drop(instance.connect(RAW).read_to_end(&mut heard));
    assert_eq!(heard, b"");
}

#[test]
fn a_machine_that_is_held_down_stays_down() {
    let instance = house();
    let id = sleeper(&instance, "http 80", &[http(), service(RAW, &[])]);
    let path = Instance::path(&id);
    let hold = json!({"reason": "moving house"});
    drop(instance.request("PUT", &format!("{path}/self/hold-down"), &hold).expect(200));
    let said = expect_refused(&visit_for(&instance, "30s"), "held_down");
    assert!(said.contains("held down"), "{said}");
    expect_closed(&instance);
    assert_eq!(starts(&instance, &id).len(), 0);
    drop(instance.delete(&format!("{path}/self/hold-down")));
    expect_from(&instance.visit(HTTP, HOST, "/"), &id);
}

#[test]
fn a_rule_denies_by_the_path_that_knocks() {
    let instance = house();
    let policy = json!({"rules": [
        {"id": "robots", "effect": "deny_wake", "when": "request.path == '/robots.txt'"}]});
    let more = json!({"services": [http()], "policy": policy});
    let id = sleeper_of(&instance, "test", "http 80", &more);
    let said = expect_refused(&instance.visit(HTTP, HOST, "/robots.txt?x"), "denied");
    assert!(said.contains("`robots`"), "{said}");
    assert_eq!(starts(&instance, &id).len(), 0);
    let reply = instance.visit(HTTP, HOST, "/people");
    expect_from(&reply, &id);
    assert!(reply.header("server-timing").is_some());
    // What runs is served: the rule is about waking.
    expect_from(&instance.visit(HTTP, HOST, "/robots.txt"), &id);
}

#[test]
fn a_budget_denies_with_its_reason() {
    let instance = house();
    let policy = json!({
        "facts": {"allowed_s": {"type": "int", "default": 0}},
        "rules": [{"id": "budget", "effect": "deny_wake",
            "when": "usage.started_s_month >= memory.allowed_s"}]
    });
    let more = json!({"services": [http()], "policy": policy});
    let id = sleeper_of(&instance, "test", "http 80", &more);
    let said = expect_refused(&instance.visit(HTTP, HOST, "/"), "denied");
    assert!(said.contains("`budget`"), "{said}");
    let memory = format!("{}/self/memory", Instance::path(&id));
    drop(instance.request("PATCH", &memory, &json!({"allowed_s": 36_000})).expect(200));
    expect_from(&instance.visit(HTTP, HOST, "/"), &id);
}

#[test]
fn a_service_without_autostart_wakes_nobody() {
    let instance = house();
    let id = sleeper(&instance, "http 80", &[with(http(), &json!({"autostart": false}))]);
    let reply = instance.visit(HTTP, HOST, "/");
    assert_eq!(reply.status, 503, "{}", reply.text);
    assert_eq!(reply.body["code"], "no_machine", "{}", reply.text);
    assert!(reply.header("retry-after").is_some());
    assert_eq!(starts(&instance, &id).len(), 0);
    instance.start_machine(&id);
    instance.wait_for_route(&id, |route| route["route"]["state"]["state"] == "up");
    expect_from(&instance.visit(HTTP, HOST, "/"), &id);
}

fn lease(instance: &Instance, id: &str, seconds: u32) -> Value {
    let path = format!("{}/lease", Instance::path(id));
    instance.post(&path, &json!({"ttl": seconds})).expect(201)
}

#[test]
fn a_lease_holds_visitors_until_it_ends() {
    let instance = house();
    let id = sleeper(&instance, "http 80", &[http()]);
    let _nonce = lease(&instance, &id, 2);
    let since = Instant::now();
    let reply = instance.visit(HTTP, HOST, "/");
    expect_from(&reply, &id);
    assert!(since.elapsed() > Duration::from_millis(500), "it did not wait for the lease");
    assert_eq!(starts(&instance, &id).len(), 1);
}

#[test]
fn a_lease_that_is_longer_than_the_visitor_waits_is_the_reason() {
    let instance = house();
    let id = sleeper(&instance, "http 80", &[http()]);
    let _nonce = lease(&instance, &id, 600);
    let said = expect_refused(&visit_for(&instance, "1s"), "lease_held");
    assert!(said.contains("leased"), "{said}");
    assert_eq!(starts(&instance, &id).len(), 0);
}

#[test]
fn a_program_that_never_listens_is_the_reason() {
    let instance = house();
    let id = sleeper(&instance, "deaf 80", &[http()]);
    let reply = visit_for(&instance, "2s");
    assert_eq!(reply.status, 503, "{}", reply.text);
    assert_eq!(reply.body["code"], "wake_timeout", "{}", reply.text);
    assert!(
        reply.text.contains("internal_port"),
        "the hint names the likely cause: {}",
        reply.text
    );
    assert_eq!(starts(&instance, &id).len(), 1);
    assert_eq!(instance.state(&id), "started", "it is left as its owner made it");
}

#[test]
fn a_program_that_dies_while_it_wakes_is_the_reason() {
    let instance = house();
    let never = json!({"services": [http(), service(RAW, &[])], "restart": {"policy": "no"}});
    let id = sleeper_of(&instance, "test", "dying 80 after=50", &never);
    let reply = instance.visit(HTTP, HOST, "/");
    assert_eq!(reply.status, 503, "{}", reply.text);
    assert!(reply.header("retry-after").is_some(), "{reply:?}");
    assert!(starts(&instance, &id).len() <= 3, "it is not woken for ever");
    instance.wait_for(&id, "stopped");
    expect_closed(&instance);
}

#[test]
fn a_machine_destroyed_while_visitors_wait_sends_them_away() {
    let instance = house();
    let id = sleeper(&instance, "deaf 80", &[http()]);
    let reply = std::thread::scope(|scope| {
        let visitor = scope.spawn(|| instance.visit(HTTP, HOST, "/"));
        instance.wait_for(&id, "started");
        drop(instance.delete(&format!("{}?force=true", Instance::path(&id))).expect(200));
        visitor.join().expect("an answer")
    });
    assert!(matches!(reply.status, 404 | 503), "{}", reply.text);
    assert!(reply.body["code"].is_string(), "{}", reply.text);
}

#[test]
fn a_program_that_takes_a_request_and_says_nothing_is_the_reason() {
    let instance = house();
    let patience = json!({"http_options": {"idle_timeout": 1}});
    let id = sleeper(&instance, "mute 80", &[crate::house::http_port(&patience)]);
    let reply = instance.visit(HTTP, HOST, "/");
    assert_eq!(reply.status, 504, "{}", reply.text);
    assert_eq!(reply.body["code"], "backend_timeout", "{}", reply.text);
    instance.wait_for_route(&id, |route| route["load"]["n_requests"] == 0);
}

#[test]
fn a_program_that_breaks_off_is_told_apart_from_one_that_is_silent() {
    let instance = house();
    let _id = sleeper(&instance, "http 80", &[http()]);
    let reply = instance.visit(HTTP, HOST, "/cut");
    assert_eq!(
        (reply.status, &reply.body["code"]),
        (502, &json!("backend_closed")),
        "{}",
        reply.text
    );
    let reply = instance.visit(HTTP, HOST, "/die");
    assert_eq!(reply.status, 502, "{}", reply.text);
}

#[test]
fn what_nobody_serves_is_not_found() {
    let instance = house();
    let id = sleeper(&instance, "http 80", &[http()]);
    for host in ["other.localhost", "a.test.localhost", "test.local", "test"] {
        assert_eq!(instance.visit(HTTP, host, "/").refusal(404).code, "app_not_routed", "{host}");
    }
    let missing = [("fly-force-instance-id", "0123456789abcd")];
    let reply = instance.visit_with(HTTP, HOST, "/", &missing);
    assert_eq!((reply.status, &reply.body["code"]), (404, &json!("machine_not_routed")));
    assert!(instance.try_connect(RAW).is_err(), "no service has this port");
    assert_eq!(instance.state(&id), "stopped");
}

#[test]
fn a_machine_that_is_gone_closes_its_door() {
    let instance = house();
    let id = sleeper(&instance, "echo 80", &[service(RAW, &[])]);
    drop(instance.delete(&format!("{}?force=true", Instance::path(&id))).expect(200));
    instance.wait_for(&id, "destroyed");
    testkit::eventually("the door is closed", || instance.try_connect(RAW).is_err().then_some(()));
}
