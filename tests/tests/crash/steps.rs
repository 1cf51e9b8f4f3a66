//! Steps of durable plans run twice, fail once, fail for ever.

use crate::scenario::{Caller, STEPS};
use serde_json::Value;
use testkit::{Builder, Instance, report};
use tests::fixture::expect_nothing_left;

/// The steps of the plans that a machine's life has, in order.
const PLAN_STEPS: [&str; 5] =
    ["create.image", "create.disk", "destroy.leftovers", "destroy.disk", "destroy.references"];

/// Steps of the scenario until the machine is created.
const N_CREATED: usize = 3;

#[track_caller]
fn check_whole_scenario(fault: &str) {
    let instance = Builder::default().env("DORMOUSE_STEP_FAULT", fault).start();
    let mut caller = Caller::new(instance.dir());
    caller.go_on(&instance).unwrap_or_else(|setback| panic!("{fault}: {setback:?}"));
    expect_nothing_left(&instance, caller.machine().expect("it was created"));
}

#[test]
fn each_step_may_run_twice() {
    check_whole_scenario("twice");
}

#[test]
fn each_step_may_fail_once() {
    for n in 1..=PLAN_STEPS.len() {
        check_whole_scenario(&format!("fail-once:{n}"));
    }
    report::line("crash", &format!("steps: {} failed once", PLAN_STEPS.len()));
}

#[test]
fn a_step_that_always_fails_ends_where_destroy_works() {
    for step in PLAN_STEPS {
        let fault = format!("fail-always:{step}");
        let mut instance = Builder::default().env("DORMOUSE_STEP_FAULT", &fault).start();
        let mut caller = Caller::new(instance.dir());
        caller.go_on_until(&instance, N_CREATED).expect("the machine is accepted");
        let id = caller.machine().expect("it was created").to_owned();
        let path = Instance::path(&id);
        if step.starts_with("create.") {
            instance.wait_for(&id, "failed");
            let shown = instance.get(&path).expect(200);
            let message = shown["failure"]["message"].as_str().unwrap_or_default();
            assert!(message.contains(step), "{shown}");
            // It may also be tried again, to no better end.
            let refusal = instance.post(&format!("{path}/start"), &Value::Null);
            assert!(refusal.status >= 400, "{}", refusal.text);
            drop(instance.delete(&format!("{path}?force=true")).expect(200));
        } else {
            caller.go_on_until(&instance, STEPS.len() - 1).expect("only the end fails");
            drop(instance.delete(&format!("{path}?force=true")).expect(200));
            drop(instance.get(&format!("{path}/wait?state=destroyed&timeout=3")).refusal(408));
            assert_eq!(instance.state(&id), "destroying", "{step}");
            // The cause has gone, control starts again: it is removed without another order.
            instance.start_again();
        }
        instance.wait_for(&id, "destroyed");
        expect_nothing_left(&instance, &id);
    }
    report::line("crash", &format!("steps: {} failed for ever", PLAN_STEPS.len()));
}

#[test]
fn a_failed_preparation_is_remembered_over_a_death_of_control() {
    let mut instance = Builder::default()
        .unsupervised()
        .env("DORMOUSE_STEP_FAULT", "fail-always:create.disk")
        .env("DORMOUSE_FAILPOINT", "plan.failed#1")
        .start();
    let mut caller = Caller::new(instance.dir());
    caller.go_on_until(&instance, N_CREATED).expect("the machine is accepted");
    assert_eq!(instance.wait_for_its_end(), None);
    instance.start_again();
    let id = caller.machine().expect("it was created");
    instance.wait_for(id, "failed");
    drop(instance.delete(&Instance::path(id)).expect(200));
    instance.wait_for(id, "destroyed");
    expect_nothing_left(&instance, id);
}
