//! What becomes of a machine while visitors wait for it: each is told at once, in words of its own.

use crate::house::{HOST, HTTP, RAW, house, made};
use serde_json::Value;
use std::io::Read as _;
use std::time::{Duration, Instant};
use testkit::instance::APP;
use testkit::{Instance, Reply};

/// Far below what a visitor is held at most: whoever is told later has waited for what cannot come.
const TOLD_WITHIN: Duration = Duration::from_secs(30);

#[track_caller]
fn sleeper(instance: &Instance, server: &str, port: u16, handlers: &[&str]) -> String {
    let id = made(instance, APP, server, (port, handlers));
    instance.wait_until_served(&id);
    id
}

#[track_caller]
fn expect(reply: &Reply, since: Instant, code: &str, words: &str) {
    assert!(since.elapsed() < TOLD_WITHIN, "told after {:?}", since.elapsed());
    assert_eq!((reply.status, reply.body["code"].as_str()), (503, Some(code)), "{}", reply.text);
    assert!(reply.body["error"].as_str().is_some_and(|e| e.contains(words)), "{}", reply.text);
    assert!(reply.body["hint"].is_string(), "{}", reply.text);
    assert!(reply.header("retry-after").is_some(), "{reply:?}");
}

/// Visits, and does something to the machine when its program runs.
#[track_caller]
fn visit_while(instance: &Instance, id: &str, act: impl FnOnce(&str)) -> (Reply, Instant) {
    let path = Instance::path(id);
    std::thread::scope(|scope| {
        let visitor = scope.spawn(|| instance.visit(HTTP, HOST, "/"));
        instance.wait_for(id, "started");
        let since = Instant::now();
        act(&path);
        (visitor.join().expect("an answer"), since)
    })
}

#[test]
fn a_program_that_ends_before_it_listens_is_told_with_its_exit() {
    let instance = house();
    sleeper(&instance, "dying 80 after=300", HTTP, &["http"]);
    let since = Instant::now();
    let reply = instance.visit(HTTP, HOST, "/");
    expect(&reply, since, "died_waking", "exit code 1");
}

#[test]
fn the_connection_of_raw_bytes_is_closed_when_the_program_ends() {
    let instance = house();
    sleeper(&instance, "dying 80 after=300", RAW, &[]);
    let (since, mut heard) = (Instant::now(), Vec::new());
    // Closed by an end or by a reset: both are a closed door.
    drop(instance.connect(RAW).read_to_end(&mut heard));
    assert_eq!(heard, b"");
    assert!(since.elapsed() < TOLD_WITHIN, "closed after {:?}", since.elapsed());
}

#[test]
fn a_machine_that_is_stopped_while_it_wakes_is_told() {
    let instance = house();
    let id = sleeper(&instance, "deaf 80", HTTP, &["http"]);
    let (reply, since) = visit_while(&instance, &id, |path| {
        drop(instance.post(&format!("{path}/stop"), &Value::Null).expect(200));
    });
    expect(&reply, since, "stopped_waking", "put to rest");
}

#[test]
fn a_machine_that_is_destroyed_while_it_wakes_is_told() {
    let instance = house();
    let id = sleeper(&instance, "deaf 80", HTTP, &["http"]);
    let (reply, since) = visit_while(&instance, &id, |path| {
        drop(instance.delete(&format!("{path}?force=true")).expect(200));
    });
    expect(&reply, since, "machine_destroyed", "destroyed");
}
