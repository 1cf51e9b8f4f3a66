//! From a self that is stored as not governed nothing follows, whenever it is looked at.

use super::super::sheet::Sheet;
use super::*;
use govern::write::NoRows;
use govern::{Report, View, Write, Writer};
use model::{Cause, DurationMs, Exit, State};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;

const START: UnixMs = UnixMs(1_790_000_000_000);

/// Writes of all kinds; those about messages have their own tests, over stored ones.
fn writes() -> Vec<Write> {
    let alarm = |text: serde_json::Value| serde_json::from_value(text).expect("an alarm");
    let policy = |text: &str| Write::Policy { text: text.to_owned(), hash: None, if_match: None };
    let exit = Exit {
        code: Some(0),
        signal: None,
        oom_killed: false,
        requested_stop: false,
        shim_lost: false,
        started_at: Some(START),
        exited_at: START,
        fault: None,
    };
    let message = Cause::Message;
    vec![
        Write::Memory { patch: [("scratch.n".to_owned(), json!(1))].into(), if_match: None },
        Write::Intent { objective: Some("x".to_owned()), phase: None, done: Some(true) },
        Write::Hold {
            name: "work".to_owned(),
            lasts: DurationMs::from_secs(60),
            reason: String::new(),
        },
        Write::DropHold { name: "work".to_owned() },
        Write::Alarm { name: "tea".to_owned(), alarm: alarm(json!({"every": "1h"})) },
        Write::DropAlarm { name: "tea".to_owned() },
        Write::Stop,
        policy(r#"{"rules":[{"id":"r","effect":"rest","when":"machine.up_s > 60"}]}"#),
        policy(r#"{"facts":{"go":{"type":"bool","default":true}}}"#),
        policy("{}"),
        Write::Report(Report::Woken { cause: Cause::Knock { internal_port: None, request: None } }),
        Write::Report(Report::Woken { cause: message }),
        Write::Report(Report::Up { at: START, cold: true }),
        Write::Report(Report::WakeFailed),
        Write::Report(Report::Rested { at: START, served: false }),
        Write::Report(Report::Exited { exit, served: false }),
        Write::Report(Report::Cpu { used_ms: 7 }),
        Write::Report(Report::Vetoed),
    ]
}

/// Whether it is evaluated after a write is drawn too: what follows then is remembered.
fn steps() -> impl Strategy<Value = Vec<(Write, u64, bool)>> {
    proptest::collection::vec((select(writes()), 0_u64..200, any::<bool>()), 0..40)
}

proptest! {
    #[test]
    fn nothing_follows_from_a_self_that_is_not_governed(steps in steps(), is_up: bool) {
        let mut machine = model::create(false, START).machine;
        machine.state = State::Stopped { since: START, exit: None };
        let policy = Arc::new(Policy::parse(b"{}").expect("a policy"));
        let mut own = Own { selfhood: Selfhood::default(), policy, next_at: None };
        let boot = "00000000-0000-4000-8000-000000000001".parse().expect("a boot id");
        let mut now = START;
        for (write, pass_s, evaluates) in steps {
            now = now.plus(DurationMs::from_secs(pass_s));
            let mut sheet = Sheet::new(&own, &boot);
            let writer = if matches!(write, Write::Report(_) | Write::Stop) {
                Writer::Platform
            } else {
                Writer::Owner
            };
            // What is refused has changed nothing.
            drop(sheet.write(&write, &writer, &NoRows, u64::MAX, now));
            own = sheet.own;
            let view = View { started_at: is_up.then_some(START), ..View::of(&machine) };
            if evaluates {
                own.selfhood = govern::evaluate(&own.selfhood, &own.policy, &view, now).next;
            }
            if own.governs() {
                continue;
            }
            for wait_s in [0, 61, 3_601, 40 * 86_400] {
                let at = now.plus(DurationMs::from_secs(wait_s));
                let verdict = govern::evaluate(&own.selfhood, &own.policy, &view, at);
                prop_assert!(verdict.wish.is_none() && verdict.retire.is_none(), "{verdict:?}");
                prop_assert!(verdict.entry.is_none() && verdict.notify.is_empty(), "{verdict:?}");
            }
        }
    }
}
