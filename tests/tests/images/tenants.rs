//! Callers with a token of an app: what they may have, and where they may be sent.

use crate::access::auth;
use crate::{MACHINES, pull_with, push};
use serde_json::{Value, json};
use std::process::Command;
use testkit::registry::{Access, PASSWORD, Registry, USERNAME};
use testkit::{Builder, Instance};

/// A tenant of an app: calls over TCP with a token.
struct Tenant<'a> {
    instance: &'a Instance,
    app: &'a str,
    token: String,
}

impl<'a> Tenant<'a> {
    fn of(instance: &'a Instance, app: &'a str) -> Self {
        let made = instance.post("/v1/apps", &json!({"name": app, "org_slug": "personal"}));
        drop(made.expect(201));
        let wish = json!({"name": app, "app": app});
        let token = instance.post("/v1/tokens", &wish).expect(201);
        let token = token["token"].as_str().expect("a token").to_owned();
        Self { instance, app, token }
    }

    /// Status and body of a call.
    fn call(&self, method: &str, target: &str, credentials: &str, body: &Value) -> (u16, Value) {
        let endpoint = self.instance.endpoint().expect("it listens");
        let address = endpoint["tcp"].as_str().expect("an address");
        let output = Command::new("curl")
            .args(["--silent", "--max-time", "60", "--write-out", "\n%{http_code}", "-X", method])
            .args(["-H", &format!("Authorization: Bearer {}", self.token)])
            .args(["-H", &format!("X-Registry-Auth: {credentials}")])
            .args(["--data", &body.to_string(), &format!("http://{address}{target}")])
            .output()
            .expect("curl");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (body, status) = text.rsplit_once('\n').expect("a status");
        let body = serde_json::from_str(body).unwrap_or(Value::Null);
        (status.parse().expect("a number"), body)
    }

    /// Creates a machine that is not launched.
    fn create(&self, image: &str, credentials: &str) -> (u16, Value) {
        let body = json!({"config": {"image": image}, "skip_launch": true});
        self.call("POST", &format!("/v1/apps/{}/machines", self.app), credentials, &body)
    }
}

#[track_caller]
fn check(answer: &(u16, Value), status: u16, code: &str) {
    assert_eq!((answer.0, answer.1["code"].as_str()), (status, Some(code)), "{}", answer.1);
    assert!(answer.1["hint"].is_string(), "{}", answer.1);
}

#[test]
fn a_cached_private_image_is_for_those_whom_its_registry_would_give_it() {
    let registry = Registry::start(Access::Password);
    push(&registry, "web", "secret");
    let option = format!("--allow-registry={}", registry.address());
    let instance = Builder::default().arg(&option).start();
    let reference = registry.reference("web");
    let (one, other) = (Tenant::of(&instance, "one"), Tenant::of(&instance, "other"));
    let right = auth(USERNAME, PASSWORD);
    drop(pull_with(&instance, &reference, &[("x-registry-auth", &right)]));

    // In the registry's words: that the image is here is not for them to know.
    let refusal = one.create(&reference, "");
    check(&refusal, 403, "image_denied");
    let text = refusal.1.to_string();
    assert!(!text.contains("cached") && !text.contains("this host has"), "{text}");
    let absent = one.create(&registry.reference("absent"), "");
    assert_eq!((absent.0, &absent.1["code"]), (refusal.0, &refusal.1["code"]));

    assert_eq!(one.create(&reference, &right).0, 200);
    // The app has it now; the other still has not.
    assert_eq!(one.create(&reference, "").0, 200);
    check(&other.create(&reference, ""), 403, "image_denied");
    check(&other.create(&reference, &auth(USERNAME, "wrong")), 403, "image_denied");
}

#[test]
fn tenants_are_not_sent_to_this_host() {
    let registry = Registry::start(Access::Open);
    push(&registry, "web", "x");
    let reference = registry.reference("web");
    let instance = Instance::start();
    check(&Tenant::of(&instance, "one").create(&reference, ""), 403, "registry_unreachable");
    let listed =
        Builder::default().arg(&format!("--allow-registry={}", registry.address())).start();
    assert_eq!(Tenant::of(&listed, "one").create(&reference, "").0, 200);
}

#[test]
fn the_images_of_the_host_are_not_a_tenants() {
    let instance = Instance::start();
    let tenant = Tenant::of(&instance, "one");
    let digest = format!("/v1/images/sha256:{}", "0".repeat(64));
    for (method, target) in [
        ("GET", "/v1/images"),
        ("GET", &digest),
        ("DELETE", &digest),
        ("POST", "/v1/images/pull"),
        ("POST", "/v1/images/import"),
        ("POST", "/v1/images/import?name=x"),
        ("POST", "/v1/images/prune"),
        ("POST", MACHINES),
    ] {
        check(&tenant.call(method, target, "", &json!({})), 403, "permission_denied");
    }
}
