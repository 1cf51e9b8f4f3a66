//! Registries that want to know who asks.

use crate::{ask, create, images, pull_with, push, refused, request};
use serde_json::json;
use testkit::Instance;
use testkit::registry::{Access, PASSWORD, Registry, USERNAME};

/// `X-Registry-Auth` for a user: base64url of the JSON object.
pub(crate) fn auth(username: &str, password: &str) -> String {
    use std::process::{Command, Stdio};
    let text = json!({"username": username, "password": password}).to_string();
    let mut encoder = Command::new("basenc")
        .args(["--base64url", "--wrap=0"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("coreutils");
    std::io::Write::write_all(&mut encoder.stdin.take().expect("piped"), text.as_bytes())
        .expect("written");
    let output = encoder.wait_with_output().expect("it ends");
    String::from_utf8(output.stdout).expect("ASCII")
}

const AUTH: &str = "x-registry-auth";

#[test]
fn a_password_opens_the_registry_and_nothing_else_does() {
    let registry = Registry::start(Access::Password);
    push(&registry, "web", "secret");
    let instance = Instance::start();
    let reference = registry.reference("web");

    let nobody = refused(ask(&instance, &reference, &[]), 403, "image_denied");
    assert!(nobody.hint.contains("log in"), "{nobody:?}");
    let wrong = auth(USERNAME, "wrong");
    let refusal = refused(ask(&instance, &reference, &[(AUTH, &wrong)]), 403, "image_denied");
    assert!(refusal.hint.contains("check the credentials"), "{refusal:?}");
    drop(refused(create(&instance, &reference), 403, "image_denied"));
    assert!(images(&instance).is_empty());

    let right = auth(USERNAME, PASSWORD);
    let pulled = pull_with(&instance, &reference, &[(AUTH, &right)]);
    assert_eq!(pulled["image"]["is_private"], true, "{pulled}");
}

#[test]
fn a_create_carries_the_credentials_of_its_request() {
    let registry = Registry::start(Access::Password);
    push(&registry, "web", "secret");
    let instance = Instance::start();
    instance.ensure_app();
    let body = json!({"config": {"image": registry.reference("web")}, "skip_launch": true});
    let right = auth(USERNAME, PASSWORD);
    let machine = request(&instance, crate::MACHINES, &[(AUTH, &right)], &body).expect(200);
    instance.wait_for(machine["id"].as_str().expect("an id"), "stopped");
}

#[test]
fn headers_that_carry_no_credentials_are_refused_without_showing_them() {
    let instance = Instance::start();
    for value in ["hunter2hunter2", "a+/b", "e30x", &"A".repeat(40_000)] {
        let reply = ask(&instance, "web", &[(AUTH, value)]);
        let refusal = refused(reply, 400, "invalid_registry_auth");
        assert!(!refusal.error.contains("hunter2"), "{refusal:?}");
    }
}
