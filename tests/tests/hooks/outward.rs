//! Notifications of machines.

use crate::receiver::{Answer, Letter, Receiver};
use crate::{HOOKS, messages, signing, sleeper};
use serde_json::{Value, json};
use std::process::Command;
use testkit::{Builder, Instance};

/// A policy that notifies `to` when the fact `progress` reaches 1.
fn tells(to: &str) -> Value {
    json!({
        "facts": {"progress": {"type": "double", "default": 0, "writers": ["owner"]}},
        "rules": [{"id": "done", "effect": "notify", "when": "memory.progress >= 1.0", "to": to}],
    })
}

/// Sets the fact `progress`.
#[track_caller]
fn progress(instance: &Instance, id: &str, value: f64) {
    let target = format!("{}/self/memory", Instance::path(id));
    drop(instance.request_with("PATCH", &target, &[], &json!({"progress": value})).expect(200));
}

/// Checks that a letter is signed with the app's secret.
#[track_caller]
fn check_signature(instance: &Instance, letter: &Letter) {
    let secret = instance.get("/v1/apps/test/signing-secret").expect(200);
    let secret = secret["secret"].as_str().expect("a secret");
    let (id, at) = (letter.header("webhook-id"), letter.header("webhook-timestamp"));
    let expected = signing::standard(secret, id, at, &letter.body);
    assert_eq!(letter.header("webhook-signature"), expected);
}

#[test]
fn a_rule_that_begins_to_stand_tells_once_and_signed() {
    let receiver = Receiver::start(&[]);
    let instance = Builder::default().arg(&receiver.option()).start();
    let id = sleeper(&instance, "worker", &tells(&receiver.url()));
    progress(&instance, &id, 0.5);
    progress(&instance, &id, 1.0);
    let letter = receiver.wait_for(1).remove(0);
    check_signature(&instance, &letter);
    let body: Value = serde_json::from_str(&letter.body).expect("JSON");
    assert_eq!(body["id"], letter.header("webhook-id"));
    assert_eq!((&body["machine"], &body["app"]), (&json!(id), &json!("test")));
    assert_eq!((&body["rule"], &body["reads"]), (&json!("done"), &json!({"memory.progress": 1.0})));

    // It stands on: nothing new to tell. When it stands again there is.
    progress(&instance, &id, 1.5);
    progress(&instance, &id, 0.0);
    progress(&instance, &id, 2.0);
    let letters = receiver.wait_for(2);
    assert_ne!(letters[0].header("webhook-id"), letters[1].header("webhook-id"));
    assert_eq!(letters.len(), 2);
}

#[test]
fn a_letter_that_is_not_taken_comes_again_under_its_id() {
    let receiver = Receiver::start(&[Answer::Redirect]);
    let instance = Builder::default().arg(&receiver.option()).start();
    let id = sleeper(&instance, "worker", &tells(&receiver.url()));
    progress(&instance, &id, 1.0);
    let letters = receiver.wait_for(2);
    assert_eq!(letters[0].header("webhook-id"), letters[1].header("webhook-id"));
    assert_eq!([&letters[0].target, &letters[1].target], ["/in", "/in"], "no redirect is followed");
    letters.iter().for_each(|letter| check_signature(&instance, letter));
}

#[test]
fn a_silent_receiver_holds_up_nobody_else() {
    let silent = Receiver::start(&[Answer::Silence; 8]);
    let lively = Receiver::start(&[]);
    let instance = Builder::default().arg(&silent.option()).arg(&lively.option()).start();
    let unheard = sleeper(&instance, "one", &tells(&silent.url()));
    let heard = sleeper(&instance, "two", &tells(&lively.url()));
    progress(&instance, &unheard, 1.0);
    drop(silent.wait_for(1));
    progress(&instance, &heard, 1.0);
    drop(lively.wait_for(1));
    assert_eq!(silent.letters().len(), 1);
}

#[test]
fn a_letter_survives_the_death_of_control_in_the_middle() {
    let receiver = Receiver::start(&[Answer::Silence]);
    let instance = Builder::default().arg(&receiver.option()).start();
    let id = sleeper(&instance, "worker", &tells(&receiver.url()));
    progress(&instance, &id, 1.0);
    drop(receiver.wait_for(1));
    instance.kill_control();
    let letters = receiver.wait_for(2);
    assert_eq!(letters[0].header("webhook-id"), letters[1].header("webhook-id"));
    assert_eq!(letters[0].body, letters[1].body);
}

#[test]
fn a_letter_that_arrived_unnoticed_comes_again_under_its_id() {
    let receiver = Receiver::start(&[]);
    let mut instance = Builder::default()
        .arg(&receiver.option())
        .unsupervised()
        .env("DORMOUSE_FAILPOINT", "notify.tried#1")
        .start();
    let id = sleeper(&instance, "worker", &tells(&receiver.url()));
    let target = format!("{}/self/memory", Instance::path(&id));
    // Control may be dead before it answers.
    drop(instance.try_request("PATCH", &target, br#"{"progress": 1.0}"#));
    drop(receiver.wait_for(1));
    assert_eq!(instance.wait_for_its_end(), None);
    instance.start_again();
    let letters = receiver.wait_for(2);
    assert_eq!(letters[0].header("webhook-id"), letters[1].header("webhook-id"));
}

#[test]
fn a_hook_of_the_app_can_be_told_and_this_host_cannot() {
    let receiver = Receiver::start(&[]);
    // Its operator has not named the receiver.
    let instance = Instance::start();
    let on_call = sleeper(&instance, "on-call", &json!({}));
    let hook = json!({"machine": "on-call", "secret": "correct horse",
        "signature": {"scheme": "github"}});
    drop(instance.request("PUT", &format!("{HOOKS}/page"), &hook).expect(200));
    let mut policy = tells(&receiver.url());
    let other = json!({"id": "page", "effect": "notify", "when": "memory.progress >= 1.0",
        "to": "page"});
    policy["rules"].as_array_mut().expect("a list").push(other);
    let id = sleeper(&instance, "worker", &policy);
    progress(&instance, &id, 1.0);
    instance.wait_for(&on_call, "started");
    let [message] = &messages(&instance, &on_call)[..] else { panic!("one message") };
    assert_eq!(message["from"], "token:hook.page");
    let body: Value = serde_json::from_str(message["body"].as_str().expect("text")).expect("JSON");
    assert_eq!((&body["machine"], &body["rule"]), (&json!(id), &json!("page")));
    assert!(receiver.letters().is_empty());
}

#[test]
fn the_secret_of_an_app_is_for_those_who_operate_it() {
    let instance = Instance::start();
    instance.ensure_app();
    let secret = || instance.get("/v1/apps/test/signing-secret").expect(200);
    let first = secret();
    assert_eq!(secret(), first, "it is drawn once");
    let token = json!({"name": "reader", "app": "test", "rights": "read"});
    let token = instance.post("/v1/tokens", &token).expect(201);
    let bearer = format!("Authorization: Bearer {}", token["token"].as_str().expect("a token"));
    let endpoint = instance.endpoint().expect("it listens");
    let address = endpoint["tcp"].as_str().expect("an address");
    let output = Command::new("curl")
        .args(["--silent", "--output", "/dev/null", "--write-out", "%{http_code}", "-H", &bearer])
        .arg(format!("http://{address}/v1/apps/test/signing-secret"))
        .output()
        .expect("curl is installed");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "403");
}
