//! Notifications of machines.

use crate::receiver::{Answer, Letter, Receiver};
use crate::{HOOKS, messages, signing, sleeper};
use serde_json::{Value, json};
use std::process::Command;
use testkit::{Builder, Instance, eventually};

/// A policy that notifies `to` when the fact `progress` reaches 1.
pub(crate) fn tells(to: &str) -> Value {
    json!({
        "facts": {"progress": {"type": "double", "default": 0, "writers": ["owner"]}},
        "rules": [{"id": "done", "effect": "notify", "when": "memory.progress >= 1.0", "to": to}],
    })
}

/// Sets the fact `progress`.
#[track_caller]
pub(crate) fn progress(instance: &Instance, id: &str, value: f64) {
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

/// The letters of a machine that wait, with the code and error of their last try.
#[track_caller]
fn waiting(instance: &Instance, id: &str) -> Vec<Value> {
    let outbox = instance.get(&format!("{}/self/outbox", Instance::path(id))).expect(200);
    outbox["letters"].as_array().expect("a list").clone()
}

/// A stopped machine that tells `to`, and may speak to nobody but whom `egress` allows.
#[track_caller]
fn confined(instance: &Instance, name: &str, to: &str, egress: &Value) -> String {
    let config = json!({"image": "fake", "engine": "fake", "policy": tells(to), "egress": egress,
        "restart": {"policy": "no"}});
    let body = json!({"name": name, "config": config, "skip_launch": true});
    let id = instance.create_with(&body);
    instance.wait_for(&id, "stopped");
    id
}

#[test]
fn a_letter_goes_only_where_its_machine_may_speak_to() {
    let receiver = Receiver::start(&[]);
    let instance = Builder::default().arg(&receiver.option()).start();
    let here = json!({"action": "allow", "to": "127.0.0.1"});
    let free =
        confined(&instance, "free", &receiver.url(), &json!({"default": "deny", "rules": [here]}));
    let closed =
        confined(&instance, "closed", &receiver.url(), &json!({"default": "deny", "rules": []}));
    progress(&instance, &closed, 1.0);
    let letter = eventually("it is refused", || {
        let letters = waiting(&instance, &closed);
        letters.into_iter().find(|letter| letter["last_code"].is_string())
    });
    assert_eq!(letter["last_code"], "egress_denied");
    let why = letter["last_error"].as_str().expect("a sentence");
    assert!(why.contains("egress policy") && why.contains("127.0.0.1"), "{why}");
    assert!(receiver.letters().is_empty());

    // The trace has it once, and says by which rule.
    let told = || {
        let trace = instance.get(&format!("{}/self/trace", Instance::path(&closed))).expect(200);
        let text = trace.to_string();
        text.matches("notification by rule `done` not delivered: egress_denied").count()
    };
    assert_eq!(eventually("the trace has it", || Some(told()).filter(|n| *n > 0)), 1);

    // Nobody else is held up.
    progress(&instance, &free, 1.0);
    let letters = receiver.wait_for(1);
    let body: Value = serde_json::from_str(&letters[0].body).expect("JSON");
    assert_eq!((&body["machine"], letters.len()), (&json!(free), 1));
}

#[test]
fn what_waits_is_shown_on_the_command_line() {
    let receiver = Receiver::start(&[Answer::Status(503)]);
    let instance = Builder::default().arg(&receiver.option()).start();
    let id = sleeper(&instance, "worker", &tells(&receiver.url()));
    let list = || {
        let output = instance.cli(&["hook", "outbox", &id, "--app", "test"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    };
    assert_eq!(list().lines().count(), 1, "nothing waits");
    progress(&instance, &id, 1.0);
    drop(receiver.wait_for(1));
    let shown = eventually("it is put off", || Some(list()).filter(|text| text.contains("503")));
    for word in ["RULE", "done", &receiver.url(), "receiver_status", "status 503"] {
        assert!(shown.contains(word), "`{word}` in {shown}");
    }
    drop(receiver.wait_for(2));
    eventually("it has arrived", || (list().lines().count() == 1).then_some(()));
}
