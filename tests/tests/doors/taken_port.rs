//! Somebody else has the port of a service.

use crate::house::{HOST, HTTP, door, house, made};
use std::net::TcpListener;
use testkit::instance::APP;
use testkit::{Instance, eventually};

/// What the proxy says of the door.
fn problem(instance: &Instance) -> Option<String> {
    let doors = instance.get("/v1/proxy").expect(200)["doors"].clone();
    let at = door(instance, HTTP).to_string();
    let mut doors = doors.as_array()?.iter();
    let door = doors.find(|door| door["address"].as_str().is_some_and(|a| a.starts_with(&at)))?;
    Some(door["problem"].as_str()?.to_owned())
}

#[test]
fn a_port_that_is_taken_is_told_and_opens_when_it_becomes_free() {
    let instance = house();
    let stranger = TcpListener::bind(door(&instance, HTTP)).expect("the port is free");
    let id = made(&instance, APP, "http 80", (HTTP, &["http"]));
    let problem = eventually("the problem is told", || problem(&instance));
    assert!(problem.contains("in use"), "{problem}");
    let shown = instance.cli(&["proxy", "routes"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("cannot listen"), "{shown}");
    drop(stranger);
    eventually("the door opens", || {
        let reply = instance.try_visit(HTTP, &testkit::Asked::get(HOST, "/")).ok()?;
        (reply.header("x-machine") == Some(id.as_str())).then_some(())
    });
    eventually("nothing is said of it any more", || {
        self::problem(&instance).is_none().then_some(())
    });
}
