//! Who writes follows from who calls: owner, token, machine.

use crate::desk::{Governed, sleeper};
use serde_json::{Value, json};
use std::process::Command;
use testkit::Instance;

/// Calls over TCP with a token; status and body.
fn call(machine: &Governed<'_>, token: &str, call: (&str, &str), body: &Value) -> (u16, Value) {
    let (method, rest) = call;
    let endpoint = machine.instance.endpoint().expect("it listens");
    let address = endpoint["tcp"].as_str().expect("an address");
    let url = format!("http://{address}{}/self{rest}", Instance::path(&machine.id));
    let output = Command::new("curl")
        .args(["--silent", "--max-time", "20", "--write-out", "\n%{http_code}", "-X", method])
        .args(["-H", &format!("Authorization: Bearer {token}")])
        .args(["-H", "Content-Type: application/json", "-d", &body.to_string(), &url])
        .output()
        .expect("curl");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (body, status) = text.rsplit_once('\n').expect("a status");
    (status.parse().expect("a number"), serde_json::from_str(body).unwrap_or(Value::Null))
}

fn token(instance: &Instance, wish: &Value) -> String {
    let made = instance.post("/v1/tokens", wish).expect(201);
    made["token"].as_str().expect("a token").to_owned()
}

#[test]
fn rights_and_names_of_tokens() {
    let instance = Instance::start();
    let facts = json!({"facts": {
        "build": {"type": "int", "writers": ["token:ci"]},
        "mine": {"type": "int", "writers": ["owner"]}
    }});
    let machine = sleeper(&instance, &facts, &json!({}));
    let other = sleeper(&instance, &facts, &json!({}));
    let scoped = |name: &str, rights: &str| {
        token(&instance, &json!({"name": name, "machine": machine.id, "rights": rights}))
    };
    let (writer, reader) = (scoped("ci", "self-write"), scoped("ro", "read"));
    let all = token(&instance, &json!({"name": "boss"}));
    let memory = ("PATCH", "/memory");

    assert_eq!(call(&machine, &writer, memory, &json!({"build": 7})).0, 200);
    assert_eq!(machine.get("/memory/build")["writer"], "token:ci");
    assert_eq!(call(&machine, &writer, ("POST", "/inbox"), &json!({"body": "x"})).0, 201);
    assert_eq!(machine.get("/inbox")["messages"][0]["from"], "token:ci");
    assert_eq!(call(&machine, &all, memory, &json!({"mine": 1})).0, 200);
    assert_eq!(machine.get("/memory/mine")["writer"], "owner");

    let refused = |token: &str, what: (&str, &str), body: Value, code: &str| {
        let (status, answer) = call(&machine, token, what, &body);
        assert_eq!((status, answer["code"].as_str()), (403, Some(code)), "{what:?}: {answer}");
    };
    refused(&writer, memory, json!({"mine": 2}), "memory_writer");
    refused(&writer, ("PUT", "/policy"), json!({}), "self_rights");
    refused(&writer, ("PUT", "/hold-down"), json!({"reason": "x"}), "self_rights");
    refused(&writer, ("PUT", "/holds/h"), json!({"ttl": 5}), "self_rights");
    refused(&writer, ("POST", "/import"), json!({}), "self_rights");
    refused(&writer, ("POST", "/inbox/take"), json!({}), "self_rights");
    refused(&writer, ("POST", "/beat"), json!({}), "permission_denied");
    refused(&reader, memory, json!({"build": 8}), "permission_denied");
    refused(&reader, ("POST", "/inbox"), json!({"body": "x"}), "permission_denied");
    assert_eq!(call(&machine, &reader, ("GET", "/memory"), &json!({})).0, 200);
    assert_eq!(call(&other, &writer, ("GET", "/memory"), &json!({})).0, 403);
    assert_eq!(call(&machine, "wrong", ("GET", "/memory"), &json!({})).0, 401);
    assert_eq!(machine.fact("build"), 7);
    machine.check_trace();
}
