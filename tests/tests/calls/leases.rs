//! Somebody else's lease: every call that changes a machine is refused, in every state.

use crate::asked::ask;
use crate::states::{Kind, RESTING, machine_in};
use crate::table::rows;
use serde_json::{Value, json};
use testkit::Instance;
use testkit::instance::APP;
use tests::fixture::with_token;

/// Further calls that a lease stops, beside those of the table.
const MORE: [(&str, &str); 8] = [
    ("POST", "/cordon"),
    ("POST", "/uncordon"),
    ("PATCH", "/metadata"),
    ("POST", "/metadata/k"),
    ("DELETE", "/metadata/k"),
    ("PUT", "/memory"),
    ("POST", "/memory/reclaim"),
    ("POST", "/lease"),
];

#[test]
fn a_lease_of_somebody_else_comes_before_every_state() {
    let instance = Instance::start();
    for row in rows() {
        if matches!(row.state.as_str(), "destroyed" | RESTING) {
            continue;
        }
        let id = machine_in(&instance, Kind::Fake, &row.state);
        let path = Instance::path(&id);
        let lease = instance.post(&format!("{path}/lease"), &json!({"ttl": 600})).expect(201);
        let nonce = lease["data"]["nonce"].as_str().expect("a nonce");
        let expected =
            format!("aborted: machine ID {id} lease currently held by local, expires at ");
        for (call, _) in &row.cells {
            for reply in ask(&instance, Kind::Fake, &id, call) {
                let said = reply.refusal(409);
                assert!(said.error.starts_with(&expected), "{}: {call}: {said:?}", row.state);
                assert_eq!(said.code, "lease_held");
            }
        }
        for (method, verb) in MORE {
            let body = json!({"metadata": {"k": "v"}, "value": "v", "limit_mb": 256});
            let body = if method == "DELETE" { &Value::Null } else { &body };
            let reply = instance.request(method, &format!("{path}{verb}"), body);
            assert!(reply.refusal(409).error.starts_with(&expected), "{}: {verb}", row.state);
        }
        let held = [("fly-machine-lease-nonce", nonce)];
        let released = instance.request_with("DELETE", &format!("{path}/lease"), &held, &json!({}));
        assert_eq!(released.status, 200, "{}", released.text);
    }
}

/// Who ends an instance ends its machines: none is left behind for want of a nonce.
#[test]
fn the_owner_who_insists_passes_a_lease_and_nobody_else_does() {
    let instance = Instance::start();
    let id = machine_in(&instance, Kind::Fake, "started");
    let token = instance.post("/v1/tokens", &json!({"name": "other", "app": APP})).expect(201);
    let token = token["token"].as_str().expect("a token");
    let path = Instance::path(&id);
    drop(instance.post(&format!("{path}/lease?ttl=600"), &json!(null)).expect(201));
    let stop = format!("{path}/stop?override=1");
    let other = with_token(&instance, token, "POST", &stop, &json!({}));
    assert_eq!(other.refusal(409).code, "lease_held");
    drop(instance.post(&stop, &json!({})).expect(200));
    instance.wait_for(&id, "stopped");
    drop(instance.post(&format!("{path}/start?override=1"), &json!({})).expect(200));
    // The end of the instance is part of the test: it is under lease again.
    assert_eq!(instance.post(&format!("{path}/stop"), &json!({})).refusal(409).code, "lease_held");
}

#[test]
fn the_holder_of_a_lease_is_not_stopped_by_it() {
    let instance = Instance::start();
    let id = machine_in(&instance, Kind::Fake, "started");
    let path = Instance::path(&id);
    let lease = instance.post(&format!("{path}/lease?ttl=60"), &json!(null)).expect(201);
    let nonce = lease["nonce"].as_str().expect("also at the top");
    let with = |verb: &str, nonce: &str| {
        let header = [("fly-machine-lease-nonce", nonce)];
        instance.request_with("POST", &format!("{path}{verb}"), &header, &json!({}))
    };
    assert_eq!(with("/stop", "wrong").status, 409);
    assert_eq!(with("/stop", nonce).status, 200);
    instance.wait_for(&id, "stopped");
    assert_eq!(with("/start", &format!("  {nonce} ")).status, 200, "blanks do not count");
    let again = with("/lease?ttl=120", nonce).expect(201);
    assert_eq!(again["data"]["nonce"], nonce, "it is extended");
    assert!(again["data"]["expires_at"].as_u64() > lease["data"]["expires_at"].as_u64());
    let shown = instance.get(&format!("{path}/lease")).expect(200);
    assert!(shown["data"].get("nonce").is_none(), "{shown}");
    let machine = instance.get(&format!("{path}?include_leases=true")).expect(200);
    assert_eq!(machine["lease"]["owner"], "local");
    assert!(machine["lease"].get("nonce").is_none());
    assert!(instance.get(&path).expect(200).get("lease").is_none());
    let header = [("fly-machine-lease-nonce", nonce)];
    let released = instance.request_with("DELETE", &format!("{path}/lease"), &header, &Value::Null);
    assert_eq!(released.expect(200), json!({"status": "success", "data": {"ok": true}}));
    assert_eq!(instance.get(&format!("{path}/lease")).refusal(404).error, "lease not found");
}
