//! When time alone changes an answer: exact, and never missed.

use crate::given::{Given, NOW, condition};
use model::UnixMs;
use policy::{Absence, Level, Reading, Truth, Value, Values as _};
use proptest::prelude::*;

/// The answer of `when` changes first `after_ms` after [`NOW`].
#[track_caller]
fn check(when: &str, given: &Given, after_ms: Option<u64>) {
    let next = condition(when).next_crossing(given, NOW);
    assert_eq!(next.map(|at| at.0 - NOW.0), after_ms, "{when}");
}

fn given() -> Given {
    let in_a_minute = UnixMs(NOW.0 + 60_000);
    Given::new(&[("memory.i", 400.into()), ("memory.d", Value::Double(400.5))])
        .clock("machine.idle_s", 300)
        .and([
            ("memory.t", Reading::known(in_a_minute)),
            ("inbox.oldest_s", Reading::since(UnixMs(NOW.0 - 1_500))),
            ("due.night", Reading::known(false).then(in_a_minute, Level::Known(true.into()))),
            ("memory.b", Reading::known(true).then(in_a_minute, Level::Absent(Absence::Expired))),
        ])
}

#[test]
fn each_comparison_has_its_moment() {
    let given = given();
    check("machine.idle_s > 300", &given, Some(1_000));
    check("machine.idle_s >= 300", &given, None);
    check("machine.idle_s > 299", &given, None);
    check("machine.idle_s == 300", &given, Some(1_000));
    check("machine.idle_s != 301", &given, Some(1_000));
    check("machine.idle_s < 302", &given, Some(2_000));
    check("machine.idle_s <= 302", &given, Some(3_000));
    check("310 < machine.idle_s", &given, Some(11_000));
    check("machine.idle_s > memory.i", &given, Some(101_000));
    check("machine.idle_s > memory.d", &given, Some(101_000));
    check("machine.idle_s >= memory.u", &given, None);
    check("inbox.oldest_s >= 2", &given, Some(500));
    check("machine.idle_s + 10 >= 320", &given, Some(10_000));
    check("-machine.idle_s <= -320", &given, Some(20_000));
    check("now > memory.t", &given, Some(60_001));
    check("now >= memory.t", &given, Some(60_000));
    check("memory.t - now < duration('30s')", &given, Some(30_001));
    check("now - memory.t >= duration('1h')", &given, Some(3_660_000));
}

#[test]
fn only_what_changes_the_whole_answer_counts() {
    let given = given();
    check("memory.i == 1 && machine.idle_s > 300", &given, None);
    check("machine.idle_s > 310 || inbox.oldest_s > 100", &given, Some(11_000));
    check("machine.idle_s > 310 && inbox.oldest_s > 100", &given, Some(99_500));
    check("machine.idle_s > 310 && machine.idle_s < 305", &given, None);
    check("memory.i == 400 ? machine.idle_s > 310 : inbox.oldest_s > 1", &given, Some(11_000));
}

#[test]
fn announced_changes_count_too() {
    let given = given();
    check("due.night", &given, Some(60_000));
    check("memory.b", &given, Some(60_000));
    check("has(memory.b)", &given, Some(60_000));
    check("due.night && machine.idle_s > 310", &given, Some(60_000));
    check("due.night && machine.idle_s > 400", &given, Some(101_000));
    check("memory.i == 400", &given, None);
}

#[test]
fn a_clock_that_starts_again_is_followed() {
    let month_ends = UnixMs(NOW.0 + 10_000);
    let usage = Reading::since(UnixMs(NOW.0 - 3_595_000));
    let given = Given::default()
        .and([("usage.started_s_month", usage.then(month_ends, Level::Since(month_ends)))]);
    check("usage.started_s_month >= 3600", &given, Some(5_000));
    check("usage.started_s_month >= 3610", &given, Some(3_620_000));
    let later = UnixMs(NOW.0 + 5_000);
    let next = condition("usage.started_s_month >= 3600").next_crossing(&given, later);
    assert_eq!(next, Some(month_ends));
}

#[test]
fn the_furthest_future_is_no_trap() {
    let given = Given::new(&[("memory.i", i64::MAX.into())]).clock("machine.idle_s", 0);
    check("machine.idle_s > memory.i", &given, None);
    check("machine.idle_s + memory.i > 0", &given, Some(1_000));
    let end = UnixMs(u64::MAX);
    assert_eq!(condition("machine.idle_s > 3").next_crossing(&given, end), None);
}

const COMPARISONS: [&str; 6] = ["==", "!=", "<", "<=", ">", ">="];

fn atoms() -> impl Strategy<Value = String> {
    let clocks = prop::sample::select(vec![
        "machine.idle_s",
        "machine.uptime_s",
        "peer.db.age_s",
        "inbox.oldest_s",
        "machine.idle_s + 3",
        "5 - machine.uptime_s",
        "-peer.db.age_s",
    ]);
    let numbers = prop_oneof![
        (-12_i64..12).prop_map(|n| n.to_string()),
        Just("memory.i".to_owned()),
        Just("memory.d".to_owned()),
        Just("memory.u".to_owned()),
    ];
    let comparison = || prop::sample::select(COMPARISONS.to_vec());
    let durations = (-9_i64..9).prop_map(|s| format!("duration('{s}s')"));
    prop_oneof![
        4 => (clocks, comparison(), numbers).prop_map(|(a, sign, b)| format!("{a} {sign} {b}")),
        2 => (comparison(), durations).prop_map(|(sign, b)| format!("now - memory.t {sign} {b}")),
        1 => comparison().prop_map(|sign| format!("memory.t {sign} now")),
        1 => prop::sample::select(vec!["memory.b", "due.night", "has(memory.b)", "memory.ub"])
            .prop_map(str::to_owned),
    ]
}

fn conditions() -> impl Strategy<Value = String> {
    atoms().prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) && ({b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) || ({b})")),
            inner.clone().prop_map(|a| format!("!({a})")),
            (inner.clone(), inner.clone(), inner)
                .prop_map(|(a, b, c)| format!("({a}) ? ({b}) : ({c})")),
        ]
    })
}

/// A moment within a few seconds of now, on either side.
fn moments() -> impl Strategy<Value = UnixMs> {
    (0_u64..16_000).prop_map(|ms| UnixMs(NOW.0 - 8_000 + ms))
}

fn clocks() -> impl Strategy<Value = Reading> {
    let level = || {
        prop_oneof![
            4 => moments().prop_map(Level::Since),
            1 => Just(Level::Known(Value::Int(0))),
            1 => Just(Level::Absent(Absence::NoPeer)),
        ]
    };
    (level(), prop::option::of((moments(), level())))
        .prop_map(|(level, then)| Reading { level, then })
}

fn bools() -> impl Strategy<Value = Reading> {
    let level = || {
        prop_oneof![
            any::<bool>().prop_map(|b| Level::Known(b.into())),
            Just(Level::Absent(Absence::Expired)),
        ]
    };
    (level(), prop::option::of((moments(), level())))
        .prop_map(|(level, then)| Reading { level, then })
}

fn readings() -> impl Strategy<Value = Given> {
    let clocks = prop::array::uniform4(clocks());
    let bools = prop::array::uniform2(bools());
    (clocks, bools, -9_i64..9, -9.0_f64..9.0, moments()).prop_map(|(clocks, bools, i, d, t)| {
        let names = ["machine.idle_s", "machine.uptime_s", "peer.db.age_s", "inbox.oldest_s"];
        Given::new(&[
            ("memory.i", i.into()),
            ("memory.d", Value::Double(d)),
            ("memory.t", t.into()),
        ])
        .and(names.into_iter().zip(clocks))
        .and(["memory.b", "due.night"].into_iter().zip(bools))
    })
}

/// The window that is looked at millisecond by millisecond: past every change there can be.
const WINDOW_MS: u64 = 30_000;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// At every millisecond before the crossing the answer is what it was; at the crossing it is
    /// another; without a crossing it never changes.
    #[test]
    fn the_crossing_is_exact(text in conditions(), given in readings()) {
        let condition = condition(&text);
        let truth = |at: u64| condition.evaluate(&given, UnixMs(at)).truth;
        let before = truth(NOW.0);
        let next = condition.next_crossing(&given, NOW);
        let first = (NOW.0 + 1..NOW.0 + WINDOW_MS).find(|at| truth(*at) != before);
        prop_assert_eq!(first, next.map(|at| at.0), "{}", text);
    }
}

#[test]
fn values_are_asked_for_names_in_the_condition_only() {
    struct Strict;
    impl policy::Values for Strict {
        fn read(&self, name: &policy::Name) -> Reading {
            assert_eq!(name.to_string(), "inbox.depth");
            Reading::known(3)
        }
    }
    let condition = condition("inbox.depth > 2 && now > timestamp('2026-01-01T00:00:00Z')");
    assert_eq!(condition.evaluate(&Strict, NOW).truth, Truth::True);
    assert_eq!(condition.names().count(), 2);
    assert_eq!(given().read(&policy::Name::Memory("i".into())), Reading::known(400));
}
