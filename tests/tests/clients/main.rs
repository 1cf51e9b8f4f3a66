//! Public clients of the Machines API, unmodified but for their base URL, go through their typical
//! flows. `scripts/clients` puts them where they are found here; their flows are in `tests/clients`.

use serde_json::json;
use std::process::Command;
use tests::client::{directory, token, url};
use tests::fixture::with_busybox;

/// Lets a client go through its flow, which ends with a failure or with its last line.
#[track_caller]
fn check(client: &str, program: &[&str]) {
    let Some(place) = directory(client) else { return };
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
