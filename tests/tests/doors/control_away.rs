//! Control dies.

use crate::house::{HOST_ASLEEP, HTTP, asleep, house, supervisor, two_up};
use crate::load::Load;
use std::time::Duration;
use testkit::{Instance, eventually, instance};
use tests::fixture::Held;

/// A wake while nobody can wake.
#[track_caller]
fn expect_unavailable(instance: &Instance) {
    let reply = instance.visit(HTTP, HOST_ASLEEP, "/");
    assert_eq!(reply.body["code"], "control_unavailable", "{}", reply.text);
    assert_eq!((reply.status, &reply.body["retryable"]), (503, &true.into()), "{}", reply.text);
    let again = reply.header("retry-after").and_then(|text| text.parse::<u32>().ok());
    assert!(again.is_some_and(|seconds| seconds > 0), "{reply:?}");
}

#[test]
fn machines_that_run_are_served_while_control_is_away_and_sleepers_are_not() {
    let instance = house();
    two_up(&instance);
    let sleeper = asleep(&instance);
    let load = Load::begin(&instance);
    // Nobody starts control again as long as the supervisor is held.
    let held = Held::processes(vec![supervisor(&instance)]);
    let control = instance.control_pid();
    instance::kill(control);
    expect_unavailable(&instance);
    load.goes_on(50);
    expect_unavailable(&instance);
    drop(held);
    eventually("another control listens", || (instance.control_pid() != control).then_some(()));
    let woken = eventually("sleepers wake again", || {
        let reply = instance.visit(HTTP, HOST_ASLEEP, "/");
        (reply.status == 200).then_some(reply)
    });
    assert_eq!(woken.header("x-machine"), Some(sleeper.as_str()));
    load.goes_on(20);
    load.end();
}

#[test]
fn no_request_fails_however_often_control_is_killed() {
    let instance = house();
    two_up(&instance);
    let load = Load::begin(&instance);
    for _ in 0..5 {
        instance.kill_control();
        load.goes_on(5);
    }
    load.end();
}

#[test]
fn who_knocks_just_before_control_dies_is_let_in_by_the_next_one() {
    let instance = house();
    let sleeper = asleep(&instance);
    // Held, control hears the knock and does not answer it.
    let held = Held::processes(vec![instance.control_pid()]);
    let reply = std::thread::scope(|scope| {
        let visitor = scope.spawn(|| instance.visit(HTTP, HOST_ASLEEP, "/"));
        tests::fixture::let_pass(Duration::from_millis(100));
        instance::kill(instance.control_pid());
        visitor.join().expect("an answer")
    });
    std::mem::forget(held);
    // It comes back within the second that visitors are held for it, or says when to try again.
    match reply.status {
        200 => assert_eq!(reply.header("x-machine"), Some(sleeper.as_str())),
        503 => assert_eq!(reply.body["code"], "control_unavailable", "{}", reply.text),
        other => panic!("{other}: {}", reply.text),
    }
    eventually("the machine wakes", || {
        (instance.visit(HTTP, HOST_ASLEEP, "/").status == 200).then_some(())
    });
}
