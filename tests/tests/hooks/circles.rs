//! Machines that tell each other, for ever if nobody counted.

use crate::{HOOKS, messages, post, signing, sleeper};
use serde_json::{Value, json};
use testkit::{Builder, Instance, eventually};

/// Machines that a message may pass. Source: `govern::limits::HOPS_MAX`.
const HOPS_MAX: usize = 8;

/// A policy that notifies `to` with every message that comes.
fn passes_on(to: &str) -> Value {
    let rule = |id: &str, rest: u8| {
        let when = format!("inbox.depth > 0 && inbox.depth % 2 == {rest}");
        json!({"id": id, "effect": "notify", "when": when, "to": to})
    };
    json!({"rules": [rule("odd", 1), rule("even", 0)]})
}

#[track_caller]
fn bind(instance: &Instance, name: &str, machine: &str) {
    let hook = json!({"machine": machine, "wake": false});
    drop(instance.request("PUT", &format!("{HOOKS}/{name}"), &hook).expect(200));
}

/// Two machines that tell each other at `place` of each one's hook.
fn circle(instance: &Instance, place: impl Fn(&str) -> String) -> [String; 2] {
    let ids = [("one", "two"), ("two", "one")]
        .map(|(name, other)| sleeper(instance, name, &passes_on(&place(other))));
    for (name, id) in ["one", "two"].iter().zip(&ids) {
        bind(instance, name, id);
    }
    ids
}

/// Machines that each message in an inbox has passed.
fn hops(instance: &Instance, id: &str) -> Vec<Value> {
    messages(instance, id).iter().map(|message| message["hops"].clone()).collect()
}

/// What waits to be delivered.
fn waiting(instance: &Instance, id: &str) -> Vec<Value> {
    let outbox = instance.get(&format!("{}/self/outbox", Instance::path(id))).expect(200);
    outbox["letters"].as_array().expect("a list").clone()
}

#[track_caller]
fn comes_to_its_last(instance: &Instance, two: &str) {
    assert_eq!(post(instance, "test", "one", &[], b"go").0, 202);
    eventually("the last one is reached", || {
        (hops(instance, two).last() == Some(&json!(HOPS_MAX))).then_some(())
    });
}

/// None has gone further round than it may.
#[track_caller]
fn has_ended(instance: &Instance, [one, two]: &[String; 2]) {
    assert_eq!(hops(instance, one), [1, 3, 5, 7]);
    assert_eq!(hops(instance, two), [2, 4, 6, 8]);
}

#[test]
fn machines_that_tell_each_others_hooks_come_to_an_end() {
    let instance = Instance::start();
    let both = circle(&instance, str::to_owned);
    comes_to_its_last(&instance, &both[1]);
    eventually("nothing waits", || {
        both.iter().all(|id| waiting(&instance, id).is_empty()).then_some(())
    });
    has_ended(&instance, &both);
}

#[test]
fn machines_that_tell_each_other_by_a_url_of_their_own_host_come_to_an_end() {
    let instance = Builder::default().arg("--allow-notify=127.0.0.1:*").start();
    instance.ensure_app();
    let endpoint = instance.endpoint().expect("it listens");
    let address = endpoint["tcp"].as_str().expect("an address").to_owned();
    let both = circle(&instance, |name| format!("http://{address}/v1/hooks/test/{name}"));
    comes_to_its_last(&instance, &both[1]);
    // The next one is refused, sent again for a day, as to any receiver that refuses, and says why.
    let is_refused =
        |letter: &Value| letter["last_error"].as_str().is_some_and(|why| why.contains("422"));
    eventually("only the refused letter waits", || match &waiting(&instance, &both[1])[..] {
        [letter] => is_refused(letter).then_some(()),
        _ => None,
    });
    has_ended(&instance, &both);
}

/// What a letter says of its way counts only when an app of this host has signed it.
#[test]
fn nobody_else_is_believed() {
    let instance = Instance::start();
    let id = sleeper(&instance, "worker", &json!({}));
    bind(&instance, "in", &id);
    let secret = instance.get("/v1/apps/test/signing-secret").expect(200);
    let secret = secret["secret"].as_str().expect("a secret");
    let body = json!({"app": "test", "hops": 7}).to_string();
    let at = (model::clock::now().0 / 1000).to_string();
    let signed = signing::standard(secret, "m1", &at, &body);
    let forged = signing::standard("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "m2", &at, &body);
    let send = |id: &str, signature: &str, body: &str| {
        let headers =
            [("webhook-id", id), ("webhook-timestamp", &*at), ("webhook-signature", signature)];
        assert_eq!(post(&instance, "test", "in", &headers, body.as_bytes()).0, 202);
    };
    send("m1", &signed, &body);
    send("m2", &forged, &body);
    send("m3", &signed, &json!({"app": "test", "hops": 0}).to_string());
    send("m4", &signed, &json!({"app": "other", "hops": 7}).to_string());
    assert_eq!(post(&instance, "test", "in", &[], body.as_bytes()).0, 202);
    assert_eq!(hops(&instance, &id), [8, 1, 1, 1, 1]);
}
