//! Virtual machines among others: their network, their doors, their own API.

use crate::{WAIT, config, house, started};
use serde_json::json;
use testkit::Instance;
use tests::fixture::{self, PROBE};

/// What a machine answers at its port.
const SERVE: &str = "busybox mkdir -p /www; echo here >/www/index.html; \
                     exec busybox httpd -f -p 7000 -h /www";

/// Public port of the service.
const PORT: u16 = 8080;

fn address(instance: &Instance, id: &str) -> String {
    let view = instance.get(&Instance::path(id)).expect(200);
    view["private_ip"].as_str().expect("an address").to_owned()
}

#[test]
fn virtual_machines_and_containers_are_one_network() {
    let Some(instance) = house() else { return };
    let serve = format!("exec {PROBE} serve 7000 here");
    let vms = [started(&instance, &serve, &json!({})), started(&instance, &serve, &json!({}))];
    let container = fixture::started(&instance, &serve, &json!({}));
    for id in vms.iter().chain([&container]) {
        fixture::wait_until_it_listens(&instance, id, 7000);
    }
    for (from, to) in [(&vms[0], &container), (&container, &vms[0]), (&vms[0], &vms[1])] {
        let script = format!("{PROBE} connect {} 7000", address(&instance, to));
        assert_eq!(instance.sh(from, &script).trim(), "here");
    }
    // By the resolver that they have in common.
    let said = instance.sh(&vms[0], &format!("busybox nslookup {container}.vm.test.internal"));
    assert!(said.contains(&address(&instance, &container)), "{said}");
    for id in vms.iter().chain([&container]) {
        fixture::destroy(&instance, id);
    }
}

#[test]
fn a_visitor_wakes_a_virtual_machine() {
    let Some(instance) = house() else { return };
    let service = json!({
        "internal_port": 7000,
        "ports": [{"port": PORT, "handlers": ["http"]}],
    });
    let config = config(SERVE, &json!({"services": [service]}));
    let id = instance.create_with(&json!({"config": config, "skip_launch": true}));
    instance.wait_for(&id, "stopped");
    instance.wait_for_route(&id, |machine| machine["route"]["state"]["state"] == "asleep");
    let reply = instance.visit(PORT, "test.localhost", "/");
    assert_eq!((reply.status, reply.text.trim()), (200, "here"), "{}", reply.text);
    assert_eq!(instance.state(&id), "started");
    fixture::destroy(&instance, &id);
}

#[test]
fn it_asks_about_itself_from_inside() {
    let Some(instance) = house() else { return };
    let id = started(&instance, WAIT, &json!({}));
    let said = instance.sh(&id, "dm set scratch.mood=calm && dm get");
    assert!(said.contains("calm"), "{said}");
    fixture::destroy(&instance, &id);
}

#[test]
fn it_puts_itself_to_sleep_and_stops_itself() {
    let Some(instance) = house() else { return };
    let id = started(&instance, WAIT, &json!({}));
    // Whoever says it is gone before the answer comes.
    let later = |script: &str| {
        let script = format!("setsid /bin/sh -c '{script}' >/dev/null 2>&1 </dev/null &");
        drop(instance.sh(&id, &script));
    };
    let itself = "/v1/apps/$FLY_APP_NAME/machines/$FLY_MACHINE_ID";
    for suspend in ["dm suspend".to_owned(), format!("{PROBE} api POST {itself}/suspend")] {
        drop(instance.sh(&id, "echo here >/dev/shm/note"));
        later(&suspend);
        instance.wait_for(&id, "suspended");
        let view = instance.get(&Instance::path(&id)).expect(200);
        assert_eq!(view["sleep"]["depth"], "suspend", "{view}");
        instance.start_machine(&id);
        assert_eq!(instance.sh(&id, "cat /dev/shm/note").trim(), "here");
    }
    for stop in ["dm stop".to_owned(), format!("{PROBE} api POST {itself}/stop")] {
        later(&stop);
        instance.wait_for(&id, "stopped");
        instance.start_machine(&id);
    }
    fixture::destroy(&instance, &id);
}
