//! Rests by rule: 30 s after a start at the earliest, behind holds, announced to those who listen.

use crate::desk::{awake, running};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use testkit::Instance;
use tests::fixture::{let_pass, with_busybox};

/// From here on a rule may put a machine to rest that was started before. Source: `model::admit::MIN_RUN`.
const MIN_RUN: Duration = Duration::from_secs(30);

fn tired() -> Value {
    json!({
        "facts": {"tired": {"type": "bool", "default": false}, "busy": {"type": "bool", "default": false}},
        "rules": [
            {"id": "tired", "effect": "rest", "mode": "freeze", "when": "memory.tired"},
            {"id": "busy", "effect": "hold", "when": "memory.busy"},
        ]
    })
}

/// Several machines wait for the same 30 s: one with nothing in its way, one with a hold that nobody renews,
/// one whose rule keeps it, one that its owner denies a rest.
#[test]
fn a_rest_waits_for_the_minimum_run_and_for_holds() {
    let instance = Instance::start();
    let began = Instant::now();
    let [plain, held, kept, renewed] = [(); 4].map(|()| awake(&instance, &tired()));
    let hold = |machine: &crate::desk::Governed<'_>, ttl: &str| {
        let body = json!({"ttl": ttl, "reason": "an upload"});
        drop(machine.ask("PUT", "/holds/upload", &body).expect(200));
    };
    hold(&held, "36s");
    hold(&renewed, "36s");
    kept.know(&json!({"busy": true}));
    for machine in [&plain, &held, &kept, &renewed] {
        machine.know(&json!({"tired": true}));
    }
    plain.wait_for_decision("kept min_run");
    plain.explains("it has only just started");
    held.wait_for_decision("kept hold");
    held.explains("hold `upload`");

    plain.wait_for("suspended");
    assert!(began.elapsed() >= MIN_RUN, "it rested after {:?}", began.elapsed());
    hold(&renewed, "1h");
    assert_eq!(held.state(), "started");
    held.wait_for("suspended");
    assert_eq!(held.traced("hold `upload` ended"), 1);
    kept.explains("rule `busy`");
    assert_eq!((kept.state().as_str(), renewed.state().as_str()), ("started", "started"));
    kept.know(&json!({"busy": false}));
    kept.wait_for("suspended");
    drop(renewed.ask("DELETE", "/holds/upload", &Value::Null).expect(200));
    renewed.wait_for("suspended");
    for machine in [plain, held, kept, renewed] {
        machine.check_trace();
    }
}

/// Whoever listens is told before, may object three times, and then rests all the same.
#[test]
fn a_rest_is_announced_to_a_machine_that_listens() {
    let instance = with_busybox();
    let objects = "while notice=$(dm wait-notice --wait 90s); do echo \"$notice\"; dm hold busy --for 2s; done";
    let listener = running(&instance, "listener", &tired(), objects);
    let obeys = "notice=$(dm wait-notice --wait 90s); echo \"$notice\"; dm set scratch.saved=true; exec sleep 1000";
    let obedient = running(&instance, "obedient", &tired(), obeys);
    listener.know(&json!({"tired": true}));
    obedient.know(&json!({"tired": true}));
    obedient.wait_for("suspended");
    assert_eq!(obedient.fact("scratch.saved"), true, "it was told in time");
    listener.wait_for("suspended");
    let notices = instance.log(&listener.id);
    let left: Vec<&str> = notices.iter().filter_map(|line| line.split('\t').nth(2)).collect();
    assert_eq!(left, ["3", "2", "1"], "{notices:?}");
    for machine in [listener, obedient] {
        machine.check_trace();
    }
}

#[test]
fn a_call_rests_it_whatever_holds_it() {
    let instance = Instance::start();
    let machine = awake(&instance, &tired());
    machine.know(&json!({"busy": true}));
    drop(machine.ask("PUT", "/holds/h", &json!({"ttl": "1h", "reason": "x"})).expect(200));
    instance.stop_machine(&machine.id);
    let_pass(Duration::from_secs(6));
    assert_eq!(machine.state(), "stopped", "a hold does not wake");
}
