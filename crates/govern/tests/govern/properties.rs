//! What must hold for every policy and every moment.

use crate::shell::{NOW, Shell, fact, policy_write};
use govern::write::Message;
use govern::{Selfhood, Stance, View, Write, Writer, evaluate};
use model::{Depth, DurationMs, UnixMs, Want};
use policy::Policy;
use proptest::prelude::*;
use serde_json::Value as Json;

/// Conditions of which nobody knows the answer: a missing peer, a fact without a value, a division
/// by zero, an exit that never was.
const UNKNOWN: [&str; 6] = [
    "peer.gone.ready",
    "peer.gone.age_s > 10",
    "memory.unset > 3",
    "1 / memory.zero == 1",
    "signal.last_exit == 7",
    "memory.unset > 3 || memory.zero / memory.zero > 0",
];

fn unknown_rule(effect: &str, at: usize, until: bool) -> String {
    let until = if until { r#","until":"memory.zero == 0 && memory.unset == 1""# } else { "" };
    format!(r#"{{"id":"{effect}{at}","effect":"{effect}","when":"{}"{until}}}"#, UNKNOWN[at])
}

fn any_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<u64>().prop_map(Json::from),
        (-1e9..1e9_f64).prop_map(|n| Json::from(n.round() / 4.0)),
        "\\PC{0,12}".prop_map(Json::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            prop::collection::btree_map("\\PC{0,4}", inner, 0..4)
                .prop_map(|map| map.into_iter().collect::<Json>()),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..Default::default() })]

    /// Unknown never starts and never stops anything.
    #[test]
    fn unknown_moves_nothing(
        picks in prop::collection::vec((0..UNKNOWN.len(), 0..3_usize, any::<bool>()), 1..6),
        is_up in any::<bool>(),
        after_s in 0..100_000_u64,
    ) {
        let effects = ["wake", "rest", "retire"];
        let mut rules: Vec<String> = picks
            .iter()
            .map(|(at, effect, until)| unknown_rule(effects[*effect], *at, *until))
            .collect();
        rules.sort();
        rules.dedup_by_key(|rule| rule.split(',').next().map(str::to_owned));
        let text = format!(
            r#"{{"facts":{{"unset":{{"type":"int"}},"zero":{{"type":"int","default":0}}}},"rules":[{}]}}"#,
            rules.join(",")
        );
        let mut shell = if is_up { Shell::up("{}") } else { Shell::new("{}") };
        shell.write(policy_write(&text), &Writer::Owner).unwrap();
        shell.pass_s(after_s);
        prop_assert_eq!(shell.is_up(), is_up);
        prop_assert_eq!(shell.stance(), Stance::Stay);
    }

    /// A record that anybody may have damaged within its types does not stop the evaluation, and what
    /// it says is still idempotent.
    #[test]
    fn any_moments_are_borne(
        now in prop::sample::select(vec![0_u64, 1, NOW.0 - 1, NOW.0, NOW.0 + 1, 1 << 42, u64::MAX]),
        at in prop::collection::vec(any::<u64>(), 8),
        is_up in any::<bool>(),
    ) {
        let text = r#"{"alarms":{"a":{"every":"1h","missed":"all"},"b":{"cron":"0 * * * *"}},
            "rules":[{"id":"w","effect":"wake","when":"due.a || usage.started_s_day > 5","for":"9s"},
            {"id":"r","effect":"rest","when":"machine.idle_s > 5 && inbox.oldest_s > 3","for":"2s"}]}"#;
        let mut shell = if is_up { Shell::up(text) } else { Shell::new(text) };
        shell.post(true);
        let own: &mut Selfhood = &mut shell.selfhood;
        own.usage.up_since = Some(UnixMs(at[0]));
        own.usage.day.start = UnixMs(at[1]);
        own.usage.day.started_ms = at[2];
        own.inbox.wake_at = UnixMs(at[3]);
        own.inbox.touched_at = UnixMs(at[4]);
        own.ledger.wakes = vec![UnixMs(at[5])];
        own.ledger.breaker.until = Some(UnixMs(at[6]));
        for alarm in own.alarms.values_mut() {
            alarm.last = UnixMs(at[7]);
        }
        let now = UnixMs(now);
        let first = evaluate(&shell.selfhood, &shell.policy, &shell.view(), now);
        let again = evaluate(&first.next, &shell.policy, &shell.view(), now);
        prop_assert_eq!(&again.entry, &None);
        prop_assert_eq!(again.next, first.next);
    }

    /// Whatever is accepted can be read back: no write makes a record that is lost.
    #[test]
    fn what_is_accepted_can_be_read_back(
        value in any_json(),
        levels in 0..126_usize,
        name in "\\PC{0,70}",
        which in 0..7_usize,
    ) {
        let mut shell = Shell::up("{}");
        shell.checks = false;
        let value = (0..levels).fold(value, |inner, n| match n % 2 {
            0 => Json::Array(vec![inner]),
            _ => serde_json::json!({"": inner}),
        });
        let lasts = DurationMs(1);
        let write = match which {
            0 | 1 => fact("scratch.x", value),
            2 => fact(&name, value),
            3 => Write::Hold { name: "h".to_owned(), lasts, reason: name.clone() },
            4 => Write::Intent { objective: None, phase: Some(name.clone()), done: None },
            5 => Write::Hold { name: name.clone(), lasts, reason: String::new() },
            _ => Write::Post(Message { body: name.clone(), ..Message::default() }),
        };
        for writer in [Writer::Machine, Writer::Token(name.clone()), Writer::Peer(name.clone())] {
            drop(shell.write(write.clone(), &writer));
            let read = Selfhood::read(&shell.selfhood.to_text()).unwrap();
            prop_assert_eq!(&read, &shell.selfhood);
            let trace = serde_json::to_string(&shell.trace).unwrap();
            let read: Vec<govern::TraceEntry> = serde_json::from_str(&trace).unwrap();
            prop_assert_eq!(&read, &shell.trace);
        }
    }

    /// A stop stays a stop while nothing newer comes, whatever level is true.
    #[test]
    fn a_stop_is_not_undone_by_what_was_true(depth in 1..5_u64, hours in 1..50_u64, freeze in any::<bool>()) {
        let text = r#"{"rules":[{"id":"w","effect":"wake","when":"inbox.depth > 0"}]}"#;
        let mut shell = Shell::up(text);
        for n in 0..depth {
            shell.post(n % 2 == 0);
        }
        shell.pass_s(40);
        shell.call(Want::Down(if freeze { Depth::Freeze } else { Depth::Stop }));
        shell.pass_s(hours * 3600);
        prop_assert!(!shell.is_up(), "{:?}", shell.stance());
        shell.post(false);
        shell.pass_s(10);
        prop_assert!(shell.is_up(), "{:?}", shell.stance());
    }
}

#[test]
fn evaluation_is_fast() {
    let mut shell = Shell::up(crate::shell::DUTY);
    shell
        .write(
            Write::Intent { objective: Some("x".to_owned()), phase: None, done: None },
            &Writer::Owner,
        )
        .unwrap();
    let view = shell.view();
    let policy: &Policy = &shell.policy;
    let began = std::time::Instant::now();
    let n = 20_000;
    for _ in 0..n {
        std::hint::black_box(evaluate(&shell.selfhood, policy, &view, shell.now));
    }
    let each_us = began.elapsed().as_secs_f64() * 1e6 / f64::from(n);
    println!("{each_us:.2} us for a machine with two rules");
    assert!(each_us < 200.0, "{each_us}");
    assert!(View::of(&shell.machine).is_up());
}
