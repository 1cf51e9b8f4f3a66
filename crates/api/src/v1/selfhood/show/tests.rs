//! A record that has everything, and the JSON that it becomes.

use super::*;
use govern::selfhood::{DueAlarm as Due, PolicyRef};
use govern::verdict::Source;
use model::admit::Gate;
use model::{Cause, DurationMs};
use policy::document::{AlarmText, Missed};
use policy::{Policy, Writer};
use serde_json::{Value, json};
use std::sync::Arc;

/// 2026-11-21T10:00:00Z
const NOW: UnixMs = UnixMs(1_795_255_200_000);
const MINUTE: DurationMs = DurationMs::from_secs(60);

fn written(value: Value) -> selfhood::Fact {
    let writer = Writer::Token("ci".to_owned());
    selfhood::Fact { value, writer, rev: 3, at: NOW, expires_at: None, secret: false }
}

fn record() -> SelfRecord {
    let text = br#"{"facts": {"watching": {"type": "bool", "default": false},
        "plain": {"type": "int", "default": 7}, "none": {"type": "int"}}}"#;
    let mut selfhood = Selfhood { revision: 12, ..Selfhood::default() };
    let facts = Arc::make_mut(&mut selfhood.facts);
    facts.insert("watching".to_owned(), written(json!(true)));
    let secret = selfhood::Fact { secret: true, ..written(json!("hunter2")) };
    facts.insert("key".to_owned(), secret);
    let expired = selfhood::Fact { expires_at: Some(NOW), ..written(json!(1)) };
    facts.insert("old".to_owned(), expired);
    let policy = Arc::new(Policy::parse(text).expect("a policy"));
    SelfRecord { selfhood, policy, policy_text: None }
}

#[track_caller]
fn check(shown: &impl serde::Serialize, expected: &Value) {
    assert_eq!(&serde_json::to_value(shown).expect("plain fields"), expected);
}

#[test]
fn memory_shows_what_counts_and_no_secret() {
    let written = json!({"writer": "token:ci", "rev": 3, "at": "2026-11-21T10:00:00Z"});
    let with = |fields: Value| {
        let mut out = written.clone();
        let (Some(out_fields), Value::Object(fields)) = (out.as_object_mut(), fields) else {
            unreachable!("objects")
        };
        out_fields.extend(fields);
        out
    };
    let facts = json!({
        "watching": with(json!({"value": true})),
        "key": with(json!({"value": null, "secret": true})),
        "plain": {"value": 7, "default": true},
    });
    check(&memory(&record(), NOW), &json!({"revision": 12, "facts": facts}));
}

#[test]
fn holds_and_alarms_say_when() {
    let mut selfhood = record().selfhood;
    let hold = |expires_at| selfhood::Hold {
        expires_at,
        reason: "deploy".to_owned(),
        writer: Writer::Machine,
        at: NOW,
    };
    selfhood.holds.insert("over".to_owned(), hold(NOW));
    selfhood.holds.insert("live".to_owned(), hold(NOW.plus(MINUTE)));
    let live = json!({"expires_at": "2026-11-21T10:01:00Z", "reason": "deploy", "writer": "self",
        "at": "2026-11-21T10:00:00Z"});
    check(&holds(&selfhood, NOW), &json!({"live": live}));
    let text = AlarmText {
        at: None,
        every: None,
        cron: Some("0 2 * * *".to_owned()),
        tz: Some("Europe/Rome".to_owned()),
        missed: Missed::All,
    };
    let entry = selfhood::AlarmEntry {
        text,
        origin: AlarmOrigin::Policy,
        set_at: NOW,
        last: NOW,
        next: Some(NOW.plus(MINUTE)),
        due: Some(Due { since: NOW, meant_for: NOW, count: 2 }),
    };
    selfhood.alarms.insert("night".to_owned(), entry);
    let at = "2026-11-21T10:00:00Z";
    let night = json!({"cron": "0 2 * * *", "tz": "Europe/Rome", "missed": "all",
        "origin": "policy", "set_at": at, "next": "2026-11-21T10:01:00Z",
        "due": {"since": at, "meant_for": at, "count": 2}});
    check(&alarms(&selfhood), &json!({"night": night}));
}

#[test]
fn rests_wakes_and_policies_are_named() {
    let asked = RestUntil {
        mode: Depth::Freeze,
        until: Some("inbox.depth > 0".to_owned()),
        at: None,
        note: String::new(),
        rev: 9,
        phase: RestPhase::Asked { since: NOW, up: 1 },
    };
    let at = "2026-11-21T10:00:00Z";
    let shown = json!({"name": "self:9", "mode": "freeze", "until": "inbox.depth > 0",
        "phase": "asked", "since": at});
    check(&rest(&asked), &shown);
    let woken = LastWake {
        cause: Cause::Rule { rule: "pile".to_owned() },
        at: UnixMs(NOW.0 + 250),
        is_governed: true,
        reached: true,
        cold: false,
        progressed: false,
        ended: false,
    };
    let shown = json!({"cause": "rule", "rule": "pile", "at": "2026-11-21T10:00:00.250Z",
        "governed": true, "reached": true, "cold": false, "progressed": false, "ended": false});
    check(&wake(&woken), &shown);
    let hash = record().policy.hash().clone();
    let named = PolicyRef { hash: hash.clone(), at: NOW, by: Writer::Owner, rev: 2 };
    let shown = json!({"hash": hash.to_string(), "at": at, "by": "owner", "rev": 2});
    check(&policy_named(&named), &shown);
}

#[test]
fn messages_have_all_but_what_is_inside() {
    let row = govern::write::MessageRow {
        seq: 5,
        id: Some("a".to_owned()),
        from: Writer::Peer("db".to_owned()),
        at: NOW,
        bytes: 2,
        hops: 1,
        wake: true,
        deliveries: 1,
        hidden_until: NOW.plus(MINUTE),
    };
    let found = InboxMessage { row, body: "hi".to_owned() };
    let shown = json!({"seq": 5, "id": "a", "from": "peer:db", "at": "2026-11-21T10:00:00Z",
        "body": "hi", "hops": 1, "wake": true, "deliveries": 1,
        "hidden_until": "2026-11-21T10:01:00Z"});
    check(&message(&found, NOW), &shown);
    let later = message(&found, NOW.plus(MINUTE));
    assert_eq!(later.hidden_until, None, "it can be delivered again");
}

#[track_caller]
fn check_line(stance: &Stance, word: &str, line: &str) {
    let decision = decision(stance, Some(NOW));
    assert_eq!((decision.stance.as_str(), decision.line.as_str()), (word, line));
}

#[test]
fn decisions_fit_in_a_line() {
    let by = || Source::Rule("pile".to_owned());
    check_line(&Stance::Up { by: by() }, "up", "up: rule `pile` wants it up");
    let gate_by = Some("quiet".to_owned());
    check_line(
        &Stance::Owed { by: by(), gate: Gate::Deny, gate_by },
        "owed",
        "owed: rule `pile` wants it up; gate deny (quiet)",
    );
    check_line(
        &Stance::Kept { by: by(), gate: Gate::MinRun, gate_by: None },
        "kept",
        "kept: rule `pile` wants it to rest; gate min_run",
    );
    let down = Stance::Down { by: Source::RestUntil(9), depth: Depth::Stop };
    check_line(&down, "down", "down: self:9 wants it to stop");
    let held = Stance::Held { by: Source::Hold("deploy".to_owned()) };
    check_line(&held, "held", "held: hold `deploy` keeps it awake");
    check_line(&Stance::Stay, "stay", "stay: nothing wants anything else");
}
