//! Webhooks: what outside services post to machines, and what machines tell outside services.

mod circles;
mod inward;
mod outward;
mod receiver;
mod rotation;
mod signing;

use serde_json::{Value, json};
use std::io::Write as _;
use std::process::{Command, Stdio};
use testkit::Instance;

/// Path of the test app's hooks.
const HOOKS: &str = "/v1/apps/test/hooks";

/// A stopped machine of the fake engine.
#[track_caller]
fn sleeper(instance: &Instance, name: &str, policy: &Value) -> String {
    let config = json!({"image": "fake", "engine": "fake", "policy": policy,
        "restart": {"policy": "no"}});
    let body = json!({"name": name, "config": config, "skip_launch": true});
    let id = instance.create_with(&body);
    instance.wait_for(&id, "stopped");
    id
}

/// What is in a machine's inbox.
#[track_caller]
fn messages(instance: &Instance, id: &str) -> Vec<Value> {
    let page = instance.get(&format!("{}/self/inbox", Instance::path(id))).expect(200);
    page["messages"].as_array().expect("a list").clone()
}

/// Posts as a stranger: over TCP, without a token.
#[track_caller]
fn post(
    instance: &Instance,
    app: &str,
    hook: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> (u16, Value) {
    let endpoint = instance.endpoint().expect("it listens");
    let address = endpoint["tcp"].as_str().expect("an address");
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--max-time", "60", "--write-out", "\n%{http_code}"]);
    for (name, value) in headers {
        curl.args(["-H", &format!("{name}: {value}")]);
    }
    curl.args(["--data-binary", "@-", &format!("http://{address}/v1/hooks/{app}/{hook}")]);
    let mut curl =
        curl.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("curl is installed");
    curl.stdin.take().expect("a pipe").write_all(body).expect("it reads");
    let output = curl.wait_with_output().expect("it ends");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (body, status) = text.rsplit_once('\n').expect("a status");
    (status.parse().expect("a number"), serde_json::from_str(body).unwrap_or(Value::Null))
}
