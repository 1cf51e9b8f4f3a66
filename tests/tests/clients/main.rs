//! Public clients of the Machines API, unmodified but for their base URL, go through their typical
//! flows. `scripts/clients` puts them where they are found here; their flows are in `tests/clients`.

use serde_json::json;
use std::path::PathBuf;
use std::process::Command;
use testkit::{Instance, report};
use tests::fixture::with_busybox;

/// Where `scripts/clients` has put them, if not below `target`.
const DIRECTORY_VARIABLE: &str = "DORMOUSE_CLIENTS";

fn directory() -> PathBuf {
    let by_default = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/clients");
    std::env::var_os(DIRECTORY_VARIABLE).map_or_else(by_default, PathBuf::from)
}

/// Lets a client go through its flow, which ends with a failure or with its last line.
#[track_caller]
fn check(client: &str, program: &[&str]) {
    let place = directory().join(client);
    if !place.with_extension("done").exists() {
        let why = format!("skipped the client in {client}: `scripts/clients` has not been run");
        return report::line("clients", &why);
    }
    let instance = with_busybox();
    let (program, arguments) = program.split_first().expect("a program");
    let output = Command::new(program)
        .args(arguments)
        .current_dir(&place)
        .env("MACHINES_API", url(&instance))
        .env("MACHINES_TOKEN", token(&instance))
        .env("MACHINES_IMAGE", "busybox")
        .output()
        .expect("the client starts");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.ends_with("the flow is through\n"), "{said}");
    let left = instance.get("/v1/orgs/personal/machines").expect(200);
    assert_eq!(left["machines"], json!([]), "its machines are gone");
}

fn url(instance: &Instance) -> String {
    let endpoint = instance.endpoint().expect("it listens");
    format!("http://{}", endpoint["tcp"].as_str().expect("an address"))
}

fn token(instance: &Instance) -> String {
    let made = instance.post("/v1/tokens", &json!({"name": "client"})).expect(201);
    made["token"].as_str().expect("a token").to_owned()
}

#[test]
fn fly_admin_of_npm() {
    check("javascript", &["node", "flow.js"]);
}

#[test]
fn fly_python_sdk_of_pypi() {
    check("python", &["venv/bin/python", "flow.py"]);
}

#[test]
fn fly_sdk_of_crates_io() {
    check("rust", &["./client-flow"]);
}
