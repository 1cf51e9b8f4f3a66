//! Callers without a right.

use crate::MACHINES;
use serde_json::{Value, json};
use std::process::Command;
use testkit::Instance;
use tests::fixture;

/// Calls over TCP, where a token is needed; status and body.
fn call(instance: &Instance, token: Option<&str>, method: &str, target: &str) -> (u16, Value) {
    let endpoint = instance.endpoint().expect("it listens");
    let address = endpoint["tcp"].as_str().expect("an address");
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--max-time", "20", "--write-out", "\n%{http_code}", "-X", method]);
    if let Some(token) = token {
        curl.args(["-H", &format!("Authorization: {token}")]);
    }
    let output = curl.arg(format!("http://{address}{target}")).output().expect("curl");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (body, status) = text.rsplit_once('\n').expect("a status");
    (status.parse().expect("a number"), serde_json::from_str(body).unwrap_or(Value::Null))
}

#[track_caller]
fn check(instance: &Instance, token: Option<&str>, call_of: (&str, &str), status: u16) {
    let (method, target) = call_of;
    let (got, body) = call(instance, token, method, target);
    assert_eq!(got, status, "{method} {target}: {body}");
    if status >= 400 {
        let code = if status == 401 { "unauthenticated" } else { "permission_denied" };
        assert_eq!(body["code"], code, "{body}");
        assert!(body["hint"].is_string() && body["retryable"] == false, "{body}");
    }
}

fn token(instance: &Instance, wish: &Value) -> String {
    let made = instance.post("/v1/tokens", wish).expect(201);
    format!("Bearer {}", made["token"].as_str().expect("a token"))
}

#[test]
fn no_token_and_no_valid_token_are_the_same() {
    let instance = Instance::start();
    instance.ensure_app();
    for token in [
        None,
        Some(""),
        Some("Bearer"),
        Some("Bearer "),
        Some("Bearer wrong"),
        Some("Basic cm9vdDo="),
        Some("Bearer fm2_AAAA,fm2_BBBB"),
        Some(&*format!("Bearer {}", "x".repeat(8000))),
    ] {
        check(&instance, token, ("GET", MACHINES), 401);
        check(&instance, token, ("DELETE", "/v1/apps/test"), 401);
    }
    assert_eq!(call(&instance, None, "GET", "/healthz").0, 200);
}

#[test]
fn tokens_reach_as_far_as_their_scope() {
    let instance = fixture::with_busybox();
    let id = fixture::started(&instance, "exec sleep 600", &json!({}));
    let other = fixture::started(&instance, "exec sleep 600", &json!({}));
    drop(instance.post("/v1/apps", &json!({"name": "other", "org_slug": "personal"})).expect(201));
    let (own, others) = (Instance::path(&id), Instance::path(&other));
    let stop = format!("{own}/stop");

    let reader = token(&instance, &json!({"name": "reader", "rights": "read"}));
    check(&instance, Some(&reader), ("GET", &own), 200);
    check(&instance, Some(&reader), ("POST", &stop), 403);
    check(&instance, Some(&reader), ("DELETE", &own), 403);
    check(&instance, Some(&reader), ("GET", "/v1/tokens"), 403);

    let app = token(&instance, &json!({"name": "app", "app": "test"}));
    check(&instance, Some(&app), ("GET", MACHINES), 200);
    check(&instance, Some(&app), ("GET", "/v1/apps/other/machines"), 403);
    check(&instance, Some(&app), ("DELETE", "/v1/apps/other"), 403);
    check(&instance, Some(&app), ("POST", "/v1/images/import"), 403);

    let machine = token(&instance, &json!({"name": "machine", "machine": id}));
    check(&instance, Some(&machine), ("GET", &own), 200);
    check(&instance, Some(&machine), ("GET", &others), 403);
    check(&instance, Some(&machine), ("POST", &format!("{others}/stop")), 403);
    check(&instance, Some(&machine), ("POST", MACHINES), 403);

    let all = instance.get("/v1/tokens").expect(200);
    let reader_id = all.as_array().expect("a list").iter().find(|t| t["name"] == "reader");
    let reader_id = reader_id.and_then(|token| token["id"].as_str()).expect("an id");
    assert_eq!(instance.delete(&format!("/v1/tokens/{reader_id}")).status, 200);
    check(&instance, Some(&reader), ("GET", &own), 401);
    assert_eq!(instance.state(&other), "started");
}
