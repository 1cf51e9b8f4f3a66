//! Tables and properties of a rule's standing.

use super::*;
use crate::reading::Unknown;
use proptest::prelude::*;

const UNKNOWN: Truth = Truth::Unknown(Unknown::DivisionByZero);

fn seconds(s: u64) -> DurationMs {
    DurationMs::from_secs(s)
}

fn timing(lasting: u64, release_for: u64, cooldown: u64) -> Timing {
    let [lasting, release_for, cooldown] = [lasting, release_for, cooldown].map(seconds);
    Timing { lasting, release_for, cooldown }
}

/// Advances through (second, when, until) and gives for each whether the rule stands, and when it
/// must be looked at again, in seconds.
#[track_caller]
fn check(
    effect: Effect,
    timing: Timing,
    steps: &[(u64, Truth, Option<Truth>)],
    expected: &[(bool, Option<u64>)],
) {
    let mut state = RuleState::default();
    let mut seen = Vec::new();
    for (at, when, until) in steps {
        let signals = Signals::new(when, until.as_ref());
        let advanced = advance_with(effect, &timing, state, signals, UnixMs(at * 1000));
        state = advanced.state;
        seen.push((advanced.stands, advanced.next.map(|next| next.0 / 1000)));
    }
    assert_eq!(seen, expected);
}

fn plain(at: u64, when: bool) -> (u64, Truth, Option<Truth>) {
    (at, when.into(), None)
}

fn latched(at: u64, when: bool, until: bool) -> (u64, Truth, Option<Truth>) {
    (at, when.into(), Some(until.into()))
}

#[test]
fn a_rule_without_times_follows_its_condition() {
    let steps = [plain(1, false), plain(2, true), plain(3, true), plain(4, false)];
    let expected = [(false, None), (true, None), (true, None), (false, None)];
    check(Effect::Wake, Timing::default(), &steps, &expected);
}

#[test]
fn for_must_last_without_a_break() {
    let steps = [plain(0, true), plain(5, false), plain(6, true), plain(15, true), plain(16, true)];
    let expected =
        [(false, Some(10)), (false, None), (false, Some(16)), (false, Some(16)), (true, None)];
    check(Effect::Rest, timing(10, 0, 0), &steps, &expected);
}

#[test]
fn until_keeps_the_rule_standing() {
    let steps = [
        latched(0, true, false),
        latched(1, false, false),
        latched(2, true, true),
        latched(3, true, true),
        latched(4, true, false),
    ];
    let expected = [(true, None), (true, None), (false, None), (false, None), (true, None)];
    check(Effect::Wake, Timing::default(), &steps, &expected);
}

#[test]
fn release_must_last_without_a_break() {
    let steps =
        [plain(0, true), plain(1, false), plain(5, true), plain(6, false), plain(16, false)];
    let expected = [(true, None), (true, Some(11)), (true, None), (true, Some(16)), (false, None)];
    check(Effect::Hold, timing(0, 10, 0), &steps, &expected);
}

#[test]
fn cooldown_runs_from_the_end() {
    let steps = [plain(0, true), plain(100, false), plain(101, true), plain(160, true)];
    let expected = [(true, None), (false, None), (false, Some(160)), (true, None)];
    check(Effect::Wake, timing(0, 0, 60), &steps, &expected);
}

#[test]
fn unknown_starts_nothing_and_stops_nothing() {
    let unknown = |at| (at, UNKNOWN, None);
    for effect in [Effect::Wake, Effect::Rest, Effect::Notify, Effect::Retire] {
        let steps = [unknown(0), plain(1, true), unknown(2), plain(3, true)];
        let expected = [(false, None), (true, None), (false, None), (true, None)];
        check(effect, Timing::default(), &steps, &expected);
    }
    for effect in [Effect::DenyWake, Effect::DenyRest] {
        let steps = [plain(0, false), unknown(1), plain(2, false)];
        check(effect, timing(60, 0, 0), &steps, &[(false, None), (true, None), (false, None)]);
    }
}

#[test]
fn an_unknown_hold_keeps_its_last_value_for_an_hour() {
    let unknown = |at| (at, UNKNOWN, None);
    let steps = [unknown(0), plain(10, true), unknown(20), unknown(3_619), unknown(3_620)];
    let fades = Some(3_620);
    let expected = [(false, None), (true, None), (true, fades), (true, fades), (false, None)];
    check(Effect::Hold, Timing::default(), &steps, &expected);
}

#[test]
fn unknown_interrupts_for_and_release() {
    let unknown = |at| (at, UNKNOWN, None);
    let steps = [plain(0, true), unknown(9), plain(10, true), plain(20, true)];
    let expected = [(false, Some(10)), (false, None), (false, Some(20)), (true, None)];
    check(Effect::Rest, timing(10, 0, 0), &steps, &expected);
    let steps = [plain(0, true), plain(1, false), unknown(9), plain(10, false), plain(20, false)];
    let expected =
        [(true, None), (true, Some(11)), (true, Some(3_609)), (true, Some(20)), (false, None)];
    check(Effect::Hold, timing(0, 10, 0), &steps, &expected);
}

#[test]
fn a_wake_stays_latched_while_when_is_unknown() {
    let steps =
        [latched(0, true, false), (1, UNKNOWN, Some(Truth::False)), latched(2, false, false)];
    check(Effect::Wake, Timing::default(), &steps, &[(true, None); 3]);
}

#[test]
fn an_unknown_until_starts_nothing() {
    let steps = [(0, Truth::True, Some(UNKNOWN)), latched(1, true, false)];
    check(Effect::Wake, Timing::default(), &steps, &[(false, None), (true, None)]);
}

#[test]
fn a_clock_set_back_does_not_make_it_wait_longer() {
    let steps = [plain(1_000_000, true), plain(100, true), plain(110, true)];
    let expected = [(false, Some(1_000_010)), (false, Some(110)), (true, None)];
    check(Effect::Rest, timing(10, 0, 0), &steps, &expected);
}

#[test]
fn edges_are_told_once() {
    let mut state = RuleState::default();
    let mut edges = Vec::new();
    for (at, when) in [Truth::True, UNKNOWN, Truth::True, Truth::False].iter().enumerate() {
        let now = UnixMs(u64::try_from(at).expect("few"));
        let signals = Signals::new(when, None);
        let advanced = advance_with(Effect::Notify, &Timing::default(), state, signals, now);
        state = advanced.state;
        edges.push(advanced.edge);
    }
    assert_eq!(edges, [Some(Edge::Rose), None, None, Some(Edge::Fell)]);
}

#[test]
fn the_state_is_stored_as_plain_json() {
    let state = RuleState {
        phase: Phase::Rising { since: UnixMs(7) },
        fell_at: Some(UnixMs(3)),
        unknown_since: None,
    };
    let text = serde_json::to_string(&state).expect("a state is JSON");
    assert_eq!(text, r#"{"phase":"rising","since":7,"fell_at":3}"#);
    assert_eq!(serde_json::from_str::<RuleState>(&text).expect("what was written"), state);
}

fn truths() -> impl Strategy<Value = Truth> {
    prop_oneof![Just(Truth::True), Just(Truth::False), Just(UNKNOWN)]
}

fn effects() -> impl Strategy<Value = Effect> {
    prop::sample::select(vec![Effect::Wake, Effect::Rest, Effect::Hold, Effect::DenyWake])
}

proptest! {
    /// Looking more often than `next` asks for changes nothing: with the same answers, a rule
    /// changes at `next` and at no other moment.
    #[test]
    fn only_next_matters(
        effect in effects(),
        times in (0_u64..4, 0_u64..4, 0_u64..4),
        answers in prop::collection::vec((truths(), prop::option::of(truths()), 1_u64..9), 1..12),
    ) {
        let timing = timing(times.0, times.1, times.2);
        let (mut sparse, mut dense) = (RuleState::default(), RuleState::default());
        let mut now = UnixMs(0);
        for (when, until, lasts) in answers {
            let signals = Signals::new(&when, until.as_ref());
            let end = now.plus(seconds(lasts));
            let mut due = Some(now);
            let mut stands = false;
            while now < end {
                let often = advance_with(effect, &timing, dense, signals, now);
                dense = often.state;
                if due.is_some_and(|due| due <= now) {
                    let seldom = advance_with(effect, &timing, sparse, signals, now);
                    prop_assert!(seldom.next.is_none_or(|next| next > now));
                    (sparse, due, stands) = (seldom.state, seldom.next, seldom.stands);
                }
                prop_assert_eq!(stands, often.stands);
                prop_assert_eq!(sparse, dense);
                now = now.plus(seconds(1));
            }
        }
    }

    /// A wake never begins to stand while anything it depends on is unknown.
    #[test]
    fn unknown_never_starts(until in prop::option::of(truths()), lasting in 0_u64..3) {
        let signals = Signals::new(&UNKNOWN, until.as_ref());
        for effect in [Effect::Wake, Effect::Rest, Effect::Hold] {
            let timing = timing(lasting, 0, 0);
            let now = UnixMs(5_000);
            let advanced = advance_with(effect, &timing, RuleState::default(), signals, now);
            prop_assert!(!advanced.stands);
        }
    }
}
