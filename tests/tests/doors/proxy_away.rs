//! The proxy dies, or hangs.

use crate::house::{
    HOST, HTTP, RAW, house, is_alive, proxies, proxy, two_up, up, wait_for_other_proxy,
};
use crate::load::Load;
use std::time::Duration;
use testkit::{Instance, eventually, instance, within};
use tests::fixture::Held;

/// Longest time until a proxy that hangs is given up: it may be silent for 10 s.
const GIVEN_UP_WITHIN: Duration = Duration::from_secs(90);

/// A new visitor is served by the machine.
fn is_served(instance: &Instance, id: &str) -> bool {
    let asked = testkit::Asked::get(HOST, "/");
    let reply = instance.try_visit(HTTP, &asked);
    reply.is_ok_and(|reply| reply.header("x-machine") == Some(id))
}

#[test]
fn the_doors_open_again_when_the_proxy_was_killed() {
    let instance = house();
    let id = up(&instance, "http 80", HTTP, &["http"]);
    for _ in 0..3 {
        let before = proxy(&instance);
        instance::kill(before);
        wait_for_other_proxy(&instance, before);
        eventually("a visitor is served", || is_served(&instance, &id).then_some(()));
    }
    instance.wait_for_route(&id, |machine| machine["route"]["state"]["state"] == "up");
}

#[test]
fn a_proxy_without_control_opens_the_doors_that_the_last_one_knew() {
    let instance = house();
    let id = up(&instance, "http 80", HTTP, &["http"]);
    eventually("the routes are written down", || {
        let routes = std::fs::read_to_string(instance.data_dir().join("routes.json")).ok()?;
        (routes.contains(&id) && routes.contains("\"up\"")).then_some(())
    });
    // It lives, and answers nobody.
    let held = Held::processes(vec![instance.control_pid()]);
    let before = proxy(&instance);
    instance::kill(before);
    wait_for_other_proxy(&instance, before);
    eventually("a visitor is served", || is_served(&instance, &id).then_some(()));
    drop(held);
    instance.wait_for_route(&id, |machine| machine["route"]["state"]["state"] == "up");
}

#[test]
fn a_proxy_whose_supervisor_was_killed_keeps_the_doors_until_the_next_one_has_them() {
    let mut instance = house();
    two_up(&instance);
    let load = Load::begin(&instance);
    let before = proxy(&instance);
    instance.end_process();
    load.goes_on(20);
    assert_eq!(proxies(&instance), [before], "nobody is left but the proxy");
    instance.start_again();
    eventually("the next proxy is there", || (proxies(&instance).len() == 2).then_some(()));
    load.goes_on(20);
    // It keeps its connection of raw bytes, which nobody can take over, until that ends.
    assert!(is_alive(before));
    load.end();
    wait_for_other_proxy(&instance, before);
    assert!(instance.try_connect(RAW).is_ok());
}

#[test]
fn a_proxy_that_hangs_is_given_up_by_the_next_one() {
    let mut instance = house();
    let id = up(&instance, "http 80", HTTP, &["http"]);
    let before = proxy(&instance);
    let held = Held::processes(vec![before]);
    instance.end_process();
    instance.start_again();
    within(GIVEN_UP_WITHIN, "the one that hangs is ended", || (!is_alive(before)).then_some(()));
    // Its process is gone: nobody is there to be let go on.
    std::mem::forget(held);
    within(GIVEN_UP_WITHIN, "a visitor is served", || is_served(&instance, &id).then_some(()));
}
