//! What owners put on machines: labels, leases, cordons.

use serde_json::{Value, json};
use testkit::{Instance, http};
use tests::fixture::{started, with_busybox};

fn send(
    instance: &Instance,
    method: &str,
    target: &str,
    nonce: &str,
    body: &Value,
) -> testkit::Reply {
    let endpoint = instance.endpoint().expect("it listens");
    let socket = endpoint["unix"].as_str().expect("a path").to_owned();
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let headers = [("fly-machine-lease-nonce", nonce)];
    http::request(socket.as_ref(), method, target, &headers, body.as_bytes()).expect("an answer")
}

#[test]
fn labels_change_without_a_restart_and_select_machines() {
    let instance = with_busybox();
    let id = started(&instance, "exec sleep 1000", &json!({"metadata": {"role": "web"}}));
    let other = started(&instance, "exec sleep 1000", &json!({}));
    let path = Instance::path(&id);
    let before = instance.get(&path).expect(200)["instance_id"].clone();
    assert_eq!(instance.post(&format!("{path}/metadata/tier"), &json!({"value": "1"})).status, 204);
    let change = json!({"metadata": {"role": "api", "tier": null, "new": "x"}});
    assert_eq!(instance.request("PATCH", &format!("{path}/metadata"), &change).status, 204);
    let all = instance.get(&format!("{path}/metadata")).expect(200);
    assert_eq!(all, json!({"role": "api", "new": "x"}));
    assert_eq!(instance.get(&path).expect(200)["instance_id"], before);
    let list = instance.get("/v1/apps/test/machines?metadata.role=api").expect(200);
    let ids: Vec<_> = list.as_array().expect("a list").iter().map(|m| m["id"].clone()).collect();
    assert_eq!(ids, [json!(id)]);
    assert_eq!(instance.delete(&format!("{path}/metadata/new")).status, 204);
    assert_eq!(instance.get(&format!("{path}/metadata/new")).status, 404);
    assert_eq!(instance.state(&other), "started");
}

#[test]
fn a_lease_keeps_others_away_until_it_is_released() {
    let instance = with_busybox();
    let id = started(&instance, "exec sleep 1000", &json!({}));
    let path = Instance::path(&id);
    let lease = instance.post(&format!("{path}/lease"), &json!({"ttl": 60}));
    assert!(matches!(lease.status, 200 | 201), "{}", lease.text);
    let nonce = lease.body["data"]["nonce"].as_str().expect("a nonce").to_owned();
    for (method, target) in [
        ("POST", format!("{path}/stop")),
        ("DELETE", format!("{path}?force=true")),
        ("POST", format!("{path}/restart")),
    ] {
        assert_eq!(instance.request(method, &target, &Value::Null).refusal(409).code, "lease_held");
        let wrong = send(&instance, method, &target, "0123456789ab", &Value::Null);
        assert_eq!(wrong.refusal(409).code, "lease_held");
    }
    let exec = instance.post(&format!("{path}/exec"), &json!({"command": ["/bin/true"]}));
    assert_eq!(exec.refusal(409).code, "lease_held");
    assert_eq!(instance.state(&id), "started");
    drop(send(&instance, "POST", &format!("{path}/stop"), &nonce, &Value::Null).expect(200));
    instance.wait_for(&id, "stopped");
    drop(send(&instance, "DELETE", &format!("{path}/lease"), &nonce, &Value::Null).expect(200));
    instance.start_machine(&id);
}

#[test]
fn a_lease_outlives_control_and_ends_by_itself() {
    let instance = with_busybox();
    let id = started(&instance, "exec sleep 1000", &json!({}));
    let path = Instance::path(&id);
    let lease = instance.post(&format!("{path}/lease"), &json!({"ttl": 3}));
    assert!(matches!(lease.status, 200 | 201), "{}", lease.text);
    instance.kill_control();
    assert_eq!(
        instance.post(&format!("{path}/stop"), &Value::Null).refusal(409).code,
        "lease_held"
    );
    testkit::eventually("the lease ends", || {
        (instance.post(&format!("{path}/stop"), &Value::Null).status == 200).then_some(())
    });
}

#[test]
fn a_cordon_is_shown_and_lifted() {
    let instance = with_busybox();
    let id = started(&instance, "exec sleep 1000", &json!({}));
    let path = Instance::path(&id);
    drop(instance.post(&format!("{path}/cordon"), &Value::Null).expect(200));
    assert_eq!(instance.get(&path).expect(200)["cordoned"], true);
    drop(instance.post(&format!("{path}/uncordon"), &Value::Null).expect(200));
    assert_eq!(instance.get(&path).expect(200)["cordoned"], false);
}
