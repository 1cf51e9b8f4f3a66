//! The trace: it holds, it says where it does not, it is cut, it moves.

use crate::shell::{DUTY, NOW, QUEUE, Shell, boot};
use govern::export::{ExportedMessage, ImportError, import};
use govern::limits::{COUNT_MAX, DECISION_BYTES_MAX};
use govern::trace::{checkpoint, cut_due};
use govern::{Replay, Selfhood, TraceEntry, Writer, export, replay, verify};
use model::UnixMs;
use policy::Policy;

fn lived() -> Shell {
    let mut shell = Shell::up(QUEUE);
    for _ in 0..12 {
        shell.post(false);
    }
    shell.pass_s(100);
    shell.work();
    shell.pass_s(600);
    assert!(shell.trace.len() > 15);
    shell
}

#[test]
fn it_survives_being_stored() {
    let shell = lived();
    let text = serde_json::to_string(&shell.trace).unwrap();
    let read: Vec<TraceEntry> = serde_json::from_str(&text).unwrap();
    assert_eq!(read, shell.trace);
    assert_eq!(verify(&read, &shell.selfhood.trace), Ok(()));
}

#[test]
fn the_first_broken_entry_is_named() {
    let shell = lived();
    let head = &shell.selfhood.trace;
    let broken = |change: &dyn Fn(&mut Vec<TraceEntry>)| {
        let mut entries = shell.trace.clone();
        change(&mut entries);
        verify(&entries, head).map_err(|broken| (broken.seq, broken.why))
    };
    let last = shell.trace.last().unwrap().seq;
    assert_eq!(broken(&|t| t[4].at = NOW), Err((5, "it was changed")));
    assert_eq!(broken(&|t| drop(t.remove(4))), Err((5, "it is missing")));
    assert_eq!(broken(&|t| t.swap(4, 5)), Err((5, "it is missing")));
    assert_eq!(broken(&|t| drop(t.pop())), Err((last, "it is missing")));
    assert_eq!(broken(&|t| t[0].body.actor = Writer::Machine), Err((1, "it was changed")));
    let rehashed = |t: &mut Vec<TraceEntry>| {
        let mut other = Selfhood::default();
        t[0] = other.record(t[1].body.clone(), NOW, &boot());
    };
    assert_eq!(broken(&rehashed), Err((2, "it does not follow the entry before")));
}

#[test]
fn it_is_cut_at_its_limits_and_still_holds() {
    let mut shell = lived();
    let first_at = shell.trace[0].at;
    assert_eq!(cut_due(&shell.selfhood.trace, first_at, shell.now), None);
    let later = UnixMs(shell.now.0 + 91 * 24 * 3_600_000);
    let through = cut_due(&shell.selfhood.trace, first_at, later).expect("old");
    let at = usize::try_from(through).unwrap();
    let last = shell.trace[at - 1].clone();
    let entry = checkpoint(&mut shell.selfhood, &last, later, &boot());
    shell.trace.drain(..at);
    shell.trace.push(entry);
    assert_eq!(verify(&shell.trace, &shell.selfhood.trace), Ok(()));
    let mut forged = shell.trace.clone();
    forged.remove(0);
    assert!(verify(&forged, &shell.selfhood.trace).is_err());
    let many = govern::trace::TraceHead { first: 1, seq: 10_001, hash: govern::trace::genesis() };
    assert_eq!(cut_due(&many, shell.now, shell.now), Some(1_000));
}

#[test]
fn a_replay_under_changed_rules_differs() {
    let shell = lived();
    let decided: Vec<_> = shell.trace.iter().filter(|e| e.body.decision.is_some()).collect();
    assert!(decided.len() >= 2);
    let other = Policy::parse(QUEUE.replace(">= 10", ">= 11").as_bytes()).unwrap();
    for entry in &decided {
        assert!(matches!(replay(entry, &shell.policy), Replay::Agrees { .. }));
        assert_eq!(replay(entry, &other), Replay::NotApplicable);
    }
    let mut forged = (*decided[0]).clone();
    forged.body.decision = Some(govern::Stance::Stay);
    assert!(matches!(replay(&forged, &shell.policy), Replay::Differs(_)));
}

#[test]
fn a_self_moves_with_its_messages_and_trace() {
    let mut shell = Shell::up(DUTY);
    shell.post(true);
    let machine = "0123456789abcd".parse().unwrap();
    let rows = shell.rows.rows.values();
    let inbox =
        rows.map(|row| ExportedMessage { row: row.clone(), body: "hello".to_owned() }).collect();
    let made =
        export(&machine, &shell.selfhood, &shell.policy, inbox, shell.trace.clone(), shell.now);
    let text = serde_json::to_string(&made).unwrap();
    let read: govern::Export = serde_json::from_str(&text).unwrap();
    assert_eq!(read, made);
    let brought = import(&read, &Writer::Owner).unwrap();
    assert_eq!(brought.ops.len(), 2);
    let mut next = brought.next;
    let entry = next.record(brought.entry, shell.now, &boot());
    let mut trace = made.trace.clone();
    trace.push(entry);
    assert_eq!(verify(&trace, &next.trace), Ok(()));
    assert!(matches!(import(&read, &Writer::Machine), Err(ImportError::Refused(_))));
    let mut forged = read.clone();
    forged.trace[1].body.changes.clear();
    assert!(matches!(import(&forged, &Writer::Owner), Err(ImportError::Chain(_))));
    let newer = govern::Export { v: 2, ..read.clone() };
    assert!(matches!(import(&newer, &Writer::Owner), Err(ImportError::Newer { found: 2 })));
    let other = govern::Export { policy: Some("{}".to_owned()), ..read };
    assert!(matches!(import(&other, &Writer::Owner), Err(ImportError::Policy(_))));
}

/// Sixty-four rules over texts as long as they may be: the entry is bounded, and what is left of it
/// is still decided again.
#[test]
fn a_decision_over_much_is_short_and_can_be_replayed() {
    let key = |n: usize| format!("f{n}");
    let facts: serde_json::Map<_, _> =
        (0..15).map(|n| (key(n), serde_json::json!({"type": "string"}))).collect();
    let rules: Vec<_> = (0..64)
        .map(|n| {
            let id = format!("{}{n}", "r".repeat(60));
            let when = format!("memory.f{} != ''", n % 15);
            serde_json::json!({"id": id, "effect": "hold", "when": when})
        })
        .collect();
    let text = serde_json::json!({"facts": facts, "rules": rules}).to_string();
    let mut shell = Shell::up(&text);
    let patch = (0..15).map(|n| (key(n), serde_json::json!("x".repeat(4000)))).collect();
    shell.own(govern::Write::Memory { patch, if_match: None });
    let entry = shell.trace.last().unwrap();
    assert!(entry.body.decision.is_some());
    let size = serde_json::to_string(entry).unwrap().len();
    assert!(size < DECISION_BYTES_MAX + 1024, "{size}");
    let Replay::Agrees { unjudged } = replay(entry, &shell.policy) else { panic!("it differs") };
    assert_eq!(unjudged.len(), 64);
}

/// A chain shows edits of the trace, not of the record.
#[test]
fn an_export_with_impossible_counts_is_refused() {
    let mut shell = Shell::up("{}");
    shell.post(true);
    shell.post(false);
    shell.own(govern::Write::Memory {
        patch: [("scratch.x".to_owned(), serde_json::json!(u64::MAX))].into(),
        if_match: None,
    });
    let machine = "0123456789abcd".parse().unwrap();
    let rows = shell.rows.rows.values();
    let inbox =
        rows.map(|row| ExportedMessage { row: row.clone(), body: "hello".to_owned() }).collect();
    let mut good =
        export(&machine, &shell.selfhood, &shell.policy, inbox, shell.trace.clone(), shell.now);
    for message in &mut good.inbox {
        message.row.bytes = 5;
    }
    good.selfhood.inbox.bytes = 999;
    good.selfhood.inbox.wakes = 0;
    good.selfhood.inbox.oldest = None;
    let brought = import(&good, &Writer::Owner).unwrap().next.inbox;
    assert_eq!((brought.depth, brought.bytes, brought.wakes), (2, 10, 1));
    assert_eq!(brought.oldest.map(|oldest| oldest.seq), Some(1));
    let deep = (0..40).fold(serde_json::json!(1), |inner, _| serde_json::json!([inner]));
    let changes: [fn(&mut govern::Export, &serde_json::Value); 11] = [
        |e, _| e.selfhood.revision = u64::MAX,
        |e, _| e.selfhood.ups = COUNT_MAX + 1,
        |e, _| e.selfhood.inbox.next_seq = 0,
        |e, _| e.selfhood.inbox.next_seq = 2,
        |e, _| e.selfhood.inbox.dead = u64::MAX,
        |e, _| e.inbox.swap(0, 1),
        |e, _| e.inbox[0].row.bytes = u64::MAX,
        |e, _| e.inbox[1].row.seq = u64::MAX,
        |e, _| e.selfhood.intent.phase = "x".repeat(5000),
        |e, deep| {
            std::sync::Arc::make_mut(&mut e.selfhood.facts).get_mut("scratch.x").unwrap().value =
                deep.clone()
        },
        |e, _| {
            let facts = std::sync::Arc::make_mut(&mut e.selfhood.facts);
            let one = facts["scratch.x"].clone();
            facts.extend((0..128).map(|n| (format!("scratch.{n}"), one.clone())));
        },
    ];
    for (n, change) in changes.into_iter().enumerate() {
        let mut bad = good.clone();
        change(&mut bad, &deep);
        let error = import(&bad, &Writer::Owner).expect_err(&n.to_string());
        let is_right = matches!(error, ImportError::Beyond { .. } | ImportError::Fact(_));
        assert!(is_right, "{n}: {error}");
    }
}
