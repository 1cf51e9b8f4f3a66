//! Checks that the proxy makes, where one sees them.

use crate::house::{House, PORT, Place, host};
use serde_json::{Value, json};
use testkit::eventually;

/// The check as the machine shows it.
fn check(house: &House, place: &Place, name: &str) -> Value {
    let machine = house.get(place, "");
    let checks = machine["checks"].as_array().unwrap_or_else(|| panic!("no checks: {machine}"));
    let found = checks.iter().find(|check| check["name"] == name);
    found.unwrap_or_else(|| panic!("no {name}: {machine}")).clone()
}

#[track_caller]
fn wait_for_status(house: &House, place: &Place, name: &str, status: &str) -> Value {
    eventually(status, || {
        let check = check(house, place, name);
        (check["status"] == status).then_some(check)
    })
}

fn readiness() -> Value {
    json!({"checks": {"ready": {"type": "tcp", "port": 81, "kind": "readiness",
        "interval": "200ms", "timeout": "2s", "grace_period": "1ms"}}})
}

#[test]
fn a_machine_that_is_not_ready_gets_no_visitors_until_it_is() {
    let house = House::new();
    let web = house.sleeper("web", &json!({}), &readiness());
    let before = check(&house, &web, "ready");
    assert_eq!(before["status"], "warning");
    assert_eq!(before["output"], "the machine is not started");
    drop(house.instance.post(&format!("{}/start", House::path(&web)), &Value::Null).expect(200));
    let failing = wait_for_status(&house, &web, "ready", "critical");
    assert!(failing["updated_at"].as_str().is_some_and(|at| at.ends_with('Z')), "{failing}");
    let listed = house.instance.get("/v1/apps/web/machines").expect(200);
    assert_eq!(listed[0]["checks"][0]["status"], "critical", "{listed}");
    let routes = house.instance.cli(&["proxy", "routes"]);
    let text = String::from_utf8_lossy(&routes.stdout).into_owned();
    assert!(text.contains("ready fails"), "{text}");
    let shown = house.instance.cli(&["machine", "show", &web.id]);
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(text.contains("check:") && text.contains("ready critical: "), "{text}");

    let listen = "setsid /bin/guest-server mute 81 >/dev/null 2>&1 </dev/null &";
    let body = json!({"command": ["/bin/sh", "-c", listen], "timeout": 30});
    drop(house.instance.post(&format!("{}/exec", House::path(&web)), &body).expect(200));
    wait_for_status(&house, &web, "ready", "passing");
    let reply = house.instance.visit(PORT, &host(&web), "/");
    assert_eq!(reply.status, 200, "{}", reply.text);
}

#[test]
fn visitors_go_to_the_one_that_is_well() {
    let house = House::new();
    let well = house.sleeper("web", &json!({}), &json!({}));
    let ill = house.sleeper("web", &json!({}), &readiness());
    for place in [&well, &ill] {
        let target = format!("{}/start", House::path(place));
        drop(house.instance.post(&target, &Value::Null).expect(200));
    }
    wait_for_status(&house, &ill, "ready", "critical");
    for _ in 0..10 {
        let reply = house.instance.visit(PORT, &host(&well), "/");
        assert_eq!(reply.header("x-machine"), Some(well.id.as_str()), "{}", reply.text);
    }
    let machine = house.get(&well, "");
    assert!(machine.get("checks").is_none(), "it has none: {machine}");
}

#[test]
fn a_check_of_a_service_is_named_and_asks_its_path() {
    let house = House::new();
    let service = json!({"checks": [
        {"type": "http", "path": "/well", "interval": "200ms", "timeout": "2s"}]});
    let web = house.awake("web", &service, &json!({}));
    let machine = house.get(&web, "");
    let name = machine["checks"][0]["name"].as_str().expect("a name").to_owned();
    assert!(name.starts_with("servicecheck-00-http-80"), "{name}");
    let passing = wait_for_status(&house, &web, &name, "passing");
    assert!(passing["output"].as_str().is_some_and(|text| text.contains("200")), "{passing}");
}
