//! Outbound connections keep a machine awake that its rules would put to rest when it is idle; its
//! services look at visitors alone.

use crate::house::{House, Place, stops};
use serde_json::{Value, json};
use testkit::eventually;

/// Rests when it has been idle for more than a second, whatever that is.
fn idle() -> Value {
    json!({"rules": [{"id": "idle", "effect": "rest", "mode": "stop",
        "when": "machine.idle_s > 1"}]})
}

fn sh(house: &House, place: &Place, script: &str) -> Value {
    let body = json!({"command": ["/bin/sh", "-c", script], "timeout": 30});
    let outcome = house.instance.post(&format!("{}/exec", House::path(place)), &body).expect(200);
    assert_eq!(outcome["exit_code"], 0, "{script}: {outcome}");
    outcome
}

/// Opens a connection from one machine to another's port 80 that sends a line each second.
fn call(house: &House, from: &Place, to: &Place) {
    let v4 = house.get(to, "")["private_ipv4"].as_str().expect("an address").to_owned();
    let talk = format!(
        "(while [ ! -e /tmp/enough ]; do echo x; sleep 1; done | nc {v4} 7) >/dev/null 2>&1 </dev/null &"
    );
    sh(house, from, &format!("setsid /bin/sh -c '{talk}'"));
}

#[test]
fn a_call_to_elsewhere_keeps_it_awake_for_its_rules_and_not_for_its_services() {
    let house = House::new();
    let echo = json!({"init": {"exec": ["/bin/guest-server", "echo", "7"]}});
    let echoes = house.sleeper("calls", &json!({}), &echo);
    let started = house.instance.post(&format!("{}/start", House::path(&echoes)), &Value::Null);
    drop(started.expect(200));
    let governed = json!({"policy": idle()});
    let caller = house.awake("calls", &json!({}), &governed);
    let quiet = house.awake("calls", &json!({}), &governed);
    let served = house.awake("calls", &stops(), &json!({}));
    call(&house, &caller, &echoes);
    call(&house, &served, &echoes);

    let kept = house.wait_for_keeper(&caller, "outbound");
    assert_eq!(kept["n"], 1, "{kept}");
    let signals = house.ask(&caller, "GET", "/signals", &Value::Null).expect(200);
    assert_eq!((&signals["conns_out"], &signals["idle_s"]), (&json!(1), &json!(0)), "{signals}");

    house.pass();
    house.wait_for(&served, "stopped");
    house.wait_for(&quiet, "stopped");
    assert_eq!(house.cause_of(&quiet, "stop")["cause"]["rule"], "idle");
    assert_eq!(house.state(&caller), "started");
    house.wait_for_keeper(&caller, "outbound");

    sh(&house, &caller, "touch /tmp/enough; killall nc || true");
    eventually("the call is over", || {
        let signals = house.ask(&caller, "GET", "/signals", &Value::Null).expect(200);
        (signals["conns_out"] == 0 || house.state(&caller) != "started").then_some(())
    });
    house.wait_for(&caller, "stopped");
}
