//! Several machines of one app: who is asked, who is spared, who is woken beside.

use crate::house::{HOST, HTTP, expect_from, house, http, sleeper, starts, with};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use testkit::{Asked, Instance, eventually};

fn limited(soft: u32, hard: u32) -> Value {
    let limits = json!({"type": "requests", "soft_limit": soft, "hard_limit": hard});
    with(http(), &json!({"concurrency": limits}))
}

/// A request that stays under way for as long as this is kept; the machine that has it.
fn linger(instance: &Instance) -> (TcpStream, String) {
    let mut stream = instance.connect(HTTP);
    let head = format!("GET /events HTTP/1.1\r\nhost: {HOST}\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("said");
    let mut heard = Vec::new();
    while !heard.ends_with(b"data: 0\n\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("an event");
        heard.push(byte[0]);
    }
    let heard = String::from_utf8(heard).expect("text");
    let machine = heard.lines().find_map(|line| line.strip_prefix("x-machine: "));
    (stream, machine.expect("a machine").to_owned())
}

#[test]
fn a_machine_at_its_hard_limit_gets_no_more_until_a_place_is_free() {
    let instance = house();
    let id = sleeper(&instance, "http 80", &[limited(1, 1)]);
    let (lingering, _) = linger(&instance);
    let hurried = [("dormouse-hold", "200ms")];
    let reply = instance.visit_with(HTTP, HOST, "/", &hurried);
    assert_eq!((reply.status, &reply.body["code"]), (503, &json!("overloaded")), "{}", reply.text);
    assert!(reply.header("retry-after").is_some());
    let reply = std::thread::scope(|scope| {
        let patient = scope.spawn(|| instance.visit(HTTP, HOST, "/"));
        drop(lingering);
        patient.join().expect("served")
    });
    expect_from(&reply, &id);
}

#[test]
fn a_full_machine_has_another_one_woken() {
    let instance = house();
    let ids: BTreeSet<String> =
        (0..3).map(|_| sleeper(&instance, "http 80", &[limited(1, 1)])).collect();
    let lingering: Vec<_> = (0..3).map(|_| linger(&instance)).collect();
    let served: BTreeSet<String> = lingering.iter().map(|(_, machine)| machine.clone()).collect();
    assert_eq!(served, ids);
    for id in &ids {
        assert_eq!(starts(&instance, id).len(), 1, "{id}");
    }
}

#[test]
fn above_the_soft_limit_visitors_are_served_and_help_is_woken() {
    let instance = house();
    let one = sleeper(&instance, "http 80", &[limited(1, 10)]);
    let (_lingering, machine) = linger(&instance);
    assert_eq!(machine, one);
    let two = sleeper(&instance, "http 80", &[limited(1, 10)]);
    let reply = instance.visit(HTTP, HOST, "/");
    expect_from(&reply, &one);
    assert_eq!(reply.header("server-timing"), None, "it was not held");
    instance.wait_for(&two, "started");
    assert_eq!(starts(&instance, &two)[0]["cause"], "knock");
    eventually("the other one helps", || {
        let reply = instance.visit(HTTP, HOST, "/");
        (reply.header("x-machine") == Some(&two)).then_some(())
    });
}

#[test]
fn visitors_spread_over_those_that_run() {
    let instance = house();
    let ids: Vec<String> = (0..2).map(|_| sleeper(&instance, "http 80", &[http()])).collect();
    for id in &ids {
        instance.start_machine(id);
        instance.wait_for_route(id, |route| route["route"]["state"]["state"] == "up");
    }
    let served: BTreeSet<String> = (0..40)
        .map(|_| instance.visit(HTTP, HOST, "/"))
        .map(|reply| reply.header("x-machine").expect("a machine").to_owned())
        .collect();
    // All of forty with the same one: once in 2^39.
    assert_eq!(served.len(), 2, "{served:?}");
}

#[test]
fn a_cordoned_machine_is_reached_only_by_its_id() {
    let instance = house();
    let id = sleeper(&instance, "http 80", &[http()]);
    drop(instance.post(&format!("{}/cordon", Instance::path(&id)), &Value::Null).expect(200));
    instance.wait_for_route(&id, |route| route["route"]["is_cordoned"] == true);
    let reply = instance.visit(HTTP, HOST, "/");
    assert_eq!((reply.status, &reply.body["code"]), (503, &json!("no_machine")), "{}", reply.text);
    assert_eq!(instance.state(&id), "stopped");
    let forced = [("fly-force-instance-id", id.as_str())];
    expect_from(&instance.visit_with(HTTP, HOST, "/", &forced), &id);
    drop(instance.post(&format!("{}/uncordon", Instance::path(&id)), &Value::Null).expect(200));
    instance.wait_for_route(&id, |route| route["route"]["is_cordoned"] == false);
    expect_from(&instance.visit(HTTP, HOST, "/"), &id);
}

#[test]
fn a_visitor_chooses_its_machine_by_headers() {
    let instance = house();
    let ids: Vec<String> = (0..3).map(|_| sleeper(&instance, "http 80", &[http()])).collect();
    for id in &ids {
        let forced = [("fly-force-instance-id", id.as_str())];
        let reply = instance.visit_with(HTTP, HOST, "/", &forced);
        expect_from(&reply, id);
        assert!(reply.header("server-timing").is_some(), "each is woken for itself");
    }
    instance.stop_machine(&ids[1]);
    instance.wait_for_route(&ids[1], |route| route["route"]["state"]["state"] == "asleep");
    for id in &ids {
        let preferred = [("fly-prefer-instance-id", id.as_str())];
        let reply = instance.visit_with(HTTP, HOST, "/", &preferred);
        expect_from(&reply, id);
        assert!(!reply.text.contains("fly-preferred-instance-unavailable"), "{}", reply.text);
    }
    let missing = "0123456789abcd";
    let reply = instance.visit_with(HTTP, HOST, "/", &[("fly-prefer-instance-id", missing)]);
    assert_eq!(reply.status, 200);
    let told = format!("fly-preferred-instance-unavailable: {missing}\n");
    assert!(reply.text.contains(&told), "{}", reply.text);
    let nonsense = instance.visit_with(HTTP, HOST, "/", &[("fly-force-instance-id", "nobody")]);
    assert_eq!(nonsense.refusal(404).code, "machine_not_routed");
}

#[test]
fn a_visitor_chooses_regions_by_headers() {
    let instance = house();
    let id = sleeper(&instance, "http 80", &[http()]);
    let region = instance.route(&id).expect("known")["route"]["region"].clone();
    let here = region.as_str().expect("a region");
    for (name, value) in [
        ("fly-prefer-region", "moon".to_owned()),
        ("fly-prefer-region", format!("moon,{here}")),
        ("fly-force-region", format!("moon, {here}")),
    ] {
        let reply = instance.visit_with(HTTP, HOST, "/", &[(name, value.as_str())]);
        expect_from(&reply, &id);
    }
    let reply = instance.visit_with(HTTP, HOST, "/", &[("fly-force-region", "moon")]);
    assert_eq!((reply.status, &reply.body["code"]), (503, &json!("no_machine")), "{}", reply.text);
}

#[test]
fn a_machine_that_fails_its_checks_gets_no_visitors() {
    let instance = house();
    let sick = json!([{"type": "http", "path": "/cut", "interval": "200ms", "timeout": "1s", "grace_period": "1ms"}]);
    let well = json!([{"type": "http", "path": "/", "interval": "200ms", "timeout": "1s", "grace_period": "1ms"}]);
    let bad = sleeper(&instance, "http 80", &[with(http(), &json!({"checks": sick}))]);
    let good = sleeper(&instance, "http 80", &[with(http(), &json!({"checks": well}))]);
    instance.start_machine(&bad);
    instance.wait_for_route(&bad, |route| route["failing"][0].is_string());
    for _ in 0..10 {
        expect_from(&instance.visit(HTTP, HOST, "/"), &good);
    }
    let forced =
        Asked { headers: &[("fly-force-instance-id", bad.as_str())], ..Asked::get(HOST, "/") };
    let reply = instance.visit_as(HTTP, &forced);
    assert_eq!(
        (reply.status, &reply.body["code"]),
        (503, &json!("no_healthy_machine")),
        "{}",
        reply.text
    );
}
