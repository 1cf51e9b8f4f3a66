//! Posts to hooks.

use crate::{HOOKS, messages, post, signing, sleeper};
use serde_json::{Value, json};
use testkit::Instance;

/// Makes a hook; the answer.
#[track_caller]
fn bind(instance: &Instance, name: &str, wish: &Value) -> Value {
    instance.request("PUT", &format!("{HOOKS}/{name}"), wish).expect(200)
}

#[track_caller]
fn check(answer: &(u16, Value), status: u16, code: &str) {
    assert_eq!((answer.0, answer.1["code"].as_str()), (status, Some(code)), "{}", answer.1);
    assert!(answer.1["hint"].is_string(), "{}", answer.1);
}

/// The moment, as a header has it.
fn now() -> u64 {
    model::clock::now().0 / 1000
}

#[test]
fn a_post_wakes_a_stopped_machine_by_its_policy() {
    let instance = Instance::start();
    let policy = json!({"rules": [{"id": "work", "effect": "wake", "when": "inbox.depth > 0"}]});
    let id = sleeper(&instance, "worker", &policy);
    let hook = bind(&instance, "push", &json!({"machine": "worker", "wake": false}));
    assert_eq!((&hook["machine"], &hook["wake"]), (&json!(id), &json!(false)));
    assert_eq!(hook["path"], "/v1/hooks/test/push");

    let body = r#"{"ref": "main"}"#;
    let taken =
        post(&instance, "test", "push", &[("content-type", "application/json")], body.as_bytes());
    assert_eq!(taken, (202, json!({"seq": 1, "new": true})));
    instance.wait_for(&id, "started");
    let wake = instance.get(&format!("{}/self/wake", Instance::path(&id))).expect(200);
    assert_eq!(
        (&wake["wake"]["cause"], &wake["wake"]["rule"]),
        (&json!("rule"), &json!("work")),
        "{wake}"
    );
    let [message] = &messages(&instance, &id)[..] else { panic!("one message") };
    assert_eq!(message["from"], "token:hook.push");
    assert_eq!(message["body"], body);
}

#[test]
fn a_post_to_a_hook_that_wakes_needs_no_policy() {
    let instance = Instance::start();
    let id = sleeper(&instance, "worker", &json!({}));
    bind(&instance, "up", &json!({"machine": id}));
    assert_eq!(post(&instance, "test", "up", &[], b"now").0, 202);
    instance.wait_for(&id, "started");
}

#[test]
fn a_post_that_is_sent_again_is_one_message() {
    let instance = Instance::start();
    let id = sleeper(&instance, "worker", &json!({}));
    bind(&instance, "a", &json!({"machine": id, "wake": false}));
    bind(&instance, "b", &json!({"machine": id, "wake": false}));
    let send = |hook: &str, name: &str, value: &str| {
        let (status, body) = post(&instance, "test", hook, &[(name, value)], b"x");
        assert_eq!(status, 202, "{body}");
        (body["seq"].as_u64().expect("a number"), body["new"] == true)
    };
    assert_eq!(send("a", "X-GitHub-Delivery", "d1"), (1, true));
    assert_eq!(send("a", "X-GitHub-Delivery", "d1"), (1, false));
    assert_eq!(send("a", "webhook-id", "d1"), (1, false));
    assert_eq!(send("b", "Idempotency-Key", "d1"), (2, true));
    let long = "i".repeat(400);
    assert_eq!(send("b", "Idempotency-Key", &long), (3, true));
    assert_eq!(send("b", "Idempotency-Key", &long), (3, false));
    assert_eq!(messages(&instance, &id).len(), 3);
}

#[test]
fn a_hook_with_a_secret_takes_only_what_is_signed_with_it() {
    let instance = Instance::start();
    let id = sleeper(&instance, "worker", &json!({}));
    let wish = json!({"machine": id, "wake": false, "secret": "correct horse",
        "signature": {"scheme": "github"}});
    let hook = bind(&instance, "gh", &wish);
    assert_eq!((&hook["secret"], &hook["signature"]), (&Value::Null, &json!({"scheme": "github"})));
    let shown = instance.get(&format!("{HOOKS}/gh")).text + &instance.get(HOOKS).text;
    assert!(!shown.contains("correct horse"), "{shown}");

    let send = |key: &str| {
        let signature = format!("sha256={}", signing::hex(key, "hello"));
        post(&instance, "test", "gh", &[("x-hub-signature-256", &signature)], b"hello")
    };
    check(&send("wrong horse"), 401, "bad_signature");
    check(&post(&instance, "test", "gh", &[], b"hello"), 401, "bad_signature");
    assert_eq!(send("correct horse").0, 202);
    // What is left out stays.
    bind(&instance, "gh", &json!({"machine": id, "wake": false}));
    check(&send("wrong horse"), 401, "bad_signature");
    assert_eq!(send("correct horse").0, 202);
    assert_eq!(messages(&instance, &id).len(), 2);
}

#[test]
fn a_standard_post_counts_once_and_only_now() {
    let instance = Instance::start();
    let id = sleeper(&instance, "worker", &json!({}));
    let wish = json!({"machine": id, "wake": false, "secret": {"generate": true},
        "signature": {"scheme": "standard-webhooks", "tolerance": "1m"}});
    let hook = bind(&instance, "std", &wish);
    let secret = hook["secret"].as_str().expect("it is shown once");
    assert_eq!(hook["signature"], json!({"scheme": "standard-webhooks", "tolerance": "1m"}));
    let again = instance.get(&format!("{HOOKS}/std")).expect(200);
    assert_eq!(again["secret"], Value::Null);

    let send = |msg: &str, at: u64, key: &str| {
        let at = at.to_string();
        let signature = signing::standard(secret, msg, &at, "hi");
        let headers = [
            ("webhook-id", msg),
            ("webhook-timestamp", &at),
            ("webhook-signature", &signature),
            ("idempotency-key", key),
        ];
        post(&instance, "test", "std", &headers, b"hi")
    };
    assert_eq!(send("m1", now(), "k1").1, json!({"seq": 1, "new": true}));
    // Whoever has heard it and sends it again under another key makes no other message.
    assert_eq!(send("m1", now(), "k2").1, json!({"seq": 1, "new": false}));
    check(&send("m2", now() - 120, "k3"), 401, "bad_signature");
    check(&send("m2", now() + 120, "k3"), 401, "bad_signature");
    assert_eq!(messages(&instance, &id).len(), 1);
}

#[test]
fn what_is_missing_is_not_said() {
    let instance = Instance::start();
    let id = sleeper(&instance, "worker", &json!({}));
    bind(&instance, "there", &json!({"machine": id}));
    drop(instance.delete(&format!("{}?force=true", Instance::path(&id))).expect(200));
    instance.wait_for(&id, "destroyed");
    let answers = [("test", "there"), ("test", "absent"), ("absent", "there"), ("No App!", "x")]
        .map(|(app, hook)| post(&instance, &app.replace(' ', "%20"), hook, &[], b"x"));
    for answer in &answers {
        check(answer, 404, "hook_not_found");
        assert_eq!(answer, &answers[0]);
    }
}

#[test]
fn a_flood_is_refused_and_others_are_not() {
    let instance = Instance::start();
    let id = sleeper(&instance, "worker", &json!({}));
    for name in ["flooded", "quiet"] {
        bind(&instance, name, &json!({"machine": id, "wake": false}));
    }
    let send = |name: &str| {
        instance.try_request("POST", &format!("/v1/hooks/test/{name}"), b"x").expect("an answer")
    };
    let refused = (0..1000).map(|_| send("flooded")).find(|reply| reply.status != 202);
    let refused = refused.expect("no hook takes a thousand at once");
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(refused.refusal(429).code, "hook_rate");
    assert_eq!(send("quiet").status, 202);
}

#[test]
fn bodies_are_text_of_bounded_size_and_inboxes_are_bounded() {
    const LARGEST: usize = 256 * 1024;
    let instance = Instance::start();
    let id = sleeper(&instance, "worker", &json!({}));
    bind(&instance, "in", &json!({"machine": id, "wake": false}));
    let send = |body: &[u8]| post(&instance, "test", "in", &[], body);
    check(&send(b"\xff\xfe"), 415, "binary_body");
    check(&send(&vec![b'x'; LARGEST + 1]), 413, "body_too_large");
    for _ in 0..16 {
        assert_eq!(send(&vec![b'x'; LARGEST]).0, 202);
    }
    check(&send(b"x"), 429, "inbox_full");
}

#[test]
fn wrong_hooks_are_refused_with_the_reason() {
    let instance = Instance::start();
    let id = sleeper(&instance, "worker", &json!({}));
    let refused = |name: &str, wish: &Value, status: u16, code: &str| {
        let refusal = instance.request("PUT", &format!("{HOOKS}/{name}"), wish).refusal(status);
        assert_eq!(refusal.code, code, "{wish}");
    };
    refused("a", &json!({}), 400, "missing_machine");
    refused("a", &json!({"machine": "nobody"}), 404, "machine_not_found");
    refused("a.b", &json!({"machine": id}), 400, "invalid_hook_name");
    refused("a", &json!({"machine": id, "secret": "short"}), 400, "invalid_hook_secret");
    let by = |scheme: &str| json!({"machine": id, "signature": {"scheme": scheme}});
    refused("a", &by("hmac-sha256-hex"), 400, "invalid_hook_signature");
    refused("a", &by("rot13"), 400, "wrong_type");
    for n in 0..64 {
        bind(&instance, &format!("h{n}"), &json!({"machine": id}));
    }
    refused("h64", &json!({"machine": id}), 412, "too_many_hooks");
    bind(&instance, "h63", &json!({"machine": id, "wake": false}));
    drop(instance.delete(&format!("{HOOKS}/h0")).expect(200));
    assert_eq!(instance.delete(&format!("{HOOKS}/h0")).status, 404);
    let token = json!({"name": "hook.h1", "app": "test"});
    assert_eq!(instance.post("/v1/tokens", &token).refusal(400).code, "invalid_name");
}
