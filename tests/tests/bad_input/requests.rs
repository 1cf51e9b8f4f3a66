//! Requests that are odd, and requests that are wrong.

use crate::{MACHINES, refused};
use serde_json::{Value, json};
use testkit::Instance;
use tests::fixture;

/// The form of an id that nobody has.
const NOBODY: &str = "00000000000000";

#[test]
fn bodies_that_are_no_objects_are_refused() {
    let instance = Instance::start();
    instance.ensure_app();
    let send = |body: &[u8]| instance.try_request("POST", MACHINES, body).expect("an answer");
    for body in [&b"{"[..], b"nonsense", b"{\"config\":", b"\xff\xfe\x00", b"{\"a\":\"\xc3\"}"] {
        refused(send(body), 400, "bad_json");
    }
    for body in [&b"[]"[..], b"7", b"\"text\"", b"true", b"[{}]"] {
        refused(send(body), 400, "wrong_type");
    }
    for body in [&b""[..], b"  \n", b"null", b"{}", b"{\"config\":null}"] {
        refused(send(body), 400, "config_missing");
    }
    let deep = format!("{{\"config\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let reply = send(deep.as_bytes());
    assert_eq!(reply.status, 400, "{}", reply.text);
    assert_eq!(instance.get("/healthz").status, 200);
}

#[test]
fn empty_bodies_and_trailing_slashes_are_accepted() {
    let instance = fixture::with_busybox();
    let id = fixture::started(&instance, "exec sleep 600", &json!({}));
    let path = Instance::path(&id);
    for (n_times, body) in ["", "null", "{}", " "].into_iter().enumerate() {
        let stopped = instance.try_request("POST", &format!("{path}/stop/"), body.as_bytes());
        assert_eq!(stopped.expect("an answer").status, 200, "{n_times}");
        instance.wait_for(&id, "stopped");
        let started = instance.try_request("POST", &format!("{path}/start///"), body.as_bytes());
        assert_eq!(started.expect("an answer").status, 200, "{n_times}");
    }
    assert_eq!(instance.get("/v1/apps/").status, 200);
    assert_eq!(instance.get(&format!("{path}/")).status, 200);
}

#[test]
fn ids_that_nobody_has_get_the_known_texts() {
    let instance = fixture::with_busybox();
    instance.ensure_app();
    let verbs = ["", "/events", "/logs", "/wait?state=started", "/lease", "/ps", "/versions"];
    for verb in verbs {
        let target = format!("{MACHINES}/{NOBODY}{verb}");
        let refusal = refused(instance.get(&target), 404, "machine_not_found");
        assert!(refusal.error.contains("machine not found"), "{target}: {}", refusal.error);
    }
    for verb in ["start", "stop", "suspend", "restart", "exec", "signal", "cordon"] {
        let target = format!("{MACHINES}/{NOBODY}/{verb}");
        let body = json!({"command": ["true"], "signal": "SIGTERM"});
        refused(instance.post(&target, &body), 404, "machine_not_found");
    }
    for id in
        ["x", "0", "ABCDEF01234567", "0e286039a42d1", "0e286039a42d188", "%2e%2e", "%F0%9F%92%A4"]
    {
        let refusal = refused(instance.get(&format!("{MACHINES}/{id}")), 404, "invalid_machine_id");
        assert!(refusal.error.starts_with("invalid machine ID, '"), "{}", refusal.error);
    }
    for app in ["nobody", "%2e%2e", "x%00y", "ä"] {
        let target = format!("/v1/apps/{}/machines", app.replace('ä', "%C3%A4"));
        refused(instance.get(&target), 404, "app_not_found");
    }
    let elsewhere = instance.get(&format!("/v1/apps/nobody/machines/{NOBODY}"));
    refused(elsewhere, 404, "app_not_found");
    assert_eq!(instance.get("/v1/nothing/here").text, "404 page not found");
    let reply = instance.request("PATCH", MACHINES, &Value::Null);
    assert_eq!(reply.status, 405, "{}", reply.text);
}

#[test]
fn commands_that_cannot_be_run_are_told_from_commands_that_fail() {
    let instance = fixture::with_busybox();
    let id = fixture::started(&instance, "exec sleep 600", &json!({}));
    let exec = |body: Value| instance.post(&format!("{}/exec", Instance::path(&id)), &body);
    for body in [json!({}), json!({"command": []}), json!({"command": [""]}), json!({"cmd": ""})] {
        refused(exec(body), 400, "invalid_command");
    }
    refused(exec(json!({"cmd": "echo 'open"})), 400, "invalid_command");
    refused(exec(json!({"command": ["a\u{0}b"]})), 400, "invalid_command");
    refused(exec(json!({"command": 7})), 400, "wrong_type");
    refused(exec(json!({"command": ["true"], "container": "x"})), 422, "unsupported_field");
    for (body, code) in [
        (json!({"command": ["/no/such/program"]}), "not_found"),
        (json!({"command": ["/etc/passwd"]}), "not_executable"),
        (json!({"command": ["/bin"]}), "not_executable"),
        (json!({"command": ["true"], "user": "nobody-has-this"}), "unknown_user"),
        (json!({"command": ["true"], "working_dir": "/etc/passwd"}), "working_dir"),
    ] {
        let reply = exec(body.clone());
        let text = reply.text.clone();
        let refusal = reply.refusal(412);
        assert_eq!(refusal.code, code, "{body}: {text}");
    }
    let failed = exec(json!({"command": ["false"]})).expect(200);
    assert_eq!(failed["exit_code"], 1);
    let refusal = exec(json!({"command": ["sleep", "60"], "timeout": 1}));
    refused(refusal, 408, "exec_timeout");
    let gone = instance.sh(&id, "ps | grep -c '[s]leep 60$' || true");
    assert_eq!(gone, "0\n", "a command that took too long is ended");
}
