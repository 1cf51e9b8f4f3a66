//! What lines mean: the calls they make, and what is refused before any call.

use super::{Wish, parse, wants_json};
use crate::failure::Failure;

fn words(line: &[&str]) -> Vec<String> {
    line.iter().map(|word| (*word).to_owned()).collect()
}

/// The calls of a line as text: `METHOD PATH BODY`.
#[track_caller]
fn check(line: &[&str], expected: &[&str]) {
    let wish = parse(words(line)).unwrap_or_else(|failure| panic!("{line:?}: {failure}"));
    let Wish::Errand(errand) = wish else { panic!("{line:?} is help") };
    let calls: Vec<_> = errand
        .calls()
        .iter()
        .map(|call| {
            let body = call.body.as_ref().map(|body| format!(" {body}")).unwrap_or_default();
            format!("{} {}{body}", call.method, call.path)
        })
        .collect();
    assert_eq!(calls, expected, "{line:?}");
}

#[track_caller]
fn refuse(line: &[&str], message: &str) {
    let failure = match parse(words(line)) {
        Err(failure @ Failure::Usage { .. }) => failure,
        other => panic!("{line:?}: {other:?}"),
    };
    assert!(failure.to_string().contains(message), "{line:?}: {failure}");
    assert_eq!(failure.exit_code(), 2);
}

#[test]
fn memory() {
    check(&["get"], &["GET /v1/self/memory"]);
    check(&["get", "a b"], &["GET /v1/self/memory/a%20b"]);
    check(&["set", "a=5", "b=x=y"], &[r#"PATCH /v1/self/memory {"a":5,"b":"x=y"}"#]);
    check(&["set", "a=\"5\"", "c="], &[r#"PATCH /v1/self/memory {"a":"5","c":""}"#]);
    check(&["set", "a={\"b\":[true]}"], &[r#"PATCH /v1/self/memory {"a":{"b":[true]}}"#]);
    check(&["unset", "a", "b"], &[r#"PATCH /v1/self/memory {"a":null,"b":null}"#]);
    check(&["phase", "at work"], &[r#"PATCH /v1/self/intent {"phase":"at work"}"#]);
    check(&["done"], &[r#"PATCH /v1/self/intent {"done":true}"#]);
    check(&["done", "--no"], &[r#"PATCH /v1/self/intent {"done":false}"#]);
    refuse(&["set"], "needs `KEY=VALUE`");
    refuse(&["set", "a"], "is not `KEY=VALUE`");
    refuse(&["set", "=5"], "is not `KEY=VALUE`");
    refuse(&["set", "a=null"], "dm unset a");
    refuse(&["set", "a=1", "--if-revision", "x"], "is no number");
    refuse(&["get", "a", "b"], "one word too many");
}

#[test]
fn a_write_on_a_revision_is_made_once() {
    let Ok(Wish::Errand(errand)) = parse(words(&["set", "a=1", "--if-revision=7"])) else {
        panic!("an errand")
    };
    let call = errand.calls()[0];
    assert_eq!((call.if_match, call.may_repeat), (Some(7), false));
}

#[test]
fn messages() {
    check(&["inbox"], &["GET /v1/self/inbox?limit=20"]);
    check(&["ack", "3", "4"], &[r#"POST /v1/self/inbox/ack {"seqs":[3,4]}"#]);
    check(&["ack", "--alarm", "night"], &["POST /v1/self/alarms/night/ack"]);
    check(&["post", "db", "hi"], &[r#"POST /v1/peers/db/inbox {"body":"hi"}"#]);
    check(
        &["post", "--self", "--wake", "--id", "x", "--hops=2", "hi"],
        &[r#"POST /v1/self/inbox {"body":"hi","hops":2,"id":"x","wake":true}"#],
    );
    check(&["post", "db", "--", "--json"], &[r#"POST /v1/peers/db/inbox {"body":"--json"}"#]);
    assert!(!wants_json(&words(&["post", "db", "--", "--json"])));
    assert!(wants_json(&words(&["--json", "get"])));
    refuse(&["inbox", "--wait", "5"], "`--wait` is for `--take`");
    refuse(&["inbox", "--take", "many"], "is no number");
    refuse(&["ack"], "`ack` needs");
    refuse(&["ack", "x"], "`x` is no number");
    refuse(&["post", "db"], "needs `BODY`");
}

#[test]
fn holds_and_alarms() {
    check(&["hold"], &["GET /v1/self/holds"]);
    check(
        &["hold", "job", "--for", "5m", "--reason", "busy"],
        &[r#"PUT /v1/self/holds/job {"reason":"busy","ttl":300}"#],
    );
    check(&["release", "job"], &["DELETE /v1/self/holds/job"]);
    check(&["alarm"], &["GET /v1/self/alarms"]);
    check(&["alarm", "a", "--every=90"], &[r#"PUT /v1/self/alarms/a {"every":90}"#]);
    check(
        &["alarm", "a", "--cron", "0 2 * * *", "--tz", "Europe/Rome", "--missed", "all"],
        &[r#"PUT /v1/self/alarms/a {"cron":"0 2 * * *","missed":"all","tz":"Europe/Rome"}"#],
    );
    let at = "2099-01-01T00:00:00+01:00";
    check(&["alarm", "a", "--at", at], &[&format!(r#"PUT /v1/self/alarms/a {{"at":"{at}"}}"#)]);
    check(&["unalarm", "a"], &["DELETE /v1/self/alarms/a"]);
    check(&["beat"], &["POST /v1/self/beat"]);
    refuse(&["hold", "job"], "every hold ends");
    refuse(&["hold", "job", "--for", "soon"], "is no span");
    refuse(&["hold", "job", "--for"], "needs a value");
    refuse(&["alarm", "a"], "needs one of");
    refuse(&["alarm", "a", "--every", "5s", "--at", at], "needs one of");
    refuse(&["alarm", "a", "--at", "noon"], "is no moment");
}

#[test]
fn rests() {
    check(
        &["sleep", "--until", "inbox.depth > 0", "--mode", "freeze", "--note", "n"],
        &[r#"POST /v1/self/rest {"mode":"freeze","note":"n","until":"inbox.depth > 0"}"#],
    );
    check(&["stop"], &["POST /v1/self/stop"]);
    check(&["suspend"], &["POST /v1/self/suspend"]);
    check(&["why"], &["GET /v1/self/explain", "GET /v1/self/wake"]);
    check(&["policy"], &["GET /v1/self/policy"]);
    refuse(&["sleep"], "`--until CONDITION` or `--at WHEN`");
    refuse(&["sleep", "--at", "later"], "is no moment");
    refuse(&["stop", "now"], "one word too many");
    refuse(&["stop", "--now"], "has no option `--now`");
    refuse(&["wait-notice", "--wait", "x"], "is no span");
}

#[test]
fn peers() {
    check(&["peer", "db"], &["GET /v1/peers/db/state", "GET /v1/peers/db/memory"]);
    check(&["peer", "db", "k"], &["GET /v1/peers/db/memory"]);
    check(&["peer", "db", "k=1"], &[r#"PATCH /v1/peers/db/memory {"k":1}"#]);
    refuse(&["peer"], "needs `NAME`");
    refuse(&["peer", "db", "a", "b"], "is not `KEY=VALUE`");
}

#[test]
fn words_that_are_none() {
    refuse(&[], "there is no verb");
    refuse(&["--json"], "there is no verb");
    refuse(&["snore"], "there is no verb `snore`");
    refuse(&["help", "snore"], "there is no verb `snore`");
    for line in
        [&["help"][..], &["--help"], &["sleep", "--help"], &["help", "sleep"], &["--version"]]
    {
        assert!(matches!(parse(words(line)), Ok(Wish::Help(_))), "{line:?}");
    }
}

#[test]
fn every_verb_of_the_help_is_one() {
    for line in crate::help::all().lines().filter(|line| line.starts_with("  ")) {
        let verb = line.split_whitespace().next().expect("a word");
        let refused = parse(words(&[verb, "--nonsense"]));
        let text = refused.map_or_else(|failure| failure.to_string(), |_| String::new());
        assert!(!text.starts_with("there is no verb `") || verb == "help", "{verb}: {text}");
    }
}
