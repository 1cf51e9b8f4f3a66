//! What the host sees of a machine, as its rules read it.

use crate::house::House;
use serde_json::{Value, json};
use testkit::eventually;

#[test]
fn rules_read_requests_and_connections_as_they_come_and_go() {
    let house = House::new();
    let policy = json!({"rules": [
        {"id": "busy", "effect": "hold", "when": "machine.inflight >= 2"},
        {"id": "left", "effect": "rest", "mode": "stop",
            "when": "machine.inflight == 0 && machine.conns_in == 0"}]});
    let web = house.awake("web", &json!({}), &json!({"policy": policy}));
    let first = house.hang(&web);
    let second = house.hang(&web);
    let signals = || house.ask(&web, "GET", "/signals", &Value::Null).expect(200);
    eventually("both count", || (signals()["inflight"] == 2).then_some(()));
    house.wait_for_keeper(&web, "rule");
    house.pass();
    let decision = || house.ask(&web, "GET", "", &Value::Null).expect(200)["decision"].clone();
    eventually("it is held", || (decision()["stance"] == "held").then_some(()));
    drop(first);
    eventually("one counts", || (signals()["inflight"] == 1).then_some(()));
    eventually("nothing holds it", || (decision()["stance"] != "held").then_some(()));
    assert_eq!(house.state(&web), "started");
    drop(second);
    house.wait_for(&web, "stopped");
    let cause = house.cause_of(&web, "stop");
    assert_eq!(cause["cause"], json!({"cause": "rule", "rule": "left"}), "{cause}");
}

#[test]
fn idleness_begins_when_the_last_visitor_leaves() {
    let house = House::new();
    let policy = json!({"rules": [
        {"id": "idle", "effect": "rest", "mode": "stop", "when": "machine.idle_s > 2"}]});
    let web = house.awake("web", &json!({}), &json!({"policy": policy}));
    let visitor = house.hang(&web);
    let signals = || house.ask(&web, "GET", "/signals", &Value::Null).expect(200);
    eventually("it is measured", || signals()["cpu_1m"].is_number().then_some(()));
    assert_eq!(signals()["idle_s"], 0);
    house.pass();
    let kept = house.wait_for_keeper(&web, "requests");
    assert_eq!(kept["n"], 1);
    assert_eq!(house.state(&web), "started");
    drop(visitor);
    house.wait_for(&web, "stopped");
}
