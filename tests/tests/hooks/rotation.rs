//! Secrets that are changed while both sides are at work.

use crate::outward::{progress, tells};
use crate::receiver::{Letter, Receiver};
use crate::{HOOKS, messages, post, signing, sleeper};
use serde_json::{Value, json};
use testkit::{Builder, Instance};

const SECRET: &str = "/v1/apps/test/signing-secret";

#[track_caller]
fn secret(instance: &Instance) -> String {
    instance.get(SECRET).expect(200)["secret"].as_str().expect("a secret").to_owned()
}

/// Changes the app's signing secret; the answer.
#[track_caller]
fn rotate(instance: &Instance, overlap: &str) -> Value {
    instance.post(&format!("{SECRET}/rotate"), &json!({"overlap": overlap})).expect(200)
}

/// How many signatures a letter has, and which of `secrets` made one of them.
#[track_caller]
fn signed_by<const N: usize>(letter: &Letter, secrets: [&str; N]) -> (usize, [bool; N]) {
    signing::by_whom(secrets, |name| letter.header(name).to_owned(), &letter.body)
}

#[test]
fn while_the_secret_is_changed_letters_are_signed_with_both() {
    let receiver = Receiver::start(&[]);
    let instance = Builder::default().arg(&receiver.option()).start();
    let id = sleeper(&instance, "worker", &tells(&receiver.url()));
    let first = secret(&instance);
    let changed = rotate(&instance, "1h");
    let second = changed["secret"].as_str().expect("a secret").to_owned();
    assert_ne!(first, second);
    assert!(changed["old_secrets"][0]["until"].is_string(), "{changed}");
    assert_eq!(instance.get(SECRET).expect(200), changed);
    assert!(!changed["old_secrets"].to_string().contains(&first), "the old one is shown no more");

    progress(&instance, &id, 1.0);
    let letters = receiver.wait_for(1);
    assert_eq!(signed_by(&letters[0], [&first, &second]), (2, [true, true]));
    let newest = signing::by_whom(
        [&second],
        |name| match (name, letters[0].header(name)) {
            ("webhook-signature", both) => both.split(' ').next().expect("one").to_owned(),
            (_, other) => other.to_owned(),
        },
        &letters[0].body,
    );
    assert_eq!(newest, (1, [true]), "the new one is first");

    // Somebody else knows the old one: it ends now.
    let third = rotate(&instance, "0s");
    assert_eq!(third["old_secrets"], Value::Null);
    let third = third["secret"].as_str().expect("a secret");
    progress(&instance, &id, 0.0);
    progress(&instance, &id, 1.0);
    let letters = receiver.wait_for(2);
    assert_eq!(signed_by(&letters[1], [&first, &second, third]), (1, [false, false, true]));
}

#[test]
fn the_old_secret_signs_until_its_time() {
    let receiver = Receiver::start(&[]);
    let instance = Builder::default().arg(&receiver.option()).start();
    let id = sleeper(&instance, "worker", &tells(&receiver.url()));
    let first = secret(&instance);
    drop(rotate(&instance, "500ms"));
    let ended = || instance.get(SECRET).expect(200)["old_secrets"].is_null().then_some(());
    testkit::eventually("the old one ends", ended);
    let second = secret(&instance);
    progress(&instance, &id, 1.0);
    let letter = receiver.wait_for(1).remove(0);
    assert_eq!(signed_by(&letter, [&first, &second]), (1, [false, true]));
}

/// Whoever did not hear the answer asks again: the secret that receivers know counts all the same.
#[test]
fn no_death_in_the_middle_ends_the_secret_that_receivers_know() {
    let receiver = Receiver::start(&[]);
    let instance = Builder::default().arg(&receiver.option()).start();
    let id = sleeper(&instance, "worker", &tells(&receiver.url()));
    let first = secret(&instance);
    for _ in 0..3 {
        std::thread::scope(|scope| {
            let asking = || {
                // It may die before it answers.
                drop(instance.try_request("POST", &format!("{SECRET}/rotate"), b"{}"));
            };
            scope.spawn(asking);
            instance.kill_control();
        });
        let known = testkit::eventually("control is back", || {
            let reply = instance.try_request("GET", SECRET, b"").ok()?;
            (reply.status == 200).then(|| reply.expect(200))
        });
        let n_old = known["old_secrets"].as_array().map_or(0, Vec::len);
        let is_first = known["secret"] == json!(first);
        assert_eq!(is_first, n_old == 0, "whole or not at all: {known}");
    }
    progress(&instance, &id, 1.0);
    let letter = receiver.wait_for(1).remove(0);
    let now = secret(&instance);
    assert_eq!(signed_by(&letter, [&first, &now]).1, [true, true]);
}

#[test]
fn a_change_has_bounds() {
    let instance = Instance::start();
    instance.ensure_app();
    let first = secret(&instance);
    let refused = |overlap: &str, status: u16, code: &str| {
        let target = format!("{SECRET}/rotate");
        let refusal = instance.post(&target, &json!({"overlap": overlap})).refusal(status);
        assert_eq!(refusal.code, code, "{overlap}");
    };
    refused("31d", 400, "invalid_overlap");
    assert_eq!(secret(&instance), first, "nothing has changed");
    for n_old in 1..=3 {
        let old = &rotate(&instance, "1h")["old_secrets"];
        assert_eq!(old.as_array().map(Vec::len), Some(n_old));
    }
    refused("1h", 412, "too_many_secrets");
    assert_eq!(rotate(&instance, "0s")["old_secrets"], Value::Null);
    let absent = instance.post("/v1/apps/absent/signing-secret/rotate", &json!({}));
    assert_eq!(absent.status, 404);
}

#[test]
fn posts_to_a_hook_may_be_signed_with_either_secret_while_it_is_changed() {
    let instance = Instance::start();
    let id = sleeper(&instance, "worker", &json!({}));
    let hook = format!("{HOOKS}/gh");
    let wish = json!({"machine": id, "wake": false, "secret": "correct horse",
        "signature": {"scheme": "github"}});
    drop(instance.request("PUT", &hook, &wish).expect(200));
    let send = |key: &str| {
        let signature = format!("sha256={}", signing::hex(key, "hello"));
        post(&instance, "test", "gh", &[("x-hub-signature-256", &signature)], b"hello").0
    };
    let given = json!({"secret": "battery staple", "overlap": "1h"});
    let changed = instance.post(&format!("{hook}/rotate"), &given).expect(200);
    assert_eq!(changed["secret"], Value::Null, "who gives it knows it");
    assert!(changed["old_secrets"][0]["until"].is_string(), "{changed}");
    assert_eq!((send("battery staple"), send("correct horse"), send("other")), (202, 202, 401));

    // One that is drawn takes its place; what is left out of a `PUT` stays.
    let drawn = instance.post(&format!("{hook}/rotate"), &json!({"overlap": "1h"})).expect(200);
    let third = drawn["secret"].as_str().expect("it is shown once");
    drop(instance.request("PUT", &hook, &json!({"machine": id, "wake": false})).expect(200));
    assert_eq!((send(third), send("battery staple"), send("correct horse")), (202, 202, 202));

    // A secret in a `PUT` is the only one from then on.
    drop(instance.request("PUT", &hook, &wish).expect(200));
    assert_eq!((send("correct horse"), send(third), send("battery staple")), (202, 401, 401));
    assert_eq!(messages(&instance, &id).len(), 6);

    let refused = |name: &str, wish: &Value, status: u16, code: &str| {
        let answer = instance.post(&format!("{HOOKS}/{name}/rotate"), wish);
        assert_eq!(answer.refusal(status).code, code, "{wish}");
    };
    refused("gh", &json!({"secret": "correct horse"}), 400, "same_secret");
    refused("gh", &json!({"secret": "short"}), 400, "invalid_hook_secret");
    refused("absent", &json!({}), 404, "not_found");
    drop(instance.request("PUT", &format!("{HOOKS}/open"), &json!({"machine": id})).expect(200));
    refused("open", &json!({}), 412, "no_hook_secret");
}

/// What the command line says, when it succeeds.
#[track_caller]
fn said(instance: &Instance, args: &[&str]) -> String {
    let output = instance.cli(args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn secrets_are_changed_on_the_command_line() {
    let instance = Instance::start();
    let id = sleeper(&instance, "worker", &json!({}));
    let first = said(&instance, &["hook", "secret", "--app", "test"]);
    assert_eq!(first.trim(), secret(&instance));
    let rotate = ["hook", "secret", "--app", "test", "--rotate", "--overlap", "1h"];
    let shown = said(&instance, &rotate);
    let (second, old) = shown.split_once('\n').expect("two lines");
    assert_eq!(second, secret(&instance));
    assert!(second != first.trim() && old.starts_with("the one before counts until "), "{shown}");

    let wish = json!({"machine": id, "secret": {"generate": true}});
    drop(instance.request("PUT", &format!("{HOOKS}/push"), &wish).expect(200));
    let shown = said(&instance, &["hook", "rotate", "push", "--app", "test"]);
    let lines: Vec<_> = shown.lines().collect();
    let [path, secret, old] = lines[..] else { panic!("{shown}") };
    assert_eq!(path, "POST /v1/hooks/test/push");
    assert!(secret.starts_with("secret whsec_") && old.contains(" until "), "{shown}");
    let only = said(&instance, &["hook", "rotate", "push", "--app", "test", "--overlap", "0s"]);
    assert_eq!(only.lines().count(), 2, "{only}");
}
