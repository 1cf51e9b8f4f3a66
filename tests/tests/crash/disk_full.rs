//! The disk is full from the n-th write on: a clear error, a store that opens, a retry that works.

use crate::scenario::{Caller, STEPS, Setback};
use testkit::{Builder, Reply, report};
use tests::fixture::expect_nothing_left;

/// Writes that the scenario cannot have: the loop must end before.
const WRITES_MAX: usize = 200;

#[test]
fn a_full_disk_at_any_write_is_told_and_nothing_is_lost() {
    for n in 1..WRITES_MAX {
        if fill_at(n) {
            report::line("crash", &format!("disk-full: {} writes tried", n - 1));
            return;
        }
    }
    panic!("the scenario makes more than {WRITES_MAX} writes");
}

/// Lets the disk be full from the `n`th write on; whether the scenario ends before that.
fn fill_at(n: usize) -> bool {
    let mut instance =
        Builder::default().unsupervised().env("DORMOUSE_DISK_FULL", &n.to_string()).spawn();
    let mut caller = Caller::new(instance.dir());
    if instance.listens_or_ends() {
        caller.set_patience_s(2);
        match caller.go_on(&instance) {
            Ok(()) => return true,
            Err(Setback::Lost) => panic!("write {n}: control died at {:?}", caller.next_step()),
            Err(Setback::Refused(reply)) => {
                check_words(n, &caller, &reply);
                caller.check_sleep(&instance);
            }
        }
    } else {
        assert_eq!(instance.wait_for_its_end(), Some(1), "write {n}");
    }
    // There is room again.
    instance.start_again();
    caller.set_patience_s(60);
    if caller.next_step().is_some() {
        if let Some(machine) = caller.machine() {
            instance.wait_for(machine, "settled");
        }
        finish(&mut caller, &instance, n);
    }
    if let Some(machine) = caller.machine() {
        expect_nothing_left(&instance, machine);
    }
    false
}

/// What the caller is told: the disk is full, or (the write was not the caller's own) the state in
/// which the machine stays.
#[track_caller]
fn check_words(n: usize, caller: &Caller, reply: &Reply) {
    let step = caller.next_step();
    let code = reply.body["code"].as_str().unwrap_or_default();
    let is_clear = match reply.status {
        507 => code == "disk_full",
        408 => code == "wait_timeout",
        412 | 503 => reply.text.contains("No space left") || reply.text.contains("no space left"),
        _ => false,
    };
    assert!(is_clear, "write {n}, {step:?}: {} {}", reply.status, reply.text);
    assert!(reply.body["hint"].as_str().is_some_and(|hint| !hint.is_empty()), "{}", reply.text);
}

#[track_caller]
fn finish(caller: &mut Caller, instance: &testkit::Instance, n: usize) {
    let last = STEPS.len();
    caller.go_on_until(instance, last).unwrap_or_else(|setback| {
        panic!("write {n}, {:?}: cannot be finished: {setback:?}", caller.next_step())
    });
}
