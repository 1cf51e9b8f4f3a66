//! Services put their machine to rest when nobody visits it.

use crate::house::{House, stops};
use serde_json::{Value, json};

#[test]
fn a_machine_that_nobody_visits_is_stopped_and_woken_and_says_why_each_time() {
    let house = House::new();
    let web = house.awake("web", &stops(), &json!({}));
    let woken = house.cause_of(&web, "start");
    assert_eq!(woken["cause"]["cause"], "knock", "{woken}");
    assert_eq!(woken["cause"]["request"]["path"], "/", "{woken}");
    house.pass();
    house.wait_for(&web, "stopped");
    let stopped = house.cause_of(&web, "stop");
    assert_eq!(stopped["cause"], json!({"cause": "idle", "after": 1_000}), "{stopped}");
    assert_eq!(stopped["message"], "by autostop, after 1 s without visitors");
    assert_eq!(stopped["source"], "flyd");
    let told = house.explain(&web)["sentence"].clone();
    let told = told.as_str().expect("a sentence");
    assert!(told.starts_with("asleep by autostop, after 1 s without visitors"), "{told}");
    house.visit(&web);
    assert_eq!(house.state(&web), "started");
}

#[test]
fn suspend_is_as_deep_as_the_engine_can_with_its_ram() {
    let house = House::new();
    let suspend = json!({"autostop": "suspend", "idle_timeout_s": 1});
    let web = house.awake("web", &suspend, &json!({}));
    let run = |reply: testkit::Reply| reply.header("x-run").expect("a run").to_owned();
    let before = run(house.visit(&web));
    house.pass();
    house.wait_for(&web, "suspended");
    assert_eq!(house.get(&web, "")["sleep"]["depth"], "freeze");
    let cause = house.cause_of(&web, "suspend");
    assert_eq!(cause["cause"]["cause"], "idle", "{cause}");
    assert_eq!(run(house.visit(&web)), before, "its RAM was kept");
    assert_eq!(house.state(&web), "started");
}

/// Beside them one that is put to rest shows that the moment has come.
#[test]
fn off_means_never_and_so_does_no_service() {
    let house = House::new();
    let off = house.awake("off", &json!({"autostop": "off", "idle_timeout_s": 1}), &json!({}));
    let unset = house.awake("unset", &json!({}), &json!({}));
    let on = house.awake("on", &stops(), &json!({}));
    house.pass();
    house.wait_for(&on, "stopped");
    for place in [&off, &unset] {
        assert_eq!(house.state(place), "started");
        assert_eq!(house.keepers(place), ["nothing"]);
    }
}

#[test]
fn a_new_control_process_goes_on_counting() {
    let house = House::new();
    let web = house.awake("web", &stops(), &json!({}));
    house.instance.kill_control();
    house.pass();
    house.wait_for(&web, "stopped");
    assert_eq!(house.cause_of(&web, "stop")["cause"]["cause"], "idle");
}

#[test]
fn two_of_whom_one_is_needed_never_rest_both() {
    let house = House::new();
    let service = json!({"autostop": "stop", "idle_timeout_s": 1, "min_machines_running": 1});
    let both = [(); 2].map(|()| house.awake("web", &service, &json!({})));
    house.pass();
    let is_up = |place| house.state(place) == "started";
    let (stays, rests) = testkit::eventually("one of them rests", || match both.each_ref() {
        [a, b] if is_up(a) && !is_up(b) => Some((a, b)),
        [a, b] if is_up(b) && !is_up(a) => Some((b, a)),
        [a, b] => {
            assert!(is_up(a) || is_up(b), "both rest");
            None
        }
    });
    house.wait_for(rests, "stopped");
    house.wait_for_keeper(stays, "min_machines_running");
    house.pass();
    // A write is looked at after whatever the clock has brought about.
    drop(house.ask(stays, "PATCH", "/memory", &json!({"scratch.n": 1})).expect(200));
    house.wait_for_keeper(stays, "min_machines_running");
    assert_eq!(house.state(stays), "started");

    // Another is up: now this one may.
    house.visit(rests);
    house.pass();
    testkit::eventually("one of them rests", || (is_up(stays) != is_up(rests)).then_some(()));
}

#[test]
fn its_own_show_tells_what_keeps_it() {
    let house = House::new();
    let web = house.awake("web", &stops(), &json!({}));
    let _visitor = house.hang(&web);
    house.wait_for_keeper(&web, "requests");
    let shown = house.instance.cli(&["machine", "show", &web.id]);
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(text.contains("awake for: 1 request under way"), "{text}");
    let shown = house.instance.cli(&["--json", "machine", "show", &web.id]);
    let shown: Value = serde_json::from_slice(&shown.stdout).expect("JSON");
    let awake = shown["awake"].as_array().expect("a list");
    assert!(awake.iter().any(|keeper| keeper["by"] == "requests" && keeper["n"] == 1), "{shown}");
    assert_eq!(shown["state"], "started");
}
