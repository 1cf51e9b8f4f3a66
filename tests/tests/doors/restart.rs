//! The whole daemon ends and comes again, as by `systemctl restart` and `stop`.

use crate::house::{
    HOST, HOST_ASLEEP, HTTP, RAW, asleep, house, is_alive, proxies, proxy, supervisor, terminate,
    two_up, up, wait_for_other_proxy,
};
use crate::load::Load;
use std::time::Duration;
use testkit::{Instance, eventually, within};

/// Longest time until a proxy whose daemon does not come again has closed its doors and ended: 30 s
/// for a successor, 30 s for what is under way, and as much for a host that is busy.
const ENDED_WITHIN: Duration = Duration::from_secs(120);

/// Ends the daemon as a service manager does.
#[track_caller]
fn end(instance: &mut Instance) {
    terminate(supervisor(instance));
    assert_eq!(instance.wait_for_its_end(), Some(0));
}

#[test]
fn no_request_fails_while_the_daemon_is_restarted() {
    let mut instance = house();
    two_up(&instance);
    let sleeper = asleep(&instance);
    let load = Load::begin(&instance);
    for _ in 0..3 {
        end(&mut instance);
        load.goes_on(10);
        instance.start_again();
        load.goes_on(10);
    }
    let woken = eventually("sleepers wake again", || {
        let reply = instance.visit(HTTP, HOST_ASLEEP, "/");
        (reply.status == 200).then_some(reply)
    });
    assert_eq!(woken.header("x-machine"), Some(sleeper.as_str()));
    load.end();
    eventually("one proxy is left", || (proxies(&instance).len() == 1).then_some(()));
}

#[test]
fn the_doors_are_closed_when_the_daemon_does_not_come_again() {
    let mut instance = house();
    let id = up(&instance, "http 80", HTTP, &["http"]);
    let before = proxy(&instance);
    end(&mut instance);
    assert_eq!(instance.visit(HTTP, HOST, "/").header("x-machine"), Some(id.as_str()));
    within(ENDED_WITHIN, "the door is closed", || {
        instance.try_connect(HTTP).is_err().then_some(())
    });
    within(ENDED_WITHIN, "the proxy ends", || (!is_alive(before)).then_some(()));
    // The machine has run on, and is served again.
    instance.start_again();
    instance.wait_until_served(&id);
    assert_eq!(instance.visit(HTTP, HOST, "/").header("x-machine"), Some(id.as_str()));
}

#[test]
fn down_ends_a_proxy_that_waits_for_another_daemon_at_once() {
    let mut instance = house();
    up(&instance, "http 80", HTTP, &["http"]);
    let before = proxy(&instance);
    end(&mut instance);
    assert!(is_alive(before));
    let down = instance.cli(&["down", "--force"]);
    assert!(down.status.success(), "{}", String::from_utf8_lossy(&down.stderr));
    assert!(!is_alive(before));
    assert!(instance.try_connect(HTTP).is_err());
}

#[test]
fn down_ends_a_proxy_that_was_replaced_and_still_serves_somebody() {
    let mut instance = house();
    up(&instance, "echo 80", RAW, &[]);
    let mut visitor = instance.connect(RAW);
    std::io::Write::write_all(&mut visitor, b"x").expect("sent");
    std::io::Read::read_exact(&mut visitor, &mut [0]).expect("sent back");
    let before = proxy(&instance);
    end(&mut instance);
    instance.start_again();
    eventually("the next proxy has the doors", || (proxies(&instance).len() == 2).then_some(()));
    assert!(is_alive(before), "it serves the visitor");
    let served = format!("process {before} was replaced and still serves\n");
    eventually("both are told of", || {
        let routes = instance.cli(&["proxy", "routes"]);
        String::from_utf8_lossy(&routes.stdout).contains(&served).then_some(())
    });
    let down = instance.cli(&["down", "--force"]);
    assert!(down.status.success(), "{}", String::from_utf8_lossy(&down.stderr));
    assert!(!is_alive(before));
    instance.wait_for_its_end();
}

#[test]
fn a_proxy_told_to_end_is_started_again() {
    let instance = house();
    let id = up(&instance, "http 80", HTTP, &["http"]);
    let before = proxy(&instance);
    terminate(before);
    wait_for_other_proxy(&instance, before);
    eventually("a visitor is served", || {
        let reply = instance.try_visit(HTTP, &testkit::Asked::get(HOST, "/")).ok()?;
        (reply.header("x-machine") == Some(id.as_str())).then_some(())
    });
}
