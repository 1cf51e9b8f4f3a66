//! Every gate that governance fills in: what it stops, and what it leaves alone.

use crate::shell::{NOW, Shell, policy_write};
use govern::view::Request;
use govern::{Stance, View, Write, Writer, evaluate, knock};
use model::admit::{Gate, WAKE_BUDGET_PER_HOUR};
use model::{Cause, Depth, DurationMs, GateFacts, Want};

const MAIL: &str = r#"{"id":"mail","effect":"wake","when":"inbox.depth > 0"}"#;
const IDLE: &str = r#"{"id":"idle","effect":"rest","when":"machine.idle_s > 60"}"#;

fn with(rules: &[&str]) -> String {
    format!(r#"{{"rules":[{}]}}"#, rules.join(","))
}

/// Which gate a message finds shut after this was done to a machine at rest.
#[track_caller]
fn check_wake(rules: &[&str], prepare: impl Fn(&mut Shell), expected: Option<Gate>) {
    let mut shell = Shell::new(&with(rules));
    shell.pass_s(100);
    prepare(&mut shell);
    shell.post(false);
    let gate = match shell.stance() {
        Stance::Owed { gate, .. } => Some(gate),
        Stance::Up { .. } => None,
        other => panic!("{other:?}"),
    };
    assert_eq!(gate, expected);
    assert_eq!(shell.machine.owed.is_some(), expected.is_some(), "what is blocked is owed");
}

#[test]
fn what_stops_a_governed_wake() {
    check_wake(&[MAIL], |_| {}, None);
    let deny = r#"{"id":"no","effect":"deny_wake","when":"true"}"#;
    check_wake(&[MAIL, deny], |_| {}, Some(Gate::Deny));
    let unknown = r#"{"id":"no","effect":"deny_wake","when":"peer.gone.x == 1"}"#;
    check_wake(&[MAIL, unknown], |_| {}, Some(Gate::Deny));
    let hold = |shell: &mut Shell| {
        let hold = model::state::HoldDown { reason: "r".to_owned(), until: None };
        shell.write(Write::HoldDown(Some(hold)), &Writer::Owner).unwrap();
    };
    check_wake(&[MAIL], hold, Some(Gate::HoldDown));
    let just_rested = |shell: &mut Shell| {
        shell.call(Want::Up);
        shell.pass_s(5);
        shell.call(Want::Down(Depth::Stop));
        shell.pass_s(1);
    };
    check_wake(&[MAIL], just_rested, Some(Gate::MinRest));
    let budget = |shell: &mut Shell| {
        let n = usize::try_from(WAKE_BUDGET_PER_HOUR).unwrap();
        shell.selfhood.ledger.wakes = vec![NOW; n];
    };
    check_wake(&[MAIL], budget, Some(Gate::WakeBudget));
    let breaker = |s: &mut Shell| s.selfhood.ledger.breaker.until = Some(s.later(60));
    check_wake(&[MAIL], breaker, Some(Gate::Breaker));
    let progress = |s: &mut Shell| s.selfhood.ledger.no_progress_until = Some(s.later(60));
    check_wake(&[MAIL], progress, Some(Gate::Progress));
    check_wake(&[MAIL, r#"{"id":"h","effect":"hold","when":"true"}"#], |_| {}, None);
}

/// Which gate keeps an idle machine awake.
#[track_caller]
fn check_rest(rules: &[&str], prepare: impl Fn(&mut Shell), expected: Option<Gate>) {
    let mut shell = Shell::up(&with(rules));
    prepare(&mut shell);
    shell.pass_s(80);
    let gate = match shell.stance() {
        Stance::Kept { gate, .. } => Some(gate),
        Stance::Up { .. } | Stance::Owed { .. } | Stance::Down { .. } => None,
        Stance::Held { .. } | Stance::Stay => None,
    };
    assert_eq!(gate, expected);
    assert_eq!(shell.is_up(), expected.is_some());
}

#[test]
fn what_stops_a_rest() {
    check_rest(&[IDLE], |_| {}, None);
    let deny = r#"{"id":"no","effect":"deny_rest","when":"true"}"#;
    check_rest(&[IDLE, deny], |_| {}, Some(Gate::Deny));
    let unknown = r#"{"id":"no","effect":"deny_rest","when":"peer.gone.x == 1"}"#;
    check_rest(&[IDLE, unknown], |_| {}, Some(Gate::Deny));
    let rule = r#"{"id":"h","effect":"hold","when":"true"}"#;
    check_rest(&[IDLE, rule], |_| {}, Some(Gate::Hold));
    let hold = |shell: &mut Shell| {
        let lasts = DurationMs::from_secs(600);
        shell.own(Write::Hold { name: "h".to_owned(), lasts, reason: String::new() });
    };
    check_rest(&[IDLE], hold, Some(Gate::Hold));
    let unknown_hold = r#"{"id":"h","effect":"hold","when":"peer.gone.x == 1"}"#;
    check_rest(&[IDLE, unknown_hold], |_| {}, None);
}

#[test]
fn a_call_to_stop_passes_holds_and_denies() {
    let rules = [
        r#"{"id":"h","effect":"hold","when":"true"}"#,
        r#"{"id":"d","effect":"deny_rest","when":"true"}"#,
    ];
    let mut shell = Shell::up(&with(&rules));
    shell.call(Want::Down(Depth::Stop));
    shell.pass_s(1);
    assert!(!shell.is_up());
}

#[test]
fn a_knock_is_denied_by_what_it_asks_for() {
    let deny = r#"{"id":"robots","effect":"deny_wake","when":"request.path == '/robots.txt'"}"#;
    let shell = Shell::new(&with(&[deny]));
    let facts = |path: &'static str| -> GateFacts {
        let request = Some(Request { host: "a", path, method: "GET" });
        let view = View { request, ..shell.view() };
        knock(&shell.selfhood, &shell.policy, &view, shell.now)
    };
    assert_eq!(facts("/robots.txt").deny_wake.as_deref(), Some("robots"));
    assert_eq!(facts("/").deny_wake, None);
}

#[test]
fn a_suspend_falls_to_what_the_engine_can() {
    let rule = r#"{"id":"r","effect":"rest","mode":"suspend","when":"true"}"#;
    let mut shell = Shell::up(&with(&[]));
    shell.pass_s(60);
    shell.write(policy_write("{}"), &Writer::Owner).unwrap();
    let policy = policy::Policy::parse(with(&[rule]).as_bytes()).unwrap();
    let depth = |can_freeze, can_suspend| {
        let view = View { can_freeze, can_suspend, ..shell.view() };
        evaluate(&shell.selfhood, &policy, &view, shell.now).wish
    };
    let wish = |depth| Some((Want::Down(depth), Cause::Rule { rule: "r".to_owned() }));
    assert_eq!(depth(true, true), wish(Depth::Suspend));
    assert_eq!(depth(true, false), wish(Depth::Freeze));
    assert_eq!(depth(false, false), wish(Depth::Stop));
}
