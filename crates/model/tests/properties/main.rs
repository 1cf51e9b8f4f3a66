//! Random events and times: what must hold for every life of a machine.

mod happening;
mod oracle;

use happening::{Happening, Life, happenings};
use model::{Effect, Event, Machine, State, TimerKind, UnixMs, resume, step, timers, validate};
use oracle::Oracle;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// The timers of the shell, as the effects have set them.
type Armed = BTreeMap<TimerKind, UnixMs>;

fn set_timers(armed: &mut Armed, event: Option<&Event>, effects: &[Effect]) {
    if let Some(Event::Timer { kind, .. }) = event {
        armed.remove(kind);
    }
    for effect in effects {
        match effect {
            Effect::Arm { kind, at } => drop(armed.insert(*kind, *at)),
            Effect::Disarm(kind) => drop(armed.remove(kind)),
            _ => {}
        }
    }
}

/// Lives through all of it; each check is an assertion with its name.
fn live(launch: bool, happenings: &[Happening]) {
    let first = model::create(launch, happening::BEGIN);
    let mut armed = Armed::new();
    set_timers(&mut armed, None, &first.effects);
    let mut life = Life::new(first.machine);
    let mut oracle = Oracle::default();
    for happening in happenings {
        let event = life.event(happening, &armed);
        let before = life.machine.clone();
        let outcome = step(&before, &event, life.now);
        assert_eq!(outcome, step(&before, &event, life.now), "a step is a function");
        let Ok(next) = outcome else {
            if let Event::Timer { .. } = event {
                panic!("a timer was refused: {event:?} in {before:?}");
            }
            continue;
        };
        check_machine(&before, &next.machine, next.news.is_empty());
        set_timers(&mut armed, Some(&event), &next.effects);
        let wanted: Armed = timers(&next.machine).into_iter().collect();
        assert_eq!(armed, wanted, "armed timers are those of the state, after {event:?}");
        oracle.check(&before, &event, &next);
        if event == Event::Forgive {
            check_forgiven(&before, &next.machine);
        }
        life.machine = next.machine;
    }
}

/// Nothing is owed; all else is as before.
fn check_forgiven(before: &Machine, after: &Machine) {
    let expected = Machine { owed: None, revision: after.revision, ..before.clone() };
    assert_eq!(*after, expected, "only what is owed is dropped");
}

fn check_machine(before: &Machine, after: &Machine, is_silent: bool) {
    assert_eq!(validate(after), Ok(()), "{after:?}");
    let is_same = Machine { revision: before.revision, ..after.clone() } == *before;
    let growth = u64::from(!is_same || !is_silent);
    assert_eq!(after.revision, before.revision + growth, "one revision per change");
    if matches!(before.state, State::Destroyed { .. }) {
        assert!(is_same && is_silent, "destroyed is final");
    }
    let waits_only = after.state.is_settled() || matches!(after.state, State::Backoff { .. });
    assert_eq!(resume(after).is_empty(), waits_only, "recovery knows what to do in {after:?}");
    let text = serde_json::to_string(after).expect("a machine is JSON");
    let read: Machine = serde_json::from_str(&text).expect("JSON of a machine");
    assert_eq!(read, *after, "it survives the journal");
}

/// Cases at least; `PROPTEST_CASES` asks for more.
const CASES_MIN: u32 = 4_000;

fn config() -> ProptestConfig {
    let default = ProptestConfig::default();
    let is_planted = cfg!(any(feature = "planted-lost-wake", feature = "planted-double-start"));
    // A bug planted on purpose is no regression to remember.
    let failure_persistence = default.failure_persistence.filter(|_| !is_planted);
    ProptestConfig {
        cases: default.cases.max(CASES_MIN),
        failure_persistence,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn every_life_keeps_the_promises(launch: bool, happenings in happenings()) {
        live(launch, &happenings);
    }
}
