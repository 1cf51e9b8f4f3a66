//! What comes from inside a machine is bounded, and hurts nobody else.

use crate::desk::{running, sleeper};
use serde_json::json;
use tests::fixture::with_busybox;

/// Writes of the flood: several times what a machine may do at once.
const FLOOD: usize = 2000;

/// Writes to another machine that find their way meanwhile: far fewer than do, and far more than if each
/// waited for the flood.
const MEANWHILE: usize = 10;

#[test]
fn a_guest_that_floods_its_memory_is_refused_and_nobody_else_notices() {
    let instance = with_busybox();
    let other = sleeper(&instance, &json!({}), &json!({}));
    let flooder = running(&instance, "flooder", &json!({}), "exec sleep 1000");
    let script = format!(
        "seq {FLOOD} | xargs -P 16 -I@ dm set scratch.n=@ 2>&1 >/dev/null | grep -c '^dm: '"
    );
    let mut n_meanwhile = 0;
    let said = std::thread::scope(|scope| {
        let flood = scope.spawn(|| flooder.sh(&script));
        while !flood.is_finished() {
            other.know(&json!({"scratch.m": 1}));
            n_meanwhile += 1;
        }
        flood.join().expect("the flood ends")
    });
    assert!(n_meanwhile > MEANWHILE, "{n_meanwhile} writes to another machine in the whole flood");
    let n_refused: usize =
        said.lines().next().and_then(|line| line.parse().ok()).expect("a number");
    assert!(n_refused > 0, "none of {FLOOD} writes was refused: {said}");
    let trace = flooder.trace();
    let n_traced = trace.iter().filter(|entry| entry["refused"] == "self_rate").count();
    assert!(n_traced <= 120, "{n_traced} refusals are in the trace");
    flooder.check_trace();
}

#[test]
fn a_guest_has_the_rights_of_its_column_and_no_more() {
    let instance = with_busybox();
    let policy =
        json!({"facts": {"theirs": {"type": "int", "writers": ["owner"]}}, "amend": ["alarms"]});
    let machine = running(&instance, "guest", &policy, "exec sleep 1000");
    let status = |line: &str| {
        let outcome = instance.exec(&machine.id, &["/bin/sh", "-c", line]);
        outcome["exit_code"].as_u64().expect("a code")
    };
    for allowed in [
        "dm set scratch.x=1",
        "dm phase busy",
        "dm done",
        "dm hold h --for 5s",
        "dm release h",
        "dm alarm a --every 1h",
        "dm unalarm a",
        "dm beat",
        "dm why",
        "dm policy",
        "dm post --self x",
        "dm inbox",
    ] {
        assert_eq!(status(allowed), 0, "{allowed}");
    }
    for refused in ["dm set theirs=1", "dm set undeclared=1", "dm hold h --for 2h", "dm ack 99"] {
        assert_eq!(status(refused), 1, "{refused}");
    }
    machine.check_trace();
}
