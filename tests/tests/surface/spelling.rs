//! Every way in which clients spell the same wish.

use serde_json::{Value, json};
use testkit::instance::APP;
use testkit::{Instance, Reply, http};

fn fake(instance: &Instance, more: &Value) -> String {
    let mut config = json!({"image": "none", "engine": "fake"});
    let fields = config.as_object_mut().expect("an object");
    fields.extend(more.as_object().expect("an object").clone());
    let id = instance.create_with(&json!({"config": config}));
    instance.wait_for(&id, "started");
    id
}

/// Sends bytes as they are, with these headers.
fn raw(instance: &Instance, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
    let endpoint = instance.endpoint().expect("it listens");
    let socket = endpoint["unix"].as_str().expect("a path");
    http::request(socket.as_ref(), "POST", target, headers, body).expect("an answer")
}

#[test]
fn a_body_may_be_missing_empty_null_or_of_any_type() {
    let instance = Instance::start();
    let id = fake(&instance, &json!({}));
    let stop = format!("{}/stop", Instance::path(&id));
    for (headers, body) in [
        (&[][..], &b""[..]),
        (&[("content-type", "application/json")], b""),
        (&[("content-type", "application/json")], b"{}"),
        (&[("content-type", "text/plain")], b" null\n"),
        (&[], b"{\"signal\":null,\"timeout\":null,\"id\":\"x\"}"),
        (&[("content-type", "application/x-www-form-urlencoded")], b"{\"timeout\":\"0s\"}"),
    ] {
        assert_eq!(
            raw(&instance, &stop, headers, body).status,
            200,
            "{}",
            String::from_utf8_lossy(body)
        );
    }
    for (body, kind) in [("[]", "array"), ("7", "number"), ("true", "bool"), ("\"x\"", "string")] {
        let refusal = raw(&instance, &stop, &[], body.as_bytes()).refusal(400);
        let text = format!("json: cannot unmarshal {kind} into Go value of type main.stopRequest");
        assert_eq!((refusal.error, refusal.code), (text, "wrong_type".to_owned()));
    }
    assert_eq!(raw(&instance, &stop, &[], b"{").refusal(400).code, "bad_json");
}

#[test]
fn signals_are_names_or_numbers() {
    let instance = Instance::start();
    for signal in [json!(9), json!("9"), json!("SIGKILL"), json!("sigkill"), json!("KILL")] {
        let id = fake(&instance, &json!({"restart": {"policy": "no"}}));
        let path = Instance::path(&id);
        drop(instance.post(&format!("{path}/signal"), &json!({"signal": signal})).expect(200));
        instance.wait_for(&id, "stopped");
    }
    let id = fake(&instance, &json!({}));
    for signal in [json!("SIGNOPE"), json!(0), json!(65), json!([9]), json!(9.5)] {
        let reply =
            instance.post(&format!("{}/signal", Instance::path(&id)), &json!({"signal": signal}));
        assert_eq!(reply.status, 400, "{signal}: {}", reply.text);
    }
}

#[test]
fn lengths_of_time_have_every_spelling() {
    let instance = Instance::start();
    let shown = |timeout: Value| {
        let config =
            json!({"image": "none", "engine": "fake", "stop_config": {"timeout": timeout}});
        let body = json!({"config": config, "skip_launch": true});
        let machine = instance.post(&format!("/v1/apps/{APP}/machines"), &body);
        (machine.status, machine.body["config"]["stop_config"]["timeout"].clone())
    };
    instance.ensure_app();
    for (written, printed) in [
        (json!("10s"), "10s"),
        (json!("1m30s"), "1m30s"),
        (json!("90s"), "1m30s"),
        (json!("1500ms"), "1.5s"),
        (json!(".5s"), "500ms"),
        (json!(10_000_000_000_u64), "10s"),
        (json!("0s"), "0s"),
    ] {
        assert_eq!(shown(written.clone()), (200, json!(printed)), "{written}");
    }
    for wrong in [json!("10"), json!("soon"), json!("-1s"), json!("301s"), json!([1]), json!(true)]
    {
        assert_eq!(shown(wrong.clone()).0, 400, "{wrong}");
    }
    let id = fake(&instance, &json!({}));
    let path = Instance::path(&id);
    for timeout in ["1", "60", "3600", "99999999999", "1s", "1m30s", "500ms"] {
        let reply = instance.get(&format!("{path}/wait?state=started&timeout={timeout}"));
        assert_eq!(reply.status, 200, "{timeout}: {}", reply.text);
    }
    for timeout in ["5", "5s", "0", "5000ms"] {
        let restart = format!("{path}/restart?timeout={timeout}&force_stop=false&signal=SIGTERM");
        assert_eq!(instance.post(&restart, &Value::Null).status, 200, "{timeout}");
    }
}

#[test]
fn names_and_flags_that_clients_use_for_the_same() {
    let instance = Instance::start();
    for (n, body) in
        [json!({"name": "a1"}), json!({"app_name": "a2"}), json!({"name": "a3", "network": ""})]
            .into_iter()
            .enumerate()
    {
        let mut body = body;
        body["org_slug"] = json!("personal");
        body["app_role_id"] = json!("");
        let target = if n == 0 { "/v1/apps?wait=true" } else { "/v1/apps/" };
        let made = instance.post(target, &body).expect(201);
        assert!(made["id"].is_string() && made["created_at"].is_u64(), "{made}");
    }
    for flag in ["force=true", "kill=true", "kill=1", "force"] {
        let id = fake(&instance, &json!({}));
        let target = format!("{}/?{flag}", Instance::path(&id));
        assert_eq!(instance.delete(&target).expect(200), json!({"ok": true}), "{flag}");
    }
    let id = fake(&instance, &json!({}));
    for target in [format!("{}/", Instance::path(&id)), format!("/v1/apps/{APP}/machines//")] {
        assert_eq!(instance.get(&target).status, 200, "{target}");
    }
    for id in ["x", "0E286039A42D18", "0e286039a42d1", "quiet-lake-0042"] {
        let refusal = instance.get(&Instance::path(id)).refusal(404);
        assert_eq!(refusal.error, format!("invalid machine ID, '{id}'"));
    }
}

#[test]
fn commands_are_words_or_a_line() {
    let instance = Instance::start();
    let id = fake(&instance, &json!({}));
    let exec = |body: Value| instance.post(&format!("{}/exec", Instance::path(&id)), &body);
    for body in [
        json!({"command": ["echo", "a b"]}),
        json!({"command": "echo 'a b'"}),
        json!({"cmd": "echo \"a b\""}),
        json!({"cmd": ["echo", "a b"], "timeout": 5}),
        json!({"command": [], "cmd": "echo 'a b'"}),
    ] {
        assert_eq!(exec(body.clone()).expect(200)["stdout"], "echo a b\n", "{body}");
    }
    for body in
        [json!({}), json!({"command": []}), json!({"command": "echo 'a"}), json!({"command": 7})]
    {
        assert_eq!(exec(body.clone()).status, 400, "{body}");
    }
}

#[test]
fn labels_have_every_form() {
    let instance = Instance::start();
    let id = fake(&instance, &json!({"metadata": {"a": "1"}}));
    let path = format!("{}/metadata", Instance::path(&id));
    let shown = || instance.get(&path).expect(200);
    let version = instance.get(&Instance::path(&id)).expect(200)["instance_id"].clone();
    for (method, body) in [
        ("PUT", json!({"metadata": {"b": "2"}, "machine_version": version, "updated_at": "x"})),
        ("PATCH", json!({"metadata": {"c": "3", "a": null}, "machine_version": ""})),
    ] {
        let reply = instance.request(method, &path, &body);
        assert_eq!((reply.status, reply.text.as_str()), (204, ""), "{method}");
    }
    assert_eq!(shown(), json!({"b": "2", "c": "3"}));
    let key = |key: &str| format!("{path}/{key}");
    assert_eq!(instance.post(&key("d"), &json!({"value": "4"})).status, 204);
    assert_eq!(instance.get(&key("d")).expect(200), json!({"value": "4"}));
    assert_eq!(instance.delete(&key("d")).status, 204);
    assert_eq!(instance.get(&key("d")).refusal(404).code, "metadata_not_found");
    assert_eq!(instance.post(&key("c"), &json!({"value": ""})).status, 204);
    assert_eq!(shown(), json!({"b": "2"}));
    let stale = json!({"metadata": {"x": "1"}, "machine_version": "01J8Z300000000000000000000"});
    assert_eq!(instance.request("PATCH", &path, &stale).refusal(412).code, "stale_version");
    let after = instance.get(&Instance::path(&id)).expect(200);
    assert_eq!(after["instance_id"], version, "no new version");
    assert_eq!(after["config"]["metadata"], json!({"b": "2"}));
}
