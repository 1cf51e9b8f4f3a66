//! Regions, placements, addresses, volumes, RAM, use: what clients ask of a platform.

use serde_json::{Value, json};
use testkit::instance::APP;
use testkit::{Builder, Instance};
use tests::fixture::{started, with_busybox};

#[test]
fn the_one_region_has_the_name_that_it_was_given() {
    let instance = Builder::default().arg("--region=attic").start();
    let regions = instance.get("/v1/platform/regions").expect(200);
    assert_eq!(
        (&regions["nearest"], &regions["regions"][0]["code"]),
        (&json!("attic"), &json!("attic"))
    );
}

#[test]
fn placements_are_where_there_is_room() {
    let instance = Instance::start();
    let place = |wish: Value| instance.post("/v1/platform/placements", &wish);
    let placed = place(json!({"org_slug": "personal", "count": 3})).expect(200);
    assert_eq!(placed["regions"][0]["region"], "local");
    let all = place(json!({"org_slug": "personal", "compute": {"cpus": 1, "memory_mb": 256}}))
        .expect(200);
    let n = all["regions"][0]["count"].as_u64().expect("a number");
    assert!(n > 3, "{all}");
    let large = json!({"cpu_kind": "performance", "cpus": 128, "memory_mb": 1_048_576});
    let none = place(json!({"org_slug": "personal", "compute": large})).expect(200);
    assert_eq!(none["regions"], json!([]));
    assert_eq!(
        place(json!({})).refusal(400).error,
        "authorization: request doesn't contain org_slug"
    );
    assert_eq!(
        place(json!({"org_slug": "a", "compute": {"cpus": 3}})).refusal(400).code,
        "invalid_guest"
    );
    assert_eq!(place(json!({"org_slug": "a", "volume_name": "v"})).status, 422);
}

#[test]
fn an_app_has_the_address_of_the_host_and_no_other() {
    let instance = Instance::start();
    instance.ensure_app();
    let target = format!("/v1/apps/{APP}/ip_assignments");
    let address = instance.door_address().to_string();
    let listed = instance.get(&target).expect(200);
    assert_eq!(listed["ips"][0]["ip"], address);
    assert_eq!(listed["ips"][0]["shared"], true);
    let wish = |kind: &str| json!({"type": kind, "region": "", "org_slug": "", "network": ""});
    assert_eq!(instance.post(&target, &wish("shared_v4")).expect(200)["ip"], address);
    for kind in ["v4", "v6", "private_v6", "egress_v4", "egress_v6", "egress_pair"] {
        let refusal = instance.post(&target, &wish(kind)).refusal(422);
        assert_eq!(refusal.code, "unsupported_field", "{kind}");
    }
    assert_eq!(instance.post(&target, &wish("v7")).refusal(400).code, "invalid_parameter");
    assert_eq!(instance.delete(&format!("{target}/{address}")).status, 422);
    assert_eq!(
        instance.delete(&format!("{target}/192.0.2.7")).refusal(404).code,
        "address_not_found"
    );
}

#[test]
fn without_a_proxy_there_is_no_address() {
    let instance = Builder::default().arg("--no-proxy").start();
    instance.ensure_app();
    let target = format!("/v1/apps/{APP}/ip_assignments");
    assert_eq!(instance.get(&target).expect(200), json!({"ips": []}));
    assert_eq!(instance.post(&target, &json!({"type": "shared_v4"})).status, 422);
}

#[test]
fn there_are_no_volumes_and_lists_say_so() {
    let instance = Instance::start();
    instance.ensure_app();
    let target = format!("/v1/apps/{APP}/volumes");
    assert_eq!(instance.get(&target).expect(200), json!([]));
    assert_eq!(instance.get("/v1/orgs/personal/volumes").expect(200)["volumes"], json!([]));
    assert_eq!(
        instance.post(&target, &json!({"name": "data"})).refusal(422).code,
        "unsupported_field"
    );
    assert_eq!(instance.get(&format!("{target}/vol_1")).refusal(404).code, "volume_not_found");
    assert_eq!(instance.delete(&format!("{target}/vol_1")).status, 404);
}

#[test]
fn ram_is_told_and_cannot_be_taken() {
    let instance = with_busybox();
    let id = started(&instance, "exec sleep 1000", &json!({}));
    let path = format!("{}/memory", Instance::path(&id));
    let shown = instance.get(&path).expect(200);
    assert_eq!(shown["limit_mb"], 256);
    assert!(shown["available_mb"].as_u64().is_some_and(|n| (100..256).contains(&n)), "{shown}");
    assert_eq!(
        instance.request("PUT", &path, &json!({"limit_mb": 256})).expect(200)["limit_mb"],
        256
    );
    let refusal = instance.request("PUT", &path, &json!({"limit_mb": 512})).refusal(422);
    assert_eq!(refusal.code, "no_balloon");
    assert_eq!(instance.request("PUT", &path, &json!({})).refusal(400).code, "limit_missing");
    let taken = instance.post(&format!("{path}/reclaim"), &json!({"amount_mb": 10})).expect(200);
    assert_eq!(taken, json!({"actual_mb": 0}));
    instance.stop_machine(&id);
    assert_eq!(instance.get(&path).expect(200), json!({"limit_mb": 256, "available_mb": 256}));
}

#[test]
fn the_use_of_an_app_is_that_of_its_machines_also_of_those_that_are_gone() {
    let instance = with_busybox();
    let (a, b) = (
        started(&instance, "exec sleep 1000", &json!({})),
        started(&instance, "exec sleep 1000", &json!({})),
    );
    tests::fixture::let_pass(std::time::Duration::from_millis(300));
    drop(instance.delete(&format!("{}?force=true", Instance::path(&b))).expect(200));
    instance.wait_for(&b, "destroyed");
    let target = format!("/v1/apps/{APP}/usage");
    let used = instance.get(&target).expect(200);
    let machines = used["machines"].as_array().expect("a list");
    let of = |id: &str| {
        let found = machines.iter().find(|machine| machine["machine_id"] == id);
        found.and_then(|machine| machine["started_s"].as_f64()).expect("it was used")
    };
    assert!(of(&a) >= 0.3 && of(&b) >= 0.3, "{used}");
    let sum = used["started_s"].as_f64().expect("a number");
    assert!((sum - of(&a) - of(&b)).abs() < 1e-6, "{used}");
    let before = instance.get(&format!("{target}?until=2020-01-01T00:00:00Z")).expect(200);
    assert_eq!((&before["started_s"], &before["machines"]), (&json!(0.0), &json!([])));
    assert_eq!(instance.get(&format!("{target}?since=soon")).status, 400);
}
