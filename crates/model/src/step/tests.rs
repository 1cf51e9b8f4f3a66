//! One test per promise of docs/states.md, and its tables.

mod table;
mod unprepared;

use super::*;
use crate::cause::{Cause, Depth};
use crate::deadline::{OWED_RECHECK, PREPARE_TRIES, REST_NOTICE, START_LIMIT, timers};
use crate::effect::ExitNews;
use crate::event::StopOrder;
use crate::fixture::*;
use crate::resume::resume;
use crate::spec::{RestartMode, RestartPolicy};
use crate::state::{AfterStop, HoldDown, Rest};
use crate::units::DurationMs;
use crate::validate::validate;

#[track_caller]
fn go(machine: &Machine, event: &Event) -> Next {
    let next = step(machine, event, NOW).expect("not refused");
    validate(&next.machine).expect("a valid machine");
    next
}

#[track_caller]
fn down(depth: Depth, cause: Cause) -> Event {
    want(Want::Down(depth), cause)
}

fn launches(next: &Next) -> usize {
    next.effects.iter().filter(|e| matches!(e, Effect::Launch(_))).count()
}

fn kinds(next: &Next) -> Vec<(NewsKind, &str)> {
    next.news.iter().map(|news| (news.kind, news.status.as_str())).collect()
}

#[test]
fn create_prepares_and_then_starts_once() {
    let next = create(true, NOW);
    assert_eq!(next.effects[0], Effect::Prepare);
    assert_eq!(kinds(&next), [(NewsKind::Launch, "created")]);
    let next = go(&next.machine, &Event::Prepared { seed: seed(1) });
    assert_eq!(next.effects[0], Effect::Launch(run(1, None)));
    assert_eq!(next.effects[1], Effect::Arm { kind: TimerKind::Stuck, at: NOW.plus(START_LIMIT) });
    let next = go(&next.machine, &Event::RunStarted { run: run_id(1), at: NOW });
    assert_eq!(next.machine.state, State::Started { run: run(1, Some(NOW)) });
    assert_eq!(next.effects, [Effect::Disarm(TimerKind::Stuck)]);
    assert_eq!(next.machine.revision, 3);
}

#[test]
fn create_without_launch_settles_to_stopped() {
    let next = go(&create(false, NOW).machine, &Event::Prepared { seed: seed(1) });
    assert_eq!(next.machine.state.api_name(), "stopped");
    assert_eq!(launches(&next), 0);
}

#[test]
fn stopping_a_stopped_machine_changes_nothing() {
    let next = go(&named("stopped"), &down(Depth::Stop, api()));
    assert_eq!(next, Next { machine: named("stopped"), news: vec![], effects: vec![] });
}

#[test]
fn a_stop_during_a_start_is_done_after_boot() {
    let next = go(&named("starting"), &down(Depth::Stop, api()));
    assert!(next.effects.is_empty());
    let next = go(&next.machine, &Event::RunStarted { run: run_id(1), at: NOW });
    assert_eq!(next.effects[0], Effect::Stop { run: run_id(1), order: ORDER });
    assert_eq!(kinds(&next), [(NewsKind::Start, "started"), (NewsKind::Stop, "stopping")]);
}

#[test]
fn a_wake_during_a_stop_starts_right_after_it() {
    let next = go(&named("stopping"), &want(Want::Up, Cause::knock()));
    assert_eq!(launches(&next), 0);
    let next = go(&next.machine, &exited(1, 0, RestartMode::No));
    assert_eq!(
        next.effects[..2],
        [Effect::Release(run(1, Some(NOW))), Effect::Launch(run(9, None))]
    );
}

#[test]
fn a_wake_while_falling_asleep_wakes_it_right_after() {
    let next = go(&named("suspending"), &want(Want::Up, Cause::Message));
    let slept = Event::Slept { run: run_id(1), depth: Depth::Freeze, ram_bytes: 1 };
    let next = go(&next.machine, &slept);
    let wake = Effect::Wake { run: run(1, Some(NOW)), depth: Depth::Freeze };
    assert_eq!(next.effects[0], wake);
    assert_eq!(resume(&next.machine), [wake]);
    let next = go(&next.machine, &Event::Woke { run: run_id(1) });
    assert_eq!(next.machine.state.api_name(), "started");
}

#[test]
fn a_thaw_and_its_outcome_are_one_step() {
    let asleep = named("frozen");
    let intent = go(&asleep, &want(Want::Up, api()));
    let outcome = go(&intent.machine, &Event::Woke { run: run_id(1) });
    let (told, ended) = (intent.news.clone(), outcome.news.clone());
    let (begun, settled) = (intent.effects.clone(), outcome.effects.clone());
    let both = intent.then(outcome);
    assert_eq!(both.machine.state, State::Started { run: run(1, Some(NOW)) });
    assert_eq!(both.machine.revision, asleep.revision + 1);
    assert_eq!(both.news, [told, ended].concat());
    assert_eq!(both.effects, [begun, settled].concat());
    assert_eq!(timers(&both.machine), []);
    validate(&both.machine).expect("a valid machine");
}

#[test]
fn a_wake_while_a_sleeper_goes_deeper_calls_that_off_or_follows_it() {
    let age = Cause::Age { after: DurationMs::from_secs(600) };
    let next = go(&named("frozen"), &down(Depth::Suspend, age.clone()));
    assert_eq!(next.effects[0], Effect::Sleep { run: run_id(1), depth: Depth::Suspend });
    assert_eq!(kinds(&next), [(NewsKind::Suspend, "suspending")]);
    assert_eq!((next.news[0].source, next.news[0].cause.as_ref()), (NewsSource::Flyd, Some(&age)));
    let woken = go(&next.machine, &want(Want::Up, Cause::knock()));
    let wake = Effect::Wake { run: run(1, Some(NOW)), depth: Depth::Suspend };
    assert_eq!(woken.effects[0], wake);
    // Nothing was lost yet: it goes on where it stood.
    let called_off = Event::SleepFailed { run: run_id(1), message: "called off".to_owned() };
    assert_eq!(go(&woken.machine, &called_off).machine.state, named("started").state);
    // It was too late for that: the wake comes right after.
    let slept = Event::Slept { run: run_id(1), depth: Depth::Suspend, ram_bytes: 0 };
    let next = go(&woken.machine, &slept);
    assert_eq!(next.effects[0], wake);
    let next = go(&next.machine, &Event::Woke { run: run_id(1) });
    assert_eq!(next.machine.state.api_name(), "started");
}

#[test]
fn a_sleeper_of_age_is_stopped_from_either_depth_and_started_after_that_if_woken() {
    let age = || Cause::Age { after: DurationMs::from_secs(3_600) };
    let next = go(&named("suspended"), &down(Depth::Stop, age()));
    assert_eq!(next.machine.state.api_name(), "stopped");
    let next = go(&named("frozen"), &down(Depth::Stop, age()));
    assert_eq!(next.effects[0], Effect::Stop { run: run_id(1), order: ORDER });
    let next = go(&next.machine, &want(Want::Up, Cause::knock()));
    let next = go(&next.machine, &exited(1, 0, RestartMode::No));
    assert_eq!(launches(&next), 1);
}

#[test]
fn a_writer_is_frozen_with_its_figures_and_thawed_when_there_is_room() {
    let next = go(&named("started"), &down(Depth::Freeze, pressure()));
    let said = next.news[0].message.as_deref();
    let expected = "frozen: the data disk has 4.1 % free and this machine wrote 1.0 GiB in 2.0 s";
    assert_eq!((said, next.news[0].source), (Some(expected), NewsSource::Flyd));
    let slept = Event::Slept { run: run_id(1), depth: Depth::Freeze, ram_bytes: 0 };
    let next = go(&next.machine, &slept);
    assert_eq!(next.machine.state, pressed().state);
    let next = go(&next.machine, &want(Want::Up, room()));
    let said = next.news[0].message.as_deref();
    assert_eq!(said, Some("thawed: the data disk has 8.0 % free again"));
    assert!(!next.machine.state.is_pressed());
    let next = go(&next.machine, &Event::Woke { run: run_id(1) });
    assert_eq!(next.machine.state, named("started").state);
}

#[test]
fn a_frozen_writer_that_is_wanted_asleep_is_not_thawed_by_room() {
    let next = go(&pressed(), &down(Depth::Freeze, api()));
    assert_eq!(next.machine.state, named("frozen").state);
    assert_eq!(kinds(&next), [(NewsKind::Suspend, "suspended")]);
    assert!(next.effects.is_empty());
}

#[test]
fn a_sleep_of_which_no_cause_was_kept_can_be_read() {
    let mut text = serde_json::to_value(pressed()).expect("JSON");
    text["state"].as_object_mut().expect("an object").remove("cause");
    let old: Machine = serde_json::from_value(text).expect("a machine");
    assert!(!old.state.is_pressed());
}

#[test]
fn a_second_start_launches_nothing() {
    let next = go(&named("starting"), &want(Want::Up, Cause::knock()));
    assert_eq!((launches(&next), next.machine.revision), (0, 7));
}

#[test]
fn a_stop_from_outside_never_restarts_and_says_so() {
    let next = go(&named("stopping"), &exited(1, 1, RestartMode::Always));
    assert_eq!(next.machine.state.api_name(), "stopped");
    let exit = next.news[0].exit.as_ref().unwrap();
    assert!(exit.exit.requested_stop && !exit.restarting);
}

#[test]
fn a_crash_backs_off_and_starts_again() {
    let next = go(&named("started"), &exited(1, 1, RestartMode::OnFailure));
    let Some(ExitNews { restarting: true, restart_count: 1, .. }) = next.news[0].exit else {
        panic!("{:?}", next.news);
    };
    assert_eq!(next.machine.state.api_name(), "restarting");
    let at = NOW.plus(DurationMs(1_000));
    assert!(next.effects.contains(&Effect::Arm { kind: TimerKind::Backoff, at }));
    let next = step(&next.machine, &fired(TimerKind::Backoff), at).unwrap();
    assert_eq!(launches(&next), 1);
    assert_eq!(next.machine.restarts.total, 1);
    assert_eq!(kinds(&next), [(NewsKind::Restart, "starting")]);
}

#[test]
fn a_start_by_anybody_else_forgets_the_restarts() {
    let next = go(&named("started"), &exited(1, 1, RestartMode::OnFailure));
    let next = go(&next.machine, &want(Want::Up, api()));
    assert_eq!(next.machine.restarts, RestartLog::default());
}

#[test]
fn a_held_down_machine_is_not_restarted() {
    let hold = HoldDown { reason: "repair".to_owned(), until: None };
    let held = go(&named("started"), &Event::HoldDown { hold: Some(hold.clone()) }).machine;
    let next = go(&held, &exited(1, 1, RestartMode::Always));
    assert_eq!(next.machine.state.api_name(), "stopped");
    let next = go(&named("backoff"), &Event::HoldDown { hold: Some(hold) });
    assert_eq!(next.machine.state.api_name(), "stopped");
}

#[test]
fn a_hold_down_turns_a_wake_to_come_into_an_owed_one() {
    let next = go(&named("stopping"), &want(Want::Up, Cause::Message));
    let hold = Some(HoldDown { reason: "repair".to_owned(), until: None });
    let next = go(&next.machine, &Event::HoldDown { hold });
    assert_eq!(next.machine.owed.unwrap().cause, Cause::Message);
}

#[test]
fn a_program_may_end_before_its_start_is_heard_of() {
    let next = go(&named("starting"), &exited(1, 0, RestartMode::OnFailure));
    assert_eq!(kinds(&next), [(NewsKind::Start, "started"), (NewsKind::Exit, "stopped")]);
    let late = step(&next.machine, &Event::RunStarted { run: run_id(1), at: NOW }, NOW);
    assert_eq!(late, Err(Refused::StaleRun));
}

#[test]
fn a_passing_failure_to_start_is_retried_and_a_lasting_one_is_not() {
    let failed = |is_transient| Event::RunFailed {
        run: run_id(1),
        code: "disk_busy".to_owned(),
        message: "the disk is in use".to_owned(),
        is_transient,
        seed: seed(9),
    };
    assert_eq!(go(&named("starting"), &failed(true)).machine.state.api_name(), "restarting");
    assert_eq!(go(&named("starting"), &failed(false)).machine.state.api_name(), "failed");
}

#[test]
fn an_ended_machine_with_auto_destroy_is_removed() {
    let Event::RunExited { run, exit, policy, seed, .. } = exited(1, 0, RestartMode::No) else {
        unreachable!("the fixture is an exit");
    };
    let exited = Event::RunExited { run, exit, policy, auto_destroy: true, seed };
    let next = go(&named("started"), &exited);
    assert_eq!(next.machine.state.api_name(), "destroying");
    assert!(next.effects.contains(&Effect::Remove));
}

#[test]
fn a_reboot_brings_back_what_was_up_and_leaves_what_was_down() {
    let reboot = |mode| reboot(RestartPolicy { mode, max_retries: 0 }, false);
    let after = |name, mode| go(&named(name), &reboot(mode)).machine;
    assert_eq!(after("started", RestartMode::OnFailure).state.api_name(), "restarting");
    assert_eq!(after("started", RestartMode::OnFailure).restarts.total, 0);
    assert_eq!(after("started", RestartMode::No).state.api_name(), "stopped");
    assert_eq!(after("stopping", RestartMode::Always).state.api_name(), "stopped");
    assert_eq!(after("stopped", RestartMode::Always), named("stopped"));
    let suspended = after("suspended", RestartMode::Always);
    assert_eq!(suspended.state.api_name(), "suspended");
    assert_eq!(go(&suspended, &reboot(RestartMode::Always)).machine, suspended);
}

#[test]
fn a_reboot_that_ends_a_machine_for_good_removes_it_with_auto_destroy() {
    let reboot = |mode| reboot(RestartPolicy { mode, max_retries: 0 }, true);
    for (name, mode) in [("started", RestartMode::No), ("stopping", RestartMode::Always)] {
        let next = go(&named(name), &reboot(mode));
        assert_eq!(next.machine.state, State::Destroying { since: NOW, run: None }, "{name}");
        assert!(next.effects.contains(&Effect::Remove), "{name}");
    }
    let back = go(&named("started"), &reboot(RestartMode::OnFailure)).machine;
    assert_eq!(back.state.api_name(), "restarting");
}

#[test]
fn a_second_stop_hurries_the_first() {
    let order = StopOrder { signal: 9, timeout: DurationMs(0) };
    let kill =
        Event::Want { want: Want::Down(Depth::Stop), cause: api(), seed: seed(9), stop: order };
    let next = go(&named("stopping"), &kill);
    assert_eq!(next.effects[0], Effect::Stop { run: run_id(1), order });
    let next = go(&named("stopping"), &down(Depth::Stop, api()));
    assert_eq!(next.machine, named("stopping"));
}

#[test]
fn a_guest_may_veto_a_rest_three_times() {
    let rest = Rest { depth: Depth::Freeze, cause: Cause::idle(), order: ORDER };
    let told = |vetoes| go(&named("started"), &Event::Notice { rest: rest.clone(), vetoes });
    let next = told(0);
    let deadline = NOW.plus(REST_NOTICE);
    assert_eq!(next.effects[0], Effect::NotifyRest { run: run_id(1), deadline });
    assert_eq!(go(&next.machine, &Event::Vetoed).machine.state, named("started").state);
    let next = told(3);
    assert_eq!(go(&next.machine, &Event::Vetoed).machine, next.machine);
    let next = step(&next.machine, &fired(TimerKind::Rest), deadline).unwrap();
    assert_eq!(next.effects[0], Effect::Sleep { run: run_id(1), depth: Depth::Freeze });
}

#[test]
fn an_owed_wake_is_brought_to_the_gates_until_it_is_done() {
    let not_before = NOW.plus(DurationMs(500));
    let owe = Event::Owe { cause: Cause::Message, not_before };
    let next = go(&named("stopped"), &owe);
    assert_eq!(next.effects, [Effect::Arm { kind: TimerKind::Owed, at: not_before }]);
    let tried = step(&next.machine, &fired(TimerKind::Owed), not_before).unwrap();
    assert_eq!(tried.effects[0], Effect::WakeOwed { cause: Cause::Message });
    assert_eq!(timers(&tried.machine), [(TimerKind::Owed, not_before.plus(OWED_RECHECK))]);
    let up = go(&tried.machine, &want(Want::Up, Cause::Message));
    assert_eq!(up.machine.owed, None);
    assert!(up.effects.contains(&Effect::Disarm(TimerKind::Owed)));
}

#[test]
fn what_nobody_wants_any_more_is_not_owed() {
    let owe = Event::Owe { cause: Cause::Message, not_before: NOW.plus(OWED_RECHECK) };
    let owing = go(&named("stopped"), &owe).machine;
    let next = go(&owing, &Event::Forgive);
    assert_eq!(next.machine.owed, None);
    assert_eq!(next.effects, [Effect::Disarm(TimerKind::Owed)]);
    assert!(next.news.is_empty());
    assert_eq!(go(&next.machine, &Event::Forgive).machine, next.machine, "twice is once");
}

#[test]
fn a_wake_that_was_admitted_is_not_taken_back_with_its_cause() {
    for state in ["starting", "started", "stopping", "backoff"] {
        let machine = named(state);
        assert_eq!(go(&machine, &Event::Forgive).machine, machine, "{state}");
    }
}

#[test]
fn a_stop_by_a_person_mutes_an_owed_wake() {
    let owe = Event::Owe { cause: Cause::Message, not_before: NOW };
    let owing = go(&named("stopping"), &owe).machine;
    assert!(owing.owed.is_some());
    assert_eq!(go(&owing, &down(Depth::Stop, api())).machine.owed, None);
}

#[test]
fn a_timer_of_an_earlier_state_only_arms_the_right_one() {
    let next = go(&named("starting"), &fired(TimerKind::Stuck));
    assert_eq!(next.machine, named("starting"));
    assert_eq!(next.effects, [Effect::Arm { kind: TimerKind::Stuck, at: NOW.plus(START_LIMIT) }]);
}

#[test]
fn a_plan_that_never_ends_fails_after_its_tries() {
    let mut machine = create(true, NOW).machine;
    for _ in 0..PREPARE_TRIES {
        let (kind, at) = timers(&machine)[0];
        machine = step(&machine, &fired(kind), at).unwrap().machine;
    }
    assert_eq!(machine.state.api_name(), "failed");
}

#[test]
fn a_run_that_cannot_be_killed_is_killed_again_ever_more_rarely() {
    let mut machine = named("stopping");
    let mut waits = Vec::new();
    let mut last = NOW;
    for _ in 0..12 {
        let (kind, at) = timers(&machine)[0];
        let next = step(&machine, &fired(kind), at).unwrap();
        assert!(next.effects.contains(&Effect::Kill { run: run_id(1) }));
        waits.push(at.since(last).0 / 1000);
        (machine, last) = (next.machine, at);
    }
    assert_eq!(waits, [10, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 2560, 2560]);
}

#[test]
fn a_clock_that_went_back_does_not_hold_up_a_deadline() {
    let yesterday = UnixMs(NOW.0 - 86_400_000);
    let next = step(&named("starting"), &fired(TimerKind::Stuck), yesterday).unwrap();
    assert!(next.effects.contains(&Effect::Kill { run: run_id(1) }));
}

#[test]
fn every_state_survives_the_journal() {
    for (name, state) in states() {
        let machine = machine(state);
        let text = serde_json::to_string(&machine).unwrap();
        assert_eq!(serde_json::from_str::<Machine>(&text).unwrap(), machine, "{name}");
        assert_eq!(validate(&machine), Ok(()), "{name}");
    }
}
