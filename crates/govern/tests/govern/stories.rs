//! The five worked policies of the design, over time; and stories that are told about machines.

use crate::shell::{AGENT, DUTY, NIGHTLY, QUEUE, STANDBY, Shell, policy_write, rest_until};
use govern::verdict::Source;
use govern::write::Message;
use govern::{Selfhood, Stance, Write, Writer};
use model::admit::Gate;
use model::{Cause, Depth, DurationMs, State, UnixMs, Want};
use policy::document::AlarmText;

fn rule(id: &str) -> Source {
    Source::Rule(id.to_owned())
}

fn last_cause(shell: &Shell) -> Cause {
    shell.selfhood.wake.clone().expect("it was woken").cause
}

#[test]
fn the_duty_monitor_is_kept_awake_past_its_idle_time() {
    let mut shell = Shell::up(DUTY);
    shell.fact("watching", true, &Writer::Machine);
    shell.pass_s(3600);
    assert!(shell.is_up());
    let kept = Stance::Kept {
        by: rule("idle"),
        gate: Gate::Hold,
        gate_by: Some("rule `duty`".to_owned()),
    };
    assert_eq!(shell.stance(), kept);
    shell.fact("watching", false, &Writer::Machine);
    shell.pass_s(1);
    assert!(matches!(shell.machine.state, State::Suspended { .. }), "{:?}", shell.machine.state);
}

#[test]
fn the_queue_worker_wakes_for_a_pile_and_rests_when_it_is_drained() {
    let mut shell = Shell::new(QUEUE);
    for _ in 0..9 {
        shell.post(false);
    }
    assert!(shell.machine.state.is_down(), "nine are no pile");
    shell.post(false);
    shell.pass_s(1);
    assert!(shell.is_up(), "ten are");
    assert_eq!(last_cause(&shell), Cause::Rule { rule: "pile".to_owned() });
    shell.pass_s(60);
    shell.work();
    shell.own(Write::Intent { objective: None, phase: Some("idle".to_owned()), done: None });
    shell.pass_s(44);
    assert!(shell.is_up(), "drained for 44 s");
    shell.pass_s(2);
    assert!(shell.machine.state.is_down(), "drained for 46 s");
    shell.post(false);
    shell.pass_s(299);
    assert!(shell.machine.state.is_down(), "one message may wait");
    shell.pass_s(3);
    assert!(shell.is_up(), "not for more than 300 s");
}

#[test]
fn the_nightly_job_runs_at_night_until_done_within_its_budget() {
    let mut shell = Shell::new(NIGHTLY);
    shell.pass_s(3 * 3600 + 3599);
    assert!(shell.machine.state.is_down());
    shell.pass_s(3);
    assert!(shell.is_up(), "02:00 in Rome is 01:00 UTC");
    assert_eq!(last_cause(&shell), Cause::Rule { rule: "night".to_owned() });
    shell.pass_s(600);
    assert!(shell.is_up() && shell.selfhood.due().next().is_none(), "the alarm has done its work");
    shell.fact("progress", 1.0, &Writer::Machine);
    shell.pass_s(1);
    assert!(shell.machine.state.is_down());
    shell.fact("progress", 0.0, &Writer::Machine);
    shell.pass_s(24 * 3600 - 590);
    assert!(shell.is_up(), "the next night");
    let used = shell.later(10 * 3600 - 700);
    shell.pass_to(used);
    assert!(shell.is_up());
    shell.exit(0);
    shell.pass_s(24 * 3600);
    // Ten hours of February are used up; the night of the 1st of March is another month's.
    assert!(shell.is_up() || matches!(shell.stance(), Stance::Owed { gate: Gate::Deny, .. }));
}

#[test]
fn a_used_up_budget_owes_the_wake_until_the_month_ends() {
    let policy = NIGHTLY.replace("36000", "60");
    let mut shell = Shell::new(&policy);
    shell.call(Want::Up);
    shell.pass_s(61);
    shell.call(Want::Down(Depth::Stop));
    shell.pass_s(5 * 3600);
    assert!(shell.machine.state.is_down());
    let by = rule("night");
    let gate_by = Some("budget".to_owned());
    assert_eq!(shell.stance(), Stance::Owed { by, gate: Gate::Deny, gate_by });
    assert!(shell.machine.owed.is_some(), "it is owed");
    assert!(shell.explain().contains("rule `budget` denies it"), "{}", shell.explain());
    // 2026-03-01T00:00:00Z
    shell.pass_to(UnixMs(1_772_323_200_000 - 1));
    assert!(shell.machine.state.is_down());
    shell.pass_s(61);
    assert!(shell.is_up(), "March has begun: {:?}", shell.stance());
}

#[test]
fn the_agent_cannot_approve_itself_and_sleeps_until_somebody_does() {
    let mut shell = Shell::up(AGENT);
    shell.fact("approval", "asked", &Writer::Machine);
    let own = shell.write(crate::shell::fact("approval", "yes"), &Writer::Machine);
    assert_eq!(own.unwrap_err().code(), "memory_transition");
    shell.pass_s(31);
    assert!(matches!(shell.machine.state, State::Suspended { .. }));
    shell.pass_s(100_000);
    shell.fact("approval", "yes", &Writer::Owner);
    shell.pass_s(1);
    assert!(shell.is_up());
    shell.pass_s(3600);
    assert!(shell.is_up(), "a wake that is true keeps it up");
}

#[test]
fn the_standby_takes_over_when_its_primary_falls_silent_and_the_witness_agrees() {
    let mut shell = Shell::new(STANDBY);
    let beat = |shell: &mut Shell, name: &str| {
        shell.peers.0.insert(name.to_owned(), (shell.now, Selfhood::default()));
        shell.evaluate();
    };
    assert_eq!(shell.evaluate().next_at, None, "without peers nothing is known");
    for _ in 0..20 {
        beat(&mut shell, "primary");
        beat(&mut shell, "witness");
        shell.pass_s(5);
    }
    assert!(shell.machine.state.is_down());
    for second in 0..40 {
        beat(&mut shell, "witness");
        shell.pass_s(1);
        assert_eq!(shell.is_up(), second >= 26, "second {second}: {:?}", shell.stance());
    }
    for _ in 0..130 {
        beat(&mut shell, "primary");
        shell.pass_s(1);
    }
    assert!(shell.machine.state.is_down(), "the primary is back: {:?}", shell.stance());
}

#[test]
fn a_machine_rests_by_its_own_word_until_a_message_comes() {
    let mut shell = Shell::up("{}");
    shell.own(rest_until("inbox.depth > 0", Depth::Stop));
    shell.pass_s(1);
    assert!(shell.machine.state.is_down());
    assert!(shell.explain().contains("by its own word since"), "{}", shell.explain());
    assert!(shell.explain().contains("`inbox.depth > 0` (now 0)"), "{}", shell.explain());
    shell.pass_s(3600);
    shell.post(false);
    shell.pass_s(1);
    assert!(shell.is_up());
    assert_eq!(last_cause(&shell), Cause::RestUntil);
    assert_eq!(shell.selfhood.rest, None, "one shot");
}

#[test]
fn a_message_that_comes_before_the_rest_prevents_it() {
    let mut shell = Shell::up("{}");
    shell.post(false);
    shell.own(rest_until("inbox.depth > 0", Depth::Stop));
    shell.pass_s(3600);
    assert!(shell.is_up());
    assert_eq!(shell.selfhood.rest, None);
}

#[test]
fn a_rest_until_ends_at_its_moment_too() {
    let mut shell = Shell::up("{}");
    let at = Some(shell.later(600));
    let until = Some("memory.x".to_owned());
    let refused = shell.write(
        Write::RestUntil { mode: Depth::Freeze, until, at, note: String::new() },
        &Writer::Machine,
    );
    assert_eq!(refused.unwrap_err().code(), "condition_invalid");
    shell.own(Write::RestUntil { mode: Depth::Freeze, until: None, at, note: String::new() });
    shell.pass_s(598);
    assert!(!shell.is_up());
    shell.pass_s(3);
    assert!(shell.is_up());
}

#[test]
fn who_starts_it_ends_its_rest() {
    let mut shell = Shell::up("{}");
    shell.own(rest_until("inbox.depth > 0", Depth::Stop));
    shell.pass_s(10);
    shell.call(Want::Up);
    shell.pass_s(1);
    assert!(shell.is_up());
    assert_eq!(shell.selfhood.rest, None);
    shell.call(Want::Down(Depth::Stop));
    shell.pass_s(10);
    shell.post(false);
    shell.pass_s(10);
    assert!(shell.machine.state.is_down(), "nothing waits for a message any more");
}

#[test]
fn a_bare_alarm_wakes_the_machine_and_is_done_after_half_a_minute() {
    let mut shell = Shell::new("{}");
    let at = Some("2026-02-27T22:00:00Z".to_owned());
    let alarm = AlarmText { at, every: None, cron: None, tz: None, missed: Default::default() };
    shell.write(Write::Alarm { name: "tea".to_owned(), alarm }, &Writer::Machine).unwrap();
    shell.pass_s(3599);
    assert!(shell.machine.state.is_down());
    shell.pass_s(2);
    assert!(shell.is_up());
    assert_eq!(last_cause(&shell), Cause::Alarm { alarm: "tea".to_owned() });
    shell.pass_s(31);
    assert!(shell.selfhood.alarms.is_empty(), "once is once");
    assert!(shell.is_up(), "nothing puts it to rest");
}

#[test]
fn a_message_with_wake_wakes_and_one_that_is_ignored_five_times_does_no_more() {
    let idle = r#"{"rules":[{"id":"idle","effect":"rest","when":"machine.idle_s > 10"}]}"#;
    let mut shell = Shell::new(idle);
    shell.post(false);
    shell.pass_s(60);
    assert!(shell.machine.state.is_down(), "a plain message waits for somebody to come");
    shell.post(true);
    shell.pass_s(1);
    assert_eq!(last_cause(&shell), Cause::Message);
    shell.pass_s(24 * 3600);
    assert!(shell.machine.state.is_down(), "{:?}", shell.stance());
    assert_eq!(shell.selfhood.inbox.attempts, 5);
    assert_eq!(shell.selfhood.signals.wakes_without_progress, 5);
    shell.post(true);
    shell.pass_s(7200);
    assert!(shell.n_starts >= 6, "something newer has come");
}

#[test]
fn a_stop_silences_what_is_true_until_something_newer_comes() {
    let pile = r#"{"rules":[{"id":"mail","effect":"wake","when":"inbox.depth > 0"}]}"#;
    let mut shell = Shell::new(pile);
    shell.post(false);
    shell.pass_s(60);
    assert!(shell.is_up());
    shell.call(Want::Down(Depth::Stop));
    shell.pass_s(7200);
    assert!(shell.machine.state.is_down(), "a stop is a stop: {:?}", shell.stance());
    shell.post(false);
    shell.pass_s(1);
    assert!(shell.is_up(), "but it does not latch");
    shell.call(Want::Down(Depth::Stop));
    shell.pass_s(60);
    shell.write(Write::Ack { seqs: vec![1, 2] }, &Writer::Owner).unwrap();
    assert!(shell.selfhood.mutes.rules.is_empty(), "it was false once");
    shell.post(false);
    shell.pass_s(1);
    assert!(shell.is_up());
}

#[test]
fn wakes_that_fail_open_the_breaker() {
    let mut shell = Shell::new("{}");
    shell.fails_to_start = true;
    shell.post(true);
    shell.pass_s(3600);
    let n = shell.n_starts;
    assert!((5..=9).contains(&n), "{n} in an hour: 1, 2, 4, 8, 16, 32 min");
    assert!(matches!(shell.stance(), Stance::Owed { gate: Gate::Breaker, .. }));
    assert!(shell.explain().contains("circuit breaker is open"), "{}", shell.explain());
    shell.fails_to_start = false;
    shell.write(Write::ResetBreaker, &Writer::Owner).unwrap();
    shell.pass_s(70);
    assert!(shell.is_up());
    assert_eq!(shell.selfhood.signals.wake_failures, 0);
}

#[test]
fn a_program_that_ends_at_once_is_woken_ever_more_rarely() {
    let always = r#"{"rules":[{"id":"always","effect":"wake","when":"true"}]}"#;
    let mut shell = Shell::new(always);
    for _ in 0..3600 {
        shell.pass_s(1);
        shell.exit(0);
    }
    assert!(shell.n_starts < 12, "{}", shell.n_starts);
    assert!(matches!(shell.stance(), Stance::Owed { gate: Gate::Progress, .. }));
}

#[test]
fn a_busy_policy_meets_its_wake_budget() {
    let mail = r#"{"rules":[{"id":"mail","effect":"wake","when":"inbox.depth > 0"}]}"#;
    let mut shell = Shell::new(mail);
    for _ in 0..550 {
        shell.post(false);
        shell.pass_s(6);
        if shell.is_up() {
            shell.work();
            shell.exit(0);
        }
    }
    assert!(shell.n_starts <= 21, "{}", shell.n_starts);
    assert!(matches!(shell.stance(), Stance::Owed { gate: Gate::WakeBudget, .. }));
    shell.pass_s(3700);
    assert!(shell.is_up(), "owed is not forgotten");
}

#[test]
fn held_down_is_held_down_and_what_is_owed_comes_after() {
    let mut shell = Shell::new("{}");
    let until = Some(shell.later(1000));
    let hold = model::state::HoldDown { reason: "being looked at".to_owned(), until };
    shell.write(Write::HoldDown(Some(hold)), &Writer::Owner).unwrap();
    shell.post(true);
    shell.pass_s(999);
    assert!(shell.machine.state.is_down());
    assert!(shell.explain().contains("held down: being looked at"), "{}", shell.explain());
    shell.pass_s(2);
    assert!(shell.is_up(), "{:?}", shell.stance());
}

#[test]
fn a_hold_keeps_it_awake_and_ends_by_itself() {
    let idle =
        r#"{"rules":[{"id":"idle","effect":"rest","mode":"freeze","when":"machine.idle_s > 60"}]}"#;
    let mut shell = Shell::up(idle);
    let lasts = DurationMs::from_secs(600);
    let hold = Write::Hold { name: "upload".to_owned(), lasts, reason: "a long one".to_owned() };
    shell.own(hold);
    shell.pass_s(598);
    assert!(shell.is_up());
    assert!(shell.explain().contains("hold `upload` keeps it awake"), "{}", shell.explain());
    shell.pass_s(3);
    assert!(!shell.is_up());
    assert!(shell.selfhood.holds.is_empty());
}

#[test]
fn messages_in_a_circle_stop_after_eight_machines() {
    let mut shell = Shell::new("{}");
    let peer = Writer::Peer("b".to_owned());
    let message = |hops| Write::Post(Message { hops, ..Message::default() });
    let mut hops = 0;
    let mut n = 0;
    while shell.write(message(hops), &peer).is_ok() {
        hops = shell.rows.rows.values().last().expect("posted").hops;
        n += 1;
    }
    assert_eq!(n, 8);
}

#[test]
fn a_policy_that_wakes_and_rests_in_a_loop_stays_up() {
    let fight = r#"{"rules":[{"id":"w","effect":"wake","when":"inbox.depth > 0"},
        {"id":"r","effect":"rest","when":"inbox.depth > 0"}]}"#;
    let mut shell = Shell::new(fight);
    shell.post(false);
    shell.pass_s(3600);
    assert!(shell.is_up());
    assert_eq!(shell.n_starts, 1);
}

#[test]
fn a_policy_changed_while_waking_is_obeyed_after() {
    let mail = r#"{"rules":[{"id":"mail","effect":"wake","when":"inbox.depth > 0"}]}"#;
    let mut shell = Shell::new(mail);
    shell.post(false);
    assert!(matches!(shell.machine.state, State::Starting { .. }));
    let rest = r#"{"rules":[{"id":"rest","effect":"rest","when":"true"}]}"#;
    shell.write(policy_write(rest), &Writer::Owner).unwrap();
    shell.pass_s(29);
    assert!(shell.is_up(), "min_run");
    shell.pass_s(3);
    assert!(!shell.is_up());
}

#[test]
fn retire_stops_and_says_so() {
    let retire = r#"{"rules":[{"id":"old","effect":"retire","when":"intent.done"}]}"#;
    let mut shell = Shell::up(retire);
    shell.pass_s(40);
    shell.own(Write::Intent { objective: None, phase: None, done: Some(true) });
    shell.pass_s(1);
    assert!(shell.machine.state.is_down());
    let verdict = shell.evaluate();
    assert_eq!(verdict.retire.as_deref(), Some("old"));
}

#[test]
fn notify_tells_once_each_time_it_rises() {
    let notify =
        r#"{"rules":[{"id":"many","effect":"notify","when":"inbox.depth > 1","to":"ops"}]}"#;
    let mut shell = Shell::up(notify);
    for _ in 0..3 {
        shell.post(false);
    }
    assert_eq!(shell.notified, ["many"]);
    shell.work();
    shell.post(false);
    shell.post(false);
    assert_eq!(shell.notified, ["many", "many"]);
}

/// A schedule as Fly has it: the program knows of no alarm, does its work and ends.
#[test]
fn a_job_that_ends_well_is_not_started_again_until_its_next_time() {
    let mut shell = Shell::new(r#"{"alarms":{"hourly":{"every":"1h"}}}"#);
    comes_up_each_hour(&mut shell, &Cause::Alarm { alarm: "hourly".to_owned() });
    // Of the same name, and yet no schedule: the policy's own.
    let mut shell = Shell::new(r#"{"alarms":{"schedule":{"every":"1h"}}}"#);
    comes_up_each_hour(&mut shell, &Cause::Alarm { alarm: "schedule".to_owned() });
    let mut shell = Shell::new("{}");
    let alarm = serde_json::from_str(r#"{"every":"1h"}"#).expect("an alarm");
    let write = Write::Alarm { name: "schedule".to_owned(), alarm };
    shell.write(write, &Writer::Platform).expect("the platform sets it");
    comes_up_each_hour(&mut shell, &Cause::Schedule);
}

fn comes_up_each_hour(shell: &mut Shell, cause: &Cause) {
    let began = shell.now;
    for hour in 1..=30 {
        shell.pass_to(began.plus(DurationMs::from_secs(hour * 3600 + 5)));
        assert!(shell.is_up(), "hour {hour}: {}", shell.explain());
        assert_eq!(last_cause(shell), *cause);
        shell.exit(0);
        assert!(shell.selfhood.due().next().is_none());
    }
    assert_eq!(shell.n_starts, 30, "never late, never twice");
}

#[test]
fn a_job_that_fails_is_tried_again() {
    let mut shell = Shell::new(r#"{"alarms":{"schedule":{"every":"1h"}}}"#);
    shell.pass_s(3601);
    shell.exit(1);
    assert!(shell.selfhood.due().next().is_some());
    shell.pass_s(10);
    assert!(shell.is_up());
    assert_eq!(shell.n_starts, 2);
}

#[test]
fn an_alarm_that_puts_to_rest_is_done_when_it_rests() {
    let bed = r#"{"alarms":{"bed":{"every":"1h"}},
        "rules":[{"id":"bed","effect":"rest","when":"due.bed"}]}"#;
    let mut shell = Shell::up(bed);
    shell.pass_s(3601);
    assert!(shell.machine.state.is_down());
    assert_eq!(shell.selfhood.due().count(), 0);
    shell.call(Want::Up);
    shell.pass_s(600);
    assert!(shell.is_up(), "until the next hour");
}

#[test]
fn a_guest_may_object_to_a_rest_that_it_was_told_of() {
    let idle = r#"{"rules":[{"id":"idle","effect":"rest","when":"machine.idle_s > 60"}]}"#;
    let mut shell = Shell::up(idle);
    shell.pass_s(50);
    let rest = model::state::Rest {
        depth: Depth::Stop,
        cause: Cause::Rule { rule: "idle".to_owned() },
        order: model::event::StopOrder { signal: 2, timeout: DurationMs(1000) },
    };
    shell.machine =
        model::step(&shell.machine, &model::Event::Notice { rest, vetoes: 0 }, shell.now)
            .unwrap()
            .machine;
    let lasts = DurationMs::from_secs(600);
    shell.own(Write::Hold { name: "wait".to_owned(), lasts, reason: String::new() });
    assert!(matches!(shell.machine.state, State::Started { .. }), "{:?}", shell.machine.state);
    assert_eq!(shell.selfhood.ledger.vetoes, 1);
    shell.pass_s(500);
    assert!(shell.is_up());
}
