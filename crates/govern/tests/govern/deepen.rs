//! A machine that sleeps goes deeper with age.

use crate::shell::{DUTY, NOW, Shell};
use govern::view::Autostop;
use govern::{Stance, Verdict, View, Write, Writer, evaluate};
use model::admit::{Gate, LeaseHeld};
use model::spec::deepen::Deepen;
use model::{Cause, Depth, DurationMs, Machine, PerMille, State, UnixMs, Want};

const SUSPEND: DurationMs = DurationMs::from_secs(600);
const STOP: DurationMs = DurationMs::from_secs(3_600);

const fn both() -> Deepen {
    Deepen { suspend_after: Some(SUSPEND), stop_after: Some(STOP) }
}

/// A machine that somebody froze a moment ago, and when that began.
fn frozen(policy: &str, deepen: Deepen) -> (Shell, UnixMs) {
    let mut shell = Shell::up(policy);
    shell.deepen = Some(deepen);
    let began = shell.now;
    shell.call(Want::Down(Depth::Freeze));
    shell.pass_s(1);
    check_depth(&shell, Some(Depth::Freeze));
    (shell, began)
}

/// How deep it sleeps; `None` is stopped.
#[track_caller]
fn check_depth(shell: &Shell, expected: Option<Depth>) {
    let depth = match &shell.machine.state {
        State::Suspended { depth, wake: None, .. } => Some(*depth),
        State::Stopped { .. } => None,
        state => panic!("it does not sleep: {state:?}"),
    };
    assert_eq!(depth, expected);
}

fn verdict(shell: &Shell, view: &View<'_>) -> Verdict {
    evaluate(&shell.selfhood, &shell.policy, view, shell.now)
}

#[test]
fn it_goes_to_disk_and_then_stops_and_says_so() {
    let (mut shell, began) = frozen("{}", both());
    assert_eq!(shell.next_at, Some(began.plus(SUSPEND)));
    assert_eq!(
        shell.explain(),
        "suspended by a call by local since 21:00 UTC; nothing wakes it but a call or a request; \
         next: to disk by its setting `deepen` 21:10 UTC in 9 min"
    );
    shell.pass_s(598);
    check_depth(&shell, Some(Depth::Freeze));
    shell.pass_s(2);
    check_depth(&shell, Some(Depth::Suspend));
    // The deeper sleep does not begin its age anew.
    assert_eq!(shell.next_at, Some(began.plus(STOP)));
    assert_eq!(
        shell.explain(),
        "suspended by a call by local since 21:00 UTC, on disk by its setting `deepen`, after 600 s \
         asleep; nothing wakes it but a call or a request; \
         next: stopped by its setting `deepen` 22:00 UTC in 49 min"
    );
    shell.pass_s(3_600);
    check_depth(&shell, None);
    assert_eq!(shell.next_at, None);
    let told = shell.explain();
    let expected = "asleep by its setting `deepen`, after 3600 s asleep since 22:00 UTC; ";
    assert!(told.starts_with(expected), "{told}");
}

#[test]
fn an_engine_that_cannot_suspend_leaves_it_frozen_until_it_stops() {
    let (mut shell, began) = frozen("{}", both());
    shell.can_suspend = false;
    shell.evaluate();
    assert_eq!(shell.next_at, Some(began.plus(STOP)));
    shell.pass_s(3_590);
    check_depth(&shell, Some(Depth::Freeze));
    shell.pass_s(20);
    check_depth(&shell, None);

    let alone = Deepen { suspend_after: Some(SUSPEND), stop_after: None };
    let (mut shell, _began) = frozen("{}", alone);
    shell.can_suspend = false;
    shell.evaluate();
    assert_eq!(shell.next_at, None);
}

#[test]
fn it_begins_nothing_while_the_machine_is_up_or_stopped_or_frozen_for_want_of_room() {
    let mut shell = Shell::up("{}");
    shell.deepen = Some(both());
    shell.pass_s(10_000);
    assert!(shell.is_up());
    assert_eq!(shell.next_at, None);
    shell.call(Want::Down(Depth::Stop));
    shell.pass_s(10_000);
    check_depth(&shell, None);
    assert_eq!(shell.next_at, None);

    let (mut shell, _began) = frozen("{}", both());
    shell.pass_s(300);
    let pressure =
        Cause::DiskPressure { free: PerMille(41), wrote_bytes: 1 << 30, within: DurationMs(2_000) };
    let mut machine: Machine = shell.machine.clone();
    let State::Suspended { cause, .. } = &mut machine.state else { panic!("it is frozen") };
    *cause = Some(pressure);
    let view =
        View { can_freeze: true, can_suspend: true, deepen: shell.deepen, ..View::of(&machine) };
    let pressed = verdict(&shell, &view);
    assert_eq!((pressed.wish, pressed.next_at), (None, None));
}

#[test]
fn a_wake_begins_its_age_anew() {
    let (mut shell, _began) = frozen("{}", both());
    shell.pass_s(500);
    shell.call(Want::Up);
    shell.pass_s(1_000);
    assert!(shell.is_up());
    let again = shell.now;
    shell.call(Want::Down(Depth::Freeze));
    shell.pass_s(1);
    assert_eq!(shell.next_at, Some(again.plus(SUSPEND)));
}

#[test]
fn a_wake_on_the_way_down_wins() {
    let (mut shell, began) = frozen("{}", both());
    shell.pass_to(began.plus(SUSPEND));
    assert!(matches!(shell.machine.state, State::Suspending { .. }), "{:?}", shell.machine.state);
    shell.call(Want::Up);
    shell.pass_s(1);
    assert!(shell.is_up(), "{:?}", shell.machine.state);
    shell.pass_s(7_200);
    assert!(shell.is_up(), "{:?}", shell.machine.state);
}

#[test]
fn a_crash_or_a_long_night_loses_nothing_of_it() {
    let (mut shell, _began) = frozen("{}", both());
    shell.next_at = None;
    shell.crash();
    shell.pass_s(700);
    check_depth(&shell, Some(Depth::Suspend));

    let (mut shell, _began) = frozen("{}", both());
    // The host was off for a day: what is deepest is right at once.
    shell.set_clock(shell.later(86_400));
    shell.crash();
    shell.pass_s(10);
    check_depth(&shell, None);
    let mut wishes = shell.trace.iter().filter_map(|entry| entry.body.wish.as_ref());
    assert!(wishes.all(|(want, _)| *want != Want::Down(Depth::Suspend)));
}

#[test]
fn a_clock_that_goes_back_delays_it_by_no_more_than_its_length() {
    let (mut shell, _began) = frozen("{}", both());
    shell.set_clock(UnixMs(NOW.0 - 10 * 86_400_000));
    shell.pass_s(601);
    check_depth(&shell, Some(Depth::Suspend));
}

#[test]
fn holds_deny_rules_and_leases_keep_it_from_that() {
    let (mut shell, _began) = frozen("{}", both());
    let reason = "a backup".to_owned();
    let hold = Write::Hold { name: "h".to_owned(), lasts: DurationMs::from_secs(1_200), reason };
    shell.write(hold, &Writer::Owner).expect("the owner may hold");
    shell.pass_s(700);
    check_depth(&shell, Some(Depth::Freeze));
    let kept = verdict(&shell, &shell.view());
    assert!(matches!(kept.stance, Stance::Kept { gate: Gate::Hold, .. }), "{:?}", kept.stance);
    shell.pass_s(600);
    check_depth(&shell, Some(Depth::Suspend));

    let deny = r#"{"facts": {"busy": {"type": "bool", "default": true}},
        "rules": [{"id": "no", "effect": "deny_rest", "when": "memory.busy"}]}"#;
    let (mut shell, _began) = frozen(deny, both());
    shell.pass_s(700);
    check_depth(&shell, Some(Depth::Freeze));
    shell.fact("busy", false, &Writer::Owner);
    shell.pass_s(1);
    check_depth(&shell, Some(Depth::Suspend));

    let (mut shell, began) = frozen("{}", both());
    shell.pass_s(500);
    let expires_at = began.plus(DurationMs::from_secs(900));
    let lease = LeaseHeld { owner: "somebody".to_owned(), expires_at };
    shell.now = began.plus(SUSPEND);
    let leased = verdict(&shell, &View { lease: Some(&lease), ..shell.view() });
    assert!(matches!(leased.stance, Stance::Kept { gate: Gate::Lease, .. }), "{:?}", leased.stance);
    assert_eq!((leased.wish, leased.next_at), (None, Some(expires_at)));
}

#[test]
fn whoever_put_it_to_sleep_it_goes_deeper() {
    // By its services.
    let mut shell = Shell::up("{}");
    shell.deepen = Some(Deepen { suspend_after: None, stop_after: Some(STOP) });
    shell.pass_s(100);
    let services = Autostop {
        after: DurationMs::from_secs(60),
        depth: Depth::Suspend,
        gone_at: Some(NOW),
        surplus_since: None,
    };
    let idle = verdict(&shell, &View { autostop: Some(services), ..shell.view() });
    assert!(matches!(idle.wish, Some((Want::Down(Depth::Suspend), Cause::Idle { .. }))));
    // By a rule, which goes on to say what it said.
    let mut shell = Shell::up(DUTY);
    shell.deepen = Some(Deepen { suspend_after: None, stop_after: Some(STOP) });
    shell.pass_s(600);
    check_depth(&shell, Some(Depth::Suspend));
    shell.pass_s(3_600);
    check_depth(&shell, None);
}

#[test]
fn a_wake_that_is_wanted_comes_before_it() {
    let policy = r#"{"facts": {"go": {"type": "bool", "default": false}},
        "rules": [{"id": "go", "effect": "wake", "when": "memory.go"}]}"#;
    let (mut shell, began) = frozen(policy, both());
    shell.pass_to(began.plus(DurationMs::from_secs(599)));
    shell.now = began.plus(SUSPEND);
    shell.fact("go", true, &Writer::Owner);
    shell.pass_s(1);
    assert!(shell.is_up(), "{:?}", shell.machine.state);
}
