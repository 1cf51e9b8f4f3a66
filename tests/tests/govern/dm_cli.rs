//! The owner's command line for governed machines.

use crate::desk::{Governed, sleeper};
use serde_json::{Value, json};
use std::fs;
use std::process::Output;
use testkit::{Instance, instance};

/// Runs the CLI on a fresh instance's machine, which is called by its id.
fn cli(instance: &Instance, args: &[&str]) -> Output {
    instance.command().args(args).output().expect("the CLI's binary can be run")
}

/// What it says on standard output, when it succeeds.
#[track_caller]
fn said(instance: &Instance, args: &[&str]) -> String {
    let output = cli(instance, args);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{args:?}: {told}");
    String::from_utf8(output.stdout).expect("text")
}

/// The same as JSON.
#[track_caller]
fn json_of(instance: &Instance, args: &[&str]) -> Value {
    let mut args = args.to_vec();
    args.push("--json");
    serde_json::from_str(&said(instance, &args)).expect("JSON")
}

/// What it says on standard error, when it fails.
#[track_caller]
fn told(instance: &Instance, args: &[&str]) -> String {
    let output = cli(instance, args);
    assert_eq!(output.status.code(), Some(1), "{args:?}");
    String::from_utf8(output.stderr).expect("text")
}

fn id<'a>(machine: &'a Governed<'_>) -> &'a str {
    &machine.id
}

#[test]
fn an_owner_reads_and_writes_a_machine_that_sleeps() {
    let instance = Instance::start();
    let machine = sleeper(&instance, &json!({}), &json!({}));
    let id = id(&machine);

    assert!(
        said(&instance, &["memory", "set", id, "scratch.a=1", "scratch.b=x"])
            .starts_with("revision ")
    );
    assert_eq!(said(&instance, &["memory", "get", id, "scratch.b"]), "x\n");
    assert_eq!(json_of(&instance, &["memory", "get", id])["facts"]["scratch.a"]["value"], 1);
    let stale = told(&instance, &["memory", "set", id, "scratch.a=2", "--if-revision", "0"]);
    assert!(stale.contains("hint: "), "{stale}");
    said(&instance, &["memory", "unset", id, "scratch.a", "scratch.b"]);

    said(&instance, &["intent", id, "--objective", "watch", "--phase", "idle"]);
    assert!(said(&instance, &["intent", id]).contains("objective: watch\n"));

    assert!(said(&instance, &["inbox", "post", id, "hello\nthere"]).starts_with("message 1\n"));
    assert!(said(&instance, &["inbox", "list", id]).contains("hello\\nthere"));
    said(&instance, &["inbox", "ack", id, "1"]);
    assert_eq!(json_of(&instance, &["inbox", "list", id])["depth"], 0);
    assert_eq!(said(&instance, &["inbox", "dead", id]).lines().count(), 1);

    said(&instance, &["hold", "put", id, "job", "--for", "5m", "--reason", "busy"]);
    assert!(said(&instance, &["hold", "list", id]).contains("busy"));
    said(&instance, &["hold", "drop", id, "job"]);

    said(&instance, &["alarm", "set", id, "night", "--cron", "0 2 * * *", "--tz", "Europe/Rome"]);
    assert!(said(&instance, &["alarm", "list", id]).contains("cron 0 2 * * * Europe/Rome"));
    said(&instance, &["alarm", "drop", id, "night"]);

    said(&instance, &["breaker", "reset", id]);
    assert_eq!(said(&instance, &["rest", id]), "it has asked for no rest\n");
    assert!(said(&instance, &["self", "show", id]).contains("\nphase:     idle\n"));
    machine.check_trace();
}

#[test]
fn a_policy_is_set_tried_and_taken_away() {
    let instance = Instance::start();
    let machine = sleeper(&instance, &json!({}), &json!({}));
    let id = id(&machine);
    let file = |name: &str, when: &str| {
        let rule = json!({"id": "pile", "effect": "wake", "when": when});
        let path = instance.dir().join(name);
        fs::write(&path, json!({"rules": [rule]}).to_string()).expect("written");
        path.display().to_string()
    };
    let (good, wrong) = (file("good", "inbox.depth >= 10"), file("wrong", "inbox.deth >= 10"));

    let refused = told(&instance, &["policy", "set", id, &wrong]);
    assert!(
        refused.contains("\n  | ^^^^^^^^^^\n  hint: did you mean `inbox.depth`?\n"),
        "{refused}"
    );
    assert_eq!(refused.matches("did you mean").count(), 1, "{refused}");

    assert!(said(&instance, &["policy", "set", id, &good]).starts_with("sha256:"));
    assert_eq!(json_of(&instance, &["policy", "show", id])["policy"]["rules"][0]["id"], "pile");
    let run = said(&instance, &["policy", "dry-run", "--machine", id]);
    assert!(run.contains("inbox.depth = 0"), "{run}");
    said(&instance, &["policy", "clear", id]);
    assert!(json_of(&instance, &["policy", "show", id])["policy"]["rules"].is_null());
}

#[test]
fn why_comes_as_a_sentence_first() {
    let instance = Instance::start();
    let machine = sleeper(&instance, &json!({}), &json!({}));
    let id = id(&machine);
    said(&instance, &["hold-down", "put", id, "--reason", "it is broken"]);
    let why = said(&instance, &["explain", id]);
    let sentence = why.lines().next().expect("a line");
    assert!(sentence.starts_with("asleep because it is held down: it is broken"), "{why}");
    assert_eq!(json_of(&instance, &["explain", id])["sentence"], sentence);
    assert!(said(&instance, &["hold-down", "show", id]).contains("it is broken"));
    said(&instance, &["hold-down", "release", id]);
    assert_eq!(said(&instance, &["hold-down", "show", id]), "it is not held down\n");

    assert!(said(&instance, &["trace", id]).contains("hold_down"));
    assert!(said(&instance, &["trace", id, "verify"]).contains(" entries hold, from 1 to "));
    said(&instance, &["trace", id, "replay"]);
    assert_eq!(said(&instance, &["trace", id, "-n", "1"]).lines().count(), 1);
}

#[test]
fn a_self_moves_to_another_machine() {
    let instance = Instance::start();
    let (from, to) =
        (sleeper(&instance, &json!({}), &json!({})), sleeper(&instance, &json!({}), &json!({})));
    from.know(&json!({"scratch.known": "well"}));
    from.post(&json!({"body": "for later"}));
    let file = instance.dir().join("export.json").display().to_string();
    said(&instance, &["self", "export", id(&from), "--output", &file]);
    said(&instance, &["self", "import", id(&to), &file]);
    assert_eq!(to.fact("scratch.known"), "well");
    assert!(said(&instance, &["inbox", "list", id(&to)]).contains("for later"));
    let again = told(&instance, &["self", "export", id(&from), "--output", &file]);
    assert!(again.contains("cannot write"), "{again}");
    to.check_trace();
}

#[test]
fn a_hook_is_made_shown_and_removed() {
    let instance = Instance::start();
    let machine = sleeper(&instance, &json!({}), &json!({}));
    let app = instance::APP;
    let made = said(&instance, &["hook", "set", id(&machine), "push", "--draw-secret"]);
    assert!(made.starts_with("POST /v1/hooks/") && made.contains("\nsecret whsec_"), "{made}");
    assert!(said(&instance, &["hook", "list", "--app", app]).contains("standard-webhooks"));
    said(&instance, &["hook", "remove", "push", "--app", app]);
    assert_eq!(json_of(&instance, &["hook", "list", "--app", app]), json!([]));
}
