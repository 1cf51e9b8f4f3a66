//! Policies that would never let a machine rest are bounded.

use crate::desk::sleeper;
use serde_json::json;
use std::time::Duration;
use testkit::{Instance, within};

/// Time in which a start has failed often enough: restarts come after 1, 2, 4 … s.
const BREAKER_PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn a_machine_that_wakes_for_nothing_again_and_again_is_made_to_wait() {
    let instance = Instance::start();
    let policy = json!({"rules": [{"id": "always", "effect": "wake", "when": "true"}]});
    let machine = sleeper(&instance, &policy, &json!({"fake.exit_after_ms": "10"}));
    machine.know(&json!({"scratch.n": 1}));
    machine.wait_for_decision("owed progress");
    assert_eq!(machine.governed_wakes(), 3);
    machine.explains("came to nothing");
    machine.check_trace();
}

#[test]
fn a_machine_that_cannot_start_opens_its_circuit_breaker() {
    let instance = Instance::start();
    let machine = sleeper(&instance, &json!({}), &json!({"fake.start_fails": "true"}));
    machine.post(&json!({"body": "up!", "wake": true}));
    // The first failures are followed by restarts, with pauses of seconds between them.
    within(BREAKER_PATIENCE, "the breaker opens", || {
        (machine.decision() == "owed breaker").then_some(())
    });
    machine.explains("circuit breaker");
    let whole = machine.get("");
    assert!(whole["signals"]["wake_failures"].as_u64() >= Some(3), "{whole}");
    drop(machine.ask("DELETE", "/breaker", &serde_json::Value::Null).expect(200));
    // Counted anew: it is tried again at once, and may have failed once more.
    let whole = machine.get("");
    assert!(whole["signals"]["wake_failures"].as_u64() < Some(3), "{whole}");
    machine.check_trace();
}
