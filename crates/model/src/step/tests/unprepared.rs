//! A plan that failed is taken up again by what would launch the machine.

use super::*;
use crate::state::Preparation;

fn prepare_failed() -> Event {
    Event::PrepareFailed { code: "disk_full".to_owned(), message: "no space left".to_owned() }
}

/// What became of a machine whose plan failed.
fn failed_in(name: &str) -> Machine {
    let next = go(&named(name), &prepare_failed());
    assert_eq!(next.machine.state.api_name(), "failed");
    next.machine
}

#[test]
fn a_start_takes_a_failed_create_up_again_and_then_launches() {
    let next = go(&failed_in("creating"), &want(Want::Up, api()));
    assert_eq!(next.effects[0], Effect::Prepare);
    assert_eq!(next.machine.state, State::Creating { since: NOW, launch: true });
    assert_eq!(kinds(&next), [(NewsKind::Start, "created")]);
    let next = go(&next.machine, &Event::Prepared { seed: seed(1) });
    assert_eq!((launches(&next), next.machine.unprepared), (1, None));
}

#[test]
fn a_restart_takes_a_failed_update_up_again() {
    let restart = Event::Restart { cause: api(), seed: seed(9), stop: ORDER };
    let next = go(&failed_in("updating"), &restart);
    assert_eq!(next.effects[0], Effect::Prepare);
    assert_eq!(next.machine.state.api_name(), "replacing");
    assert!(next.machine.state.leads_up());
}

#[test]
fn a_stop_forgets_the_failure_but_not_that_nothing_is_prepared() {
    let stopped = go(&failed_in("creating_only"), &down(Depth::Stop, api())).machine;
    assert_eq!(stopped.state.api_name(), "stopped");
    let next = go(&stopped, &want(Want::Up, Cause::Message));
    assert_eq!((launches(&next), next.machine.state.api_name()), (0, "created"));
}

#[test]
fn a_plan_that_fails_again_may_be_tried_again() {
    let mut machine = failed_in("creating");
    for _ in 0..3 {
        machine = go(&machine, &want(Want::Up, api())).machine;
        assert_eq!(machine.unprepared, Some(Preparation::Create));
        machine = go(&machine, &prepare_failed()).machine;
    }
    assert_eq!(machine.state.api_name(), "failed");
}

#[test]
fn an_update_of_what_was_never_prepared_prepares_it() {
    let update = Event::Update { launch: false, stop: ORDER };
    let updating = go(&failed_in("creating"), &update).machine;
    let prepared = go(&updating, &Event::Prepared { seed: seed(1) }).machine;
    assert_eq!((prepared.state.api_name(), prepared.unprepared), ("stopped", None));
}

#[test]
fn a_plan_that_was_given_up_for_its_time_is_taken_up_again_too() {
    let mut machine = create(true, NOW).machine;
    for _ in 0..PREPARE_TRIES {
        let (kind, at) = timers(&machine)[0];
        machine = step(&machine, &fired(kind), at).unwrap().machine;
    }
    let next = go(&machine, &want(Want::Up, api()));
    assert_eq!((launches(&next), next.effects[0].clone()), (0, Effect::Prepare));
}
