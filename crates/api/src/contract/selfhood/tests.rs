//! Requests as callers write them, and answers that clients of another release can read.

use super::*;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

#[track_caller]
fn read<T: DeserializeOwned>(json: Value) -> T {
    serde_json::from_value(json.clone()).unwrap_or_else(|error| panic!("{json}: {error}"))
}

#[track_caller]
fn refuse<T: DeserializeOwned + std::fmt::Debug>(json: Value) {
    let text = json.to_string();
    assert!(serde_json::from_value::<T>(json).is_err(), "{text}");
}

#[track_caller]
fn check<T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug>(value: &T, json: &Value) {
    assert_eq!(&serde_json::to_value(value).expect("plain fields"), json);
    assert_eq!(&read::<T>(json.clone()), value);
}

#[test]
fn a_field_that_nobody_knows_is_refused() {
    refuse::<IntentChange>(json!({"fase": "x"}));
    refuse::<Post>(json!({"body": "x", "weak": true}));
    refuse::<MessagesTake>(json!({"count": 1}));
    refuse::<MessagesAck>(json!({"seqs": [1], "seq": 1}));
    refuse::<HoldPut>(json!({"ttl": 1, "why": "x"}));
    refuse::<AlarmPut>(json!({"cron": "* * * * *", "timezone": "UTC"}));
    refuse::<RestPut>(json!({"untill": "true"}));
    refuse::<HoldDownPut>(json!({"resaon": "x"}));
    refuse::<DryRunRequest>(json!({"memmory": {}}));
}

#[test]
fn null_is_absent() {
    let none: RestPut = read(json!({"mode": null, "until": null, "at": null, "note": null}));
    assert_eq!(none, RestPut::default());
    assert_eq!(read::<HoldPut>(json!({"ttl": null})), HoldPut::default());
    assert_eq!(read::<AlarmPut>(json!({"missed": null, "at": null})), AlarmPut::default());
    let post: Post = read(json!({"body": null, "id": null, "wake": null, "hops": null}));
    assert_eq!(post, Post::default());
}

#[test]
fn requests_are_read_as_documented() {
    let hold: HoldPut = read(json!({"ttl": 60, "reason": "deploy"}));
    assert_eq!(hold.ttl, Some(Span::from_secs(60)));
    let hold: HoldPut = read(json!({"lasts": "1m"}));
    assert_eq!(hold.lasts, Some(Span::from_secs(60)));
    let alarm: AlarmPut = read(json!({"every": "1h", "missed": "skip"}));
    let text = ::policy::document::AlarmText::from(alarm.clone());
    let back = AlarmPut::from(&text);
    assert_eq!(back, alarm);
    let rest: RestPut = read(json!({"mode": "freeze", "at": "2026-11-21T11:00:00+01:00"}));
    assert_eq!(rest.at, Some(Moment(model::UnixMs(1_795_255_200_000))));
    refuse::<RestPut>(json!({"mode": "sleep"}));
    refuse::<RestPut>(json!({"at": "tomorrow"}));
    refuse::<HoldPut>(json!({"ttl": -1}));
}

#[test]
fn a_dry_run_tries_every_kind_of_write() {
    let wish: DryRunRequest = read(json!({"as": "self", "memory": {"a": null}, "writes": [
        {"memory": {"a": 1}}, {"intent": {"phase": "idle"}}, {"hold": {"h": {"ttl": 5}}},
        {"drop_hold": "h"}, {"alarm": {"n": {"every": "1h"}}}, {"drop_alarm": "n"},
        {"ack_alarm": "n"}, {"post": {"body": "x"}}, {"rest": {"until": "true"}}, "clear_rest",
        {"policy": {}}, {"hold_down": {"reason": "x"}}, {"hold_down": null}, "stop"
    ]}));
    assert_eq!(wish.writes.map(|writes| writes.len()), Some(14));
    assert_eq!(wish.writer.as_deref(), Some("self"));
    refuse::<DryRunRequest>(json!({"writes": [{"sleep": {}}]}));
    refuse::<DryRunRequest>(json!({"writes": [{"hold": {"h": {"tll": 5}}}]}));
}

#[test]
fn answers_have_the_agreed_keys() {
    check(&Written { revision: 3 }, &json!({"revision": 3}));
    check(
        &Posted { revision: 3, seq: 1, new: true },
        &json!({"revision": 3, "seq": 1, "new": true}),
    );
    check(&Acked { revision: 4, depth: 0 }, &json!({"revision": 4, "depth": 0}));
    check(&WakeReply::default(), &json!({"revision": 0, "wake": null}));
    check(&NoticeReply::default(), &json!({"notice": null}));
    check(&HoldDownReply::default(), &json!({"revision": 0, "hold_down": null}));
    check(&Policy::default(), &json!({"revision": 0, "policy": null}));
    check(&Taken::default(), &json!({"revision": 0, "messages": []}));
    let fact = Fact { value: json!(1), is_default: true, ..Fact::default() };
    check(
        &FactReply { revision: 2, key: "a".to_owned(), fact },
        &json!({"revision": 2, "key": "a", "value": 1, "default": true}),
    );
    check(
        &InboxPage::default(),
        &json!({"revision": 0, "depth": 0, "bytes": 0, "next_seq": 0, "wakes": 0, "dead": 0,
            "messages": []}),
    );
}

#[test]
fn the_whole_has_every_part() {
    let whole = serde_json::to_value(Whole::default()).expect("plain fields");
    let keys: Vec<_> = whole.as_object().expect("an object").keys().map(String::as_str).collect();
    let mut expected = vec![
        "revision",
        "machine",
        "name",
        "state",
        "intent",
        "memory",
        "inbox",
        "holds",
        "alarms",
        "signals",
        "usage",
        "policy",
        "decision",
        "wake",
        "rest",
        "hold_down",
        "trace",
    ];
    let mut keys = keys;
    keys.sort_unstable();
    expected.sort_unstable();
    assert_eq!(keys, expected);
    assert_eq!(read::<Whole>(whole), Whole::default());
}

#[test]
fn a_wake_is_flat() {
    let wake = Wake {
        cause: model::Cause::Alarm { alarm: "night".to_owned() },
        at: Moment::default(),
        governed: true,
        reached: true,
        cold: false,
        progressed: false,
        ended: false,
    };
    let json = json!({"cause": "alarm", "alarm": "night", "at": "1970-01-01T00:00:00Z",
        "governed": true, "reached": true, "cold": false, "progressed": false, "ended": false});
    check(&wake, &json);
}
