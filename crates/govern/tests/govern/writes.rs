//! Tables: what is written, what is refused, and with which words.

use crate::shell::{AGENT, DUTY, MemRows, NIGHTLY, NOW, Shell, fact, policy_write, rest_until};
use govern::limits::{
    ALARMS_MAX, CHANGE_BYTES_MAX, HOLD_MAX, HOLDS_MAX, INTENT_BYTES_MAX, MESSAGE_BYTES_MAX,
    RECORD_BYTES_MAX,
};
use govern::selfhood::RecordError;
use govern::write::{Message, Reply};
use govern::{
    Action, Applied, Ground, Report, RowOp, Selfhood, Write, WriteRefused, Writer, apply, refusal,
};
use model::{Depth, DurationMs, UnixMs};
use policy::document::AlarmText;
use serde_json::json;

fn every(seconds: u64) -> AlarmText {
    let every = Some(format!("{seconds}s").parse().expect("a period"));
    AlarmText { at: None, every, cron: None, tz: None, missed: Default::default() }
}

fn at(text: &str) -> AlarmText {
    AlarmText { at: Some(text.to_owned()), every: None, ..every(1) }
}

fn hold(name: &str, lasts: DurationMs) -> Write {
    Write::Hold { name: name.to_owned(), lasts, reason: "why".to_owned() }
}

fn alarm(name: &str, alarm: AlarmText) -> Write {
    Write::Alarm { name: name.to_owned(), alarm }
}

fn intent(objective: Option<&str>, phase: Option<&str>) -> Write {
    let own = |text: Option<&str>| text.map(str::to_owned);
    Write::Intent { objective: own(objective), phase: own(phase), done: None }
}

fn token() -> Writer {
    Writer::Token("ci".to_owned())
}

/// Every write once, with a word about it.
fn all() -> Vec<Write> {
    vec![
        fact("watching", true),
        intent(Some("watch"), None),
        intent(None, Some("busy")),
        hold("h", DurationMs(1000)),
        Write::DropHold { name: "h".to_owned() },
        alarm("a", every(60)),
        Write::DropAlarm { name: "a".to_owned() },
        Write::AckAlarm { name: "a".to_owned() },
        Write::Post(Message::default()),
        Write::Take { max: 1 },
        Write::Ack { seqs: vec![1] },
        rest_until("inbox.depth > 0", Depth::Stop),
        Write::ClearRest,
        policy_write("{}"),
        Write::HoldDown(None),
        Write::Stop,
        Write::Report(Report::WakeFailed),
        Write::ResetBreaker,
    ]
}

/// The table of rights holds for the writes themselves: nobody gets past it, and the refusal is the
/// first thing that is looked at.
#[test]
fn every_write_meets_the_table_of_rights() {
    let shell = Shell::new(DUTY);
    let writers =
        [Writer::Machine, Writer::Owner, token(), Writer::Peer("db".to_owned()), Writer::Platform];
    for write in all() {
        for writer in &writers {
            let result = try_on(&shell, &write, writer);
            let refused = matches!(result, Err(WriteRefused::Rights { .. }));
            assert_eq!(refused, !write.action().allows(writer), "{write:?} by {writer}");
        }
    }
}

fn try_on(shell: &Shell, write: &Write, writer: &Writer) -> Result<Applied, WriteRefused> {
    let ground = Ground {
        selfhood: &shell.selfhood,
        policy: &shell.policy,
        rows: &shell.rows,
        inbox_room: 1 << 30,
        now: shell.now,
    };
    apply(&ground, write, writer)
}

#[track_caller]
fn check(shell: &Shell, write: Write, writer: &Writer, code: &str, status: u16) {
    let refused = try_on(shell, &write, writer).expect_err("refused");
    assert_eq!((refused.code(), refused.status()), (code, status), "{refused}");
    assert!(!refused.to_string().is_empty());
    let ground = Ground {
        selfhood: &shell.selfhood,
        policy: &shell.policy,
        rows: &shell.rows,
        inbox_room: 0,
        now: shell.now,
    };
    let entry = refusal(&ground, &write, writer, &refused);
    assert_eq!(entry.refused.as_deref(), Some(code));
    assert!(entry.changes.iter().all(|line| line.len() <= CHANGE_BYTES_MAX));
}

#[test]
fn what_is_refused() {
    let owner = &Writer::Owner;
    let own = &Writer::Machine;
    let shell = Shell::up(NIGHTLY);
    check(&shell, fact("progres", 1.0), own, "memory_undeclared", 422);
    check(&shell, fact("progress", 2.0), own, "memory_value_invalid", 422);
    check(&shell, fact("progress", 0.5), owner, "memory_writer", 403);
    check(&shell, fact("scratch.x", "x".repeat(5000)), own, "memory_value_too_long", 413);
    check(&shell, fact("a b", 1), own, "memory_key_invalid", 422);
    let patch = Write::Memory { patch: [].into(), if_match: Some(99) };
    check(&shell, patch, own, "self_revision", 412);
    let long = "x".repeat(INTENT_BYTES_MAX + 1);
    check(&shell, intent(Some(&long), None), owner, "self_too_long", 413);
    check(&shell, intent(Some("x"), None), own, "self_rights", 403);
    check(&shell, hold("h", DurationMs(HOLD_MAX.0 + 1)), own, "self_time_invalid", 422);
    check(&shell, hold("h", DurationMs(0)), own, "self_time_invalid", 422);
    check(&shell, hold("a hold", DurationMs(1)), own, "self_name_invalid", 422);
    check(&shell, hold("", DurationMs(1)), own, "self_name_invalid", 422);
    check(&shell, Write::DropHold { name: "x".to_owned() }, own, "self_missing", 404);
    check(&shell, alarm("night", every(60)), own, "alarm_of_policy", 409);
    check(&shell, Write::DropAlarm { name: "night".to_owned() }, own, "alarm_of_policy", 409);
    check(&shell, Write::AckAlarm { name: "x".to_owned() }, own, "self_missing", 404);
    check(&shell, alarm("a", at("2020-01-01T00:00:00Z")), own, "self_time_invalid", 422);
    check(&shell, alarm("a", at("yesterday")), own, "alarm_invalid", 422);
    check(&shell, Write::Ack { seqs: vec![7] }, own, "self_missing", 404);
    let big = Message { body: "x".repeat(MESSAGE_BYTES_MAX + 1), ..Message::default() };
    check(&shell, Write::Post(big), owner, "self_too_long", 413);
    let far = Message { hops: 8, ..Message::default() };
    check(&shell, Write::Post(far), &token(), "inbox_hops", 422);
    check(&shell, rest_until("inbox.dept > 0", Depth::Stop), own, "condition_invalid", 422);
    let rest = |until, at| Write::RestUntil { mode: Depth::Stop, until, at, note: String::new() };
    check(&shell, rest(None, None), own, "rest_for_ever", 422);
    check(&shell, rest(None, Some(NOW)), own, "self_time_invalid", 422);
    check(&shell, rest(None, Some(UnixMs(u64::MAX))), own, "self_time_invalid", 422);
    check(&shell, policy_write("{"), owner, "policy_invalid", 422);
    check(&shell, policy_write("{}"), own, "policy_amend", 403);
    let hash = Some(govern::trace::genesis());
    let wrong = Write::Policy { text: "{}".to_owned(), hash, if_match: None };
    check(&shell, wrong, owner, "policy_hash", 412);
    let hold_down = model::state::HoldDown { reason: String::new(), until: Some(NOW) };
    check(&shell, Write::HoldDown(Some(hold_down)), owner, "self_time_invalid", 422);
}

#[test]
fn a_patch_is_made_as_a_whole_or_not_at_all() {
    let mut shell = Shell::up("{}");
    let patch = json!({"scratch.a": {"x": 1, "y": {"z": 2}}, "scratch.b": 5});
    shell.own(Write::Memory { patch: object(&patch), if_match: None });
    let revision = shell.selfhood.revision;
    let half = json!({"scratch.a": null, "undeclared": 1});
    let refused =
        shell.write(Write::Memory { patch: object(&half), if_match: None }, &Writer::Machine);
    assert_eq!(refused.unwrap_err().code(), "memory_undeclared");
    assert_eq!(shell.selfhood.revision, revision);
    let merge = json!({"scratch.a": {"x": null, "y": {"w": 3}}, "scratch.b": null});
    shell.own(Write::Memory { patch: object(&merge), if_match: Some(revision) });
    assert_eq!(shell.selfhood.facts["scratch.a"].value, json!({"y": {"z": 2, "w": 3}}));
    assert!(!shell.selfhood.facts.contains_key("scratch.b"));
}

fn object(json: &serde_json::Value) -> std::collections::BTreeMap<String, serde_json::Value> {
    serde_json::from_value(json.clone()).expect("an object")
}

#[test]
fn writing_what_is_so_is_no_change() {
    let mut shell = Shell::up(DUTY);
    shell.fact("watching", true, &Writer::Machine);
    let again = try_on(&shell, &fact("watching", true), &Writer::Owner).unwrap();
    assert!(again.entry.is_none() && again.next == shell.selfhood);
}

#[test]
fn only_what_a_rule_reads_is_worth_an_evaluation() {
    let shell = Shell::up(DUTY);
    let relevant = |write| try_on(&shell, &write, &Writer::Machine).unwrap().is_wake_relevant;
    assert!(relevant(fact("watching", true)));
    assert!(!relevant(fact("scratch.x", 1)));
    assert!(!relevant(intent(None, Some("busy"))), "no rule reads it");
    assert!(!relevant(Write::Post(Message::default())));
    assert!(relevant(Write::Post(Message { wake: true, ..Message::default() })));
}

#[test]
fn a_secret_is_neither_traced_nor_exported_nor_published() {
    let text = r#"{"facts":{"key":{"type":"string","secret":true}},
        "rules":[{"id":"r","effect":"hold","when":"memory.key == 'hush'"}]}"#;
    let mut shell = Shell::up(text);
    shell.fact("key", "hush", &Writer::Owner);
    let trace = serde_json::to_string(&shell.trace).unwrap();
    assert!(!trace.replace("== 'hush'", "").contains("hush"), "{trace}");
    assert_eq!(shell.selfhood.published(shell.now).count(), 0);
    let machine = "0123456789abcd".parse().unwrap();
    let export =
        govern::export(&machine, &shell.selfhood, &shell.policy, vec![], vec![], shell.now);
    assert!(export.selfhood.facts.is_empty());
}

#[test]
fn a_policy_keeps_what_it_can_and_replaces_its_alarms() {
    let mut shell = Shell::up(NIGHTLY);
    let before = shell.selfhood.alarms["night"].clone();
    shell.pass_s(5);
    let more = NIGHTLY.replace(
        "\"rules\": [",
        "\"rules\": [{\"id\":\"x\",\"effect\":\"hold\",\"when\":\"false\"},",
    );
    shell.write(policy_write(&more), &Writer::Owner).unwrap();
    assert_eq!(shell.selfhood.alarms["night"], before, "it stays as it is");
    shell.write(policy_write("{}"), &Writer::Owner).unwrap();
    assert!(shell.selfhood.alarms.is_empty());
}

#[test]
fn a_policy_that_the_resting_machine_could_not_wake_under_is_refused() {
    let mut shell = Shell::up(AGENT);
    shell.own(rest_until("memory.approval == 'yes'", Depth::Stop));
    shell.pass_s(5);
    let refused = shell.write(policy_write("{}"), &Writer::Owner).unwrap_err();
    assert_eq!((refused.code(), refused.status()), ("policy_breaks_rest", 409));
    shell.write(Write::ClearRest, &Writer::Owner).unwrap();
    shell.write(policy_write("{}"), &Writer::Owner).unwrap();
}

#[test]
fn a_machine_may_amend_what_its_policy_lets_it() {
    let text = r#"{"amend":["rules"],"rules":[]}"#;
    let mut shell = Shell::up(text);
    let rules = r#"{"amend":["rules"],"rules":[{"id":"h","effect":"hold","when":"true"}]}"#;
    shell.own(policy_write(rules));
    let more = shell.write(policy_write(r#"{"amend":["rules","facts"]}"#), &Writer::Machine);
    assert_eq!(more.unwrap_err().code(), "policy_amend");
}

#[test]
fn a_later_record_is_refused() {
    let text = Shell::new(DUTY).selfhood.to_text();
    assert!(Selfhood::read(&text).is_ok());
    let later = text.replacen("\"v\":1", "\"v\":2", 1);
    assert!(matches!(Selfhood::read(&later), Err(RecordError::Newer { found: 2 })));
    assert!(matches!(Selfhood::read("{}"), Err(RecordError::Damaged(_))));
    let newer_field = text.replacen("\"v\":1", "\"v\":1,\"unheard_of\":3", 1);
    assert!(Selfhood::read(&newer_field).is_ok());
}

/// Everything at its limit at once.
#[test]
fn the_record_is_bounded() {
    let mut shell = Shell::up(DUTY);
    shell.checks = false;
    let own = Writer::Machine;
    for n in 0..200 {
        let write = fact(&format!("scratch.{}{n}", "k".repeat(50)), "\u{1}".repeat(600));
        drop(shell.write(write, &own));
    }
    for n in 0..HOLDS_MAX + 5 {
        let reason = "\u{1}".repeat(256);
        let name = format!("{}{n}", "h".repeat(60));
        drop(shell.write(Write::Hold { name, lasts: HOLD_MAX, reason }, &own));
    }
    for n in 0..ALARMS_MAX + 5 {
        let cron = Some(format!(
            "{} * * * *",
            (0..60).map(|m| m.to_string()).collect::<Vec<_>>().join(",")
        ));
        let text = AlarmText { cron, every: None, tz: Some("Europe/Rome".to_owned()), ..every(1) };
        drop(shell.write(alarm(&format!("{}{n}", "a".repeat(60)), text), &own));
    }
    assert_eq!(shell.selfhood.holds.len(), HOLDS_MAX);
    assert_eq!(shell.selfhood.alarms.len(), ALARMS_MAX);
    shell.write(intent(Some(&"\u{1}".repeat(4000)), None), &Writer::Owner).unwrap();
    let size = shell.selfhood.to_text().len();
    assert!(size < RECORD_BYTES_MAX, "{size}");
    let full = shell.write(fact("scratch.one_more", "x".repeat(4000)), &own).unwrap_err();
    assert_eq!(full.code(), "memory_full");
    let full = shell.write(hold("more", HOLD_MAX), &own).unwrap_err();
    assert_eq!((full.code(), full.status()), ("self_full", 409));
}

#[test]
fn reports_may_come_twice() {
    let mut shell = Shell::up(DUTY);
    let exit = model::Exit { code: Some(3), ..model::Exit::unseen(None, shell.later(5)) };
    for report in [
        Report::Up { at: shell.now, cold: false },
        Report::Exited { exit, served: true },
        Report::Rested { at: shell.later(5), served: false },
    ] {
        shell.write(Write::Report(report.clone()), &Writer::Platform).unwrap();
        let again = try_on(&shell, &Write::Report(report), &Writer::Platform).unwrap();
        assert!(again.entry.is_none(), "{:?}", again.entry);
    }
    assert_eq!(shell.selfhood.signals.last_exit, Some(3));
}

#[test]
fn policies_go_to_rows_of_their_own() {
    let shell = Shell::new("{}");
    let applied = try_on(&shell, &policy_write(DUTY), &Writer::Owner).unwrap();
    let [RowOp::PutPolicy { hash, text }] = &*applied.ops else { panic!("{:?}", applied.ops) };
    assert_eq!(Some(hash), applied.policy.as_ref().map(|policy| policy.hash()));
    assert!(text.contains("watching"));
    assert_eq!(applied.reply, Reply::Done);
    assert_eq!(applied.entry.map(|entry| entry.action), Some(Action::Policy));
    assert!(MemRows::default().rows.is_empty());
}

/// The most that one write can say: as many keys as a memory has, of characters that JSON escapes.
#[test]
fn an_entry_of_a_write_is_short() {
    let mut shell = Shell::up("{}");
    let value = |n: usize| json!("\"\\".repeat(80 + n % 2));
    let keys = (0..128).map(|n| (format!("scratch.{}{n:03}", "k".repeat(40)), value(n)));
    shell.own(Write::Memory { patch: keys.collect(), if_match: None });
    assert_eq!(shell.selfhood.facts.len(), 128);
    let entry = shell.trace.last().unwrap();
    let size = serde_json::to_string(entry).unwrap().len();
    assert!(size < 4096, "{size}");
    let n_more = 128 - (entry.body.changes.len() - 1);
    assert_eq!(entry.body.changes.last(), Some(&format!("and {n_more} more")));
    let few = (0..16).map(|n| (format!("scratch.k{n}"), json!(n)));
    let mut shell = Shell::up("{}");
    shell.own(Write::Memory { patch: few.collect(), if_match: None });
    assert_eq!(shell.trace.last().unwrap().body.changes.len(), 16);
}

#[test]
fn a_writer_that_is_none_writes_nothing() {
    let shell = Shell::up("{}");
    for name in ["", "*", "a\nb", &"x".repeat(65)] {
        let writer = Writer::Token(name.to_owned());
        let refused = try_on(&shell, &Write::Post(Message::default()), &writer).unwrap_err();
        assert_eq!(refused.code(), "self_name_invalid", "{name}");
    }
}

#[test]
fn the_policy_of_an_image_does_not_retire() {
    let shell = Shell::new("{}");
    let text = r#"{"rules":[{"id":"h","effect":"hold","when":"true"},
        {"id":"r","effect":"retire","when":"intent.done"}]}"#;
    let refused = try_on(&shell, &policy_write(text), &Writer::Platform).unwrap_err();
    let WriteRefused::Policy { findings } = &refused else { panic!("{refused}") };
    assert_eq!(findings.iter().map(|f| &*f.path).collect::<Vec<_>>(), ["rules[1].effect"]);
    assert!(refused.hint().is_some_and(|hint| hint.contains("config.policy")));
    assert!(try_on(&shell, &policy_write(text), &Writer::Owner).is_ok());
}
