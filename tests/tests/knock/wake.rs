//! A knock wakes: the visitor is answered by the machine that slept, and told how.

use crate::house::{
    HOST, HTTP, INTERNAL, RAW, expect_from, expect_one_init, house, http, service, sleeper,
    sleeper_of, starts, timing,
};
use serde_json::json;
use std::io::{Read as _, Write as _};
use std::sync::Barrier;
use testkit::Instance;

#[test]
fn a_request_wakes_its_machine_and_is_answered_by_it() {
    let instance = house();
    let id = sleeper(&instance, "http 80", &[http()]);
    let reply = instance.visit(HTTP, HOST, "/hello?x=1");
    expect_from(&reply, &id);
    assert!(reply.text.starts_with("HTTP/1.1 GET /hello?x=1\n"), "{}", reply.text);
    let parts = timing(&reply);
    let names: Vec<&str> = parts.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["admission", "commit", "net", "disk", "engine", "listen", "hold"]);
    let of = |name: &str| parts.iter().find(|(part, _)| part == name).expect("a part").1;
    assert!(of("commit") > 0.0 && of("engine") > 0.0 && of("listen") > 0.0, "{parts:?}");
    // Not their sum: the commit goes on beside the disk.
    assert!(parts.iter().all(|(_, ms)| *ms <= of("hold")), "longer than the whole: {parts:?}");
    assert_eq!(reply.header("dormouse-decision"), Some("wake; by=request; method=GET"));
    let cause = &starts(&instance, &id)[0];
    assert_eq!(cause["cause"], "knock", "{cause}");
    assert_eq!(cause["internal_port"], INTERNAL, "{cause}");
    let request = json!({"method": "GET", "host": HOST, "path": "/hello"});
    assert_eq!(cause["request"], request, "{cause}");
    let next = instance.visit(HTTP, HOST, "/");
    expect_from(&next, &id);
    assert_eq!(next.header("server-timing"), None, "nobody was woken for it");
    assert_eq!(next.header("dormouse-decision"), None);
    expect_one_init(&instance, &id);
}

#[test]
fn each_app_is_woken_by_its_own_name() {
    let instance = house();
    let one = sleeper_of(&instance, "one", "http 80", &json!({"services": [http()]}));
    let two = sleeper_of(&instance, "two", "http 80", &json!({"services": [http()]}));
    expect_from(&instance.visit(HTTP, "two.localhost", "/"), &two);
    let state = |app: &str, id: &str| {
        instance.get(&format!("/v1/apps/{app}/machines/{id}")).expect(200)["state"].clone()
    };
    assert_eq!(state("one", &one), "stopped");
    expect_from(&instance.visit(HTTP, "ONE.localhost.:8080", "/"), &one);
    let unknown = instance.visit(HTTP, "three.localhost", "/");
    assert_eq!(unknown.refusal(404).code, "app_not_routed");
    let nobody = instance.visit(HTTP, "127.0.0.1", "/");
    assert_eq!(nobody.status, 404, "two apps claim the port: {}", nobody.text);
}

#[test]
fn the_only_app_of_a_port_is_reached_by_its_address() {
    let instance = house();
    let id = sleeper(&instance, "http 80", &[http()]);
    expect_from(&instance.visit(HTTP, &instance.door(HTTP).to_string(), "/"), &id);
}

#[test]
fn a_byte_wakes_and_comes_back() {
    let instance = house();
    let id = sleeper(&instance, "echo 80", &[service(RAW, &[])]);
    let mut visitor = instance.connect(RAW);
    visitor.write_all(b"x").expect("said");
    let mut byte = [0];
    visitor.read_exact(&mut byte).expect("it comes back");
    assert_eq!(&byte, b"x");
    let cause = &starts(&instance, &id)[0];
    assert_eq!(cause["cause"], "knock", "{cause}");
    assert!(cause["request"].is_null(), "{cause}");
}

#[test]
fn a_visitor_that_waits_to_be_greeted_wakes_too() {
    let instance = house();
    let id = sleeper(&instance, "greet 80", &[service(RAW, &[])]);
    let mut visitor = instance.connect(RAW);
    let mut greeting = vec![0; id.len() + 1];
    visitor.read_exact(&mut greeting).expect("a greeting");
    assert_eq!(greeting, format!("{id}\n").into_bytes());
}

/// Visitors of the herd.
const HERD: usize = 200;

#[test]
fn two_hundred_knocks_at_once_are_one_start() {
    let instance = house();
    let id = sleeper(&instance, "http 80 after=100", &[http()]);
    let gate = Barrier::new(HERD);
    let visit = |n: usize| {
        gate.wait();
        let reply = instance.visit(HTTP, HOST, &format!("/{n}"));
        expect_from(&reply, &id);
        assert!(reply.text.contains(&format!("GET /{n}\n")), "{}", reply.text);
        reply.header("x-run").expect("a run").to_owned()
    };
    let runs: Vec<String> = std::thread::scope(|scope| {
        let visitors: Vec<_> = (0..HERD).map(|n| scope.spawn(move || visit(n))).collect();
        visitors.into_iter().map(|visitor| visitor.join().expect("served")).collect()
    });
    assert!(runs.iter().all(|run| *run == runs[0]), "one run answers all");
    let starts = starts(&instance, &id);
    assert_eq!(starts.len(), 1, "{starts:?}");
    expect_one_init(&instance, &id);
}

#[test]
fn a_machine_is_woken_as_often_as_it_was_stopped() {
    let instance = house();
    let id = sleeper(&instance, "http 80", &[http()]);
    for n in 1..=5 {
        let reply = instance.visit(HTTP, HOST, "/");
        expect_from(&reply, &id);
        assert!(reply.header("server-timing").is_some());
        instance.stop_machine(&id);
        assert_eq!(starts(&instance, &id).len(), n);
    }
    let stopped = instance.get(&Instance::path(&id)).expect(200);
    assert_eq!(stopped["state"], "stopped");
}

#[test]
fn a_machine_that_never_slept_is_served_without_a_knock() {
    let instance = house();
    let id = sleeper(&instance, "http 80", &[http()]);
    instance.start_machine(&id);
    let reply = instance.visit(HTTP, HOST, "/");
    expect_from(&reply, &id);
    assert_eq!(starts(&instance, &id).len(), 1);
}
