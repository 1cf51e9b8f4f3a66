//! A start of control looks at machines that can act by themselves, and at no other. Whoever begins to
//! be one is looked at, wherever control died.

use crate::desk::{Governed, sleeper};
use serde_json::{Value, json};
use testkit::Instance;

/// Control dies as often as this, at once after an answer.
const ROUNDS: u64 = 3;

#[test]
fn a_wake_that_is_answered_is_made_whenever_control_dies() {
    let instance = Instance::start();
    let [woken, plain] = [(); 2].map(|()| sleeper(&instance, &Value::Null, &json!({})));
    for machine in [&woken, &plain] {
        // Reports of the platform alone: from what they leave nothing follows.
        start_and_stop(machine);
    }
    for round in 1..=ROUNDS {
        // It has only just gone to rest, so the wake is owed for a while.
        let seq = woken.post(&json!({"body": "up!", "wake": true}));
        instance.kill_control();
        woken.wait_for("started");
        drop(woken.ask("POST", "/inbox/ack", &json!({"seqs": [seq]})).expect(200));
        instance.stop_machine(&woken.id);
        // Nothing of it is left: this start passes over it too.
        instance.kill_control();
        assert_eq!((woken.state(), plain.state()), ("stopped".to_owned(), "stopped".to_owned()));
        assert_eq!(woken.governed_wakes(), round);
    }
    woken.check_trace();
    assert_eq!(plain.governed_wakes(), 0);
}

fn start_and_stop(machine: &Governed<'_>) {
    machine.instance.start_machine(&machine.id);
    machine.instance.stop_machine(&machine.id);
}
