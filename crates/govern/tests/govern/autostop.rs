//! What services say about their visitors, and who keeps a machine awake.

use crate::shell::{DUTY, Shell, fact};
use govern::view::{Autostop, Idle};
use govern::{Keeper, Stance, Verdict, View, Write, evaluate, explain};
use model::{Cause, Depth, DurationMs, Machine, UnixMs, Want};

const AFTER: DurationMs = DurationMs::from_secs(300);

fn autostop(gone_at: Option<UnixMs>, surplus_since: Option<UnixMs>) -> Option<Autostop> {
    Some(Autostop { after: AFTER, depth: Depth::Suspend, gone_at, surplus_since })
}

fn verdict(shell: &Shell, view: &View<'_>) -> Verdict {
    evaluate(&shell.selfhood, &shell.policy, view, shell.now)
}

#[track_caller]
fn check_wish(verdict: &Verdict, expected: Option<Cause>) {
    assert_eq!(verdict.wish.clone().map(|(_, cause)| cause), expected, "{:?}", verdict.stance);
}

#[test]
fn a_machine_rests_when_its_visitors_have_stayed_away_for_long_enough() {
    let mut shell = Shell::up("{}");
    let gone = shell.later(100);
    shell.pass_s(200);
    let view = View { autostop: autostop(Some(gone), None), ..shell.view() };
    let early = verdict(&shell, &view);
    check_wish(&early, None);
    assert_eq!(early.next_at, Some(gone.plus(AFTER)));
    shell.pass_s(200);
    let view = View { autostop: autostop(Some(gone), None), ..shell.view() };
    let late = verdict(&shell, &view);
    check_wish(&late, Some(Cause::Idle { after: Some(AFTER) }));
    assert!(matches!(late.wish, Some((Want::Down(Depth::Suspend), _))));
    let frozen = verdict(&shell, &View { can_suspend: false, ..view });
    assert!(matches!(frozen.wish, Some((Want::Down(Depth::Freeze), _))), "{:?}", frozen.wish);
}

#[test]
fn while_somebody_is_there_or_nobody_counts_it_stays() {
    let mut shell = Shell::up("{}");
    shell.pass_s(1_000);
    check_wish(&verdict(&shell, &View { autostop: autostop(None, None), ..shell.view() }), None);
    check_wish(&verdict(&shell, &shell.view()), None);
}

#[test]
fn nobody_has_been_away_for_longer_than_it_is_up() {
    let mut shell = Shell::up("{}");
    shell.pass_s(100);
    let ages_ago = UnixMs(0);
    let view = View { autostop: autostop(Some(ages_ago), None), ..shell.view() };
    check_wish(&verdict(&shell, &view), None);
    let starts = view.started_at.expect("it is up");
    assert_eq!(verdict(&shell, &view).next_at, Some(starts.plus(AFTER)));
}

#[test]
fn one_too_many_goes_although_it_is_visited() {
    let mut shell = Shell::up("{}");
    let since = shell.now;
    shell.pass_s(299);
    let view = |shell: &Shell| autostop(None, Some(since)).filter(|_| shell.is_up());
    check_wish(&verdict(&shell, &View { autostop: view(&shell), ..shell.view() }), None);
    shell.pass_s(3);
    let view = View { autostop: view(&shell), inflight: Some(3), ..shell.view() };
    check_wish(&verdict(&shell, &view), Some(Cause::Excess { after: AFTER }));
    let told = explain(&shell.selfhood, &shell.policy, &view, shell.now);
    let words = "awake and to rest: autostop after 300 s with one machine too many says so";
    assert_eq!(told.sentence, words);
}

#[test]
fn a_hold_and_its_app_keep_it_from_that() {
    let mut shell = Shell::up("{}");
    let gone = shell.now;
    let reason = "an upload".to_owned();
    shell.own(Write::Hold { name: "h".to_owned(), lasts: DurationMs(3_000_000), reason });
    shell.pass_s(400);
    let view = View { autostop: autostop(Some(gone), None), ..shell.view() };
    let kept = verdict(&shell, &view);
    check_wish(&kept, None);
    assert!(matches!(kept.stance, Stance::Kept { .. }), "{:?}", kept.stance);
    let keepers = keepers(&shell, &view);
    assert_eq!(words(&keepers), ["hold"]);
    assert_eq!(keepers[0].name.as_deref(), Some("h"));

    let mut needed = Shell::up("{}");
    needed.pass_s(400);
    let view = View { autostop: autostop(Some(gone), None), no_rest_permit: true, ..needed.view() };
    check_wish(&verdict(&needed, &view), None);
    assert_eq!(words(&self::keepers(&needed, &view)), ["min_machines_running"]);
}

fn keepers(shell: &Shell, view: &View<'_>) -> Vec<Keeper> {
    explain(&shell.selfhood, &shell.policy, view, shell.now).awake
}

fn words(keepers: &[Keeper]) -> Vec<&'static str> {
    keepers.iter().map(|keeper| keeper.by).collect()
}

/// A view in which everything is busy.
fn busy<'a>(view: View<'a>) -> View<'a> {
    View {
        idle: Some(Idle::Busy),
        n_sessions: 1,
        inflight: Some(2),
        conns_in: Some(1),
        conns_out: Some(2),
        conns_direct: Some(1),
        cpu_1m: Some(0.5),
        ..view
    }
}

#[test]
fn only_what_something_looks_at_keeps_it_awake() {
    let plain = Shell::up("{}");
    assert_eq!(words(&keepers(&plain, &busy(plain.view()))), ["nothing"]);
    let served = View { autostop: autostop(None, None), ..busy(plain.view()) };
    let told = keepers(&plain, &served);
    assert_eq!(words(&told), ["requests", "connections", "exec"]);
    let texts: Vec<&str> = told.iter().map(|keeper| &*keeper.text).collect();
    let expected = ["2 requests under way", "1 connection of visitors", "1 command run by exec"];
    assert_eq!(texts, expected);
    let ruled = Shell::up(DUTY);
    let told = keepers(&ruled, &busy(ruled.view()));
    let all = ["requests", "connections", "exec", "outbound", "direct", "cpu"];
    assert_eq!(words(&told), all);
    assert_eq!(told[3].text, "2 outbound connections");
    assert_eq!(told[4].text, "1 connection of another machine");
}

#[test]
fn rules_and_idleness_are_told_and_a_machine_that_sleeps_is_kept_by_nobody() {
    let mut shell = Shell::up(DUTY);
    assert_eq!(keepers(&shell, &shell.view()), []);
    shell.own(fact("watching", true));
    let told = keepers(&shell, &shell.view());
    assert_eq!((words(&told), told[0].name.as_deref()), (vec!["rule"], Some("duty")));
    let asleep: Machine = Shell::new("{}").machine;
    assert_eq!(keepers(&shell, &busy(View::of(&asleep))), []);
}
