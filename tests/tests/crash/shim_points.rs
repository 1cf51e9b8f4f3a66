//! The shim dies at each of its numbered points: its machine ends with it, and can be started again.

use crate::scenario::{Caller, STEPS, Setback};
use std::collections::BTreeSet;
use std::fs;
use testkit::{Builder, leftovers, report};
use tests::fixture::destroy;

/// Steps until the machine is created.
const N_CREATED: usize = 3;

#[test]
fn a_machine_is_whole_again_after_its_shim_died_anywhere() {
    let points = points_of_a_shim();
    assert!(!points.is_empty());
    for point in &points {
        die_at(point);
    }
    report::line("crash", &format!("crash-points {} of a shim", points.len()));
}

/// The points that the shims of an undisturbed scenario pass, each as name and count.
fn points_of_a_shim() -> BTreeSet<String> {
    let logs = tempfile::tempdir().expect("a directory");
    let log = logs.path().join("failpoints");
    let path = log.to_str().expect("a plain path");
    let instance = Builder::default().env("DORMOUSE_SHIM_FAILPOINT_LOG", path).start();
    let mut caller = Caller::new(instance.dir());
    caller.go_on(&instance).expect("nothing is planted");
    let text = fs::read_to_string(&log).expect("the points are logged");
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(_, name)| format!("{name}#1"))
        .collect()
}

fn die_at(point: &str) {
    let mut instance = Builder::default().env("DORMOUSE_SHIM_FAILPOINT", point).start();
    let mut caller = Caller::new(instance.dir());
    caller.go_on_until(&instance, N_CREATED).expect("no shim is needed yet");
    caller.set_patience_s(2);
    // Every shim dies there: the scenario goes as far as it can.
    let outcome = caller.go_on_until(&instance, STEPS.len() - 1);
    if let Err(Setback::Lost) = outcome {
        panic!("{point}: control died with a shim");
    }
    let id = caller.machine().expect("it was created").to_owned();
    let tag = instance.tag();
    instance.start_again();
    instance.wait_for(&id, "settled");
    instance.start_machine(&id);
    assert_eq!(leftovers::inits_of(&tag, &id).len(), 1, "{point}");
    assert_eq!(instance.sh(&id, "echo up"), "up\n", "{point}");
    destroy(&instance, &id);
}
