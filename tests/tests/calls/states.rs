//! Machines in each state of the table.

use serde_json::{Value, json};
use std::path::PathBuf;
use testkit::{Instance, eventually, http};
use tests::fixture;

/// What runs them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The fake engine, whose knobs hold a machine in every state.
    Fake,
    /// Real machines, in states that they stay in by themselves.
    Container,
}

/// For so long a knob holds a machine in a passing state: the calls of a test on a busy host fit in.
const HELD_MS: &str = "4000";

/// The row of machines that have been told of a rest.
pub(crate) const RESTING: &str = "resting";

/// Obeys no signal that can be caught, but tells that it runs.
const STUBBORN: &str = "trap '' INT TERM; while :; do sleep 0.05; done";

/// A configuration with labels. A stop that is not obeyed is over after four seconds.
pub(crate) fn config(kind: Kind, labels: &Value) -> Value {
    let stop = json!({"timeout": "4s"});
    match kind {
        Kind::Fake => json!({
            "image": "none", "engine": "fake", "metadata": labels, "stop_config": stop,
        }),
        Kind::Container => {
            fixture::config(STUBBORN, &json!({"metadata": labels, "stop_config": stop}))
        }
    }
}

/// A machine in a state of the table.
#[track_caller]
pub(crate) fn machine_in(instance: &Instance, kind: Kind, row: &str) -> String {
    match kind {
        Kind::Fake => fake_in(instance, row),
        Kind::Container => container_in(instance, row),
    }
}

fn container_in(instance: &Instance, row: &str) -> String {
    let labels = json!({});
    match row {
        "started" | "stopping" | "restarting" | "frozen, suspended" => {
            let id = create(instance, Kind::Container, &labels, false);
            instance.wait_for(&id, "started");
            lead(instance, &id, row);
            id
        }
        "stopped" | "destroyed" => {
            let id = create(instance, Kind::Container, &labels, true);
            instance.wait_for(&id, "stopped");
            lead(instance, &id, row);
            id
        }
        other => panic!("no container stays in `{other}`"),
    }
}

fn fake_in(instance: &Instance, row: &str) -> String {
    let stubborn = json!({"fake.ignores_stop": "true"});
    let (labels, is_down) = match row {
        "creating" => (json!({"fake.prepare_ms": HELD_MS}), false),
        "starting, waking" | "starting_to_rest" => (json!({"fake.start_ms": HELD_MS}), false),
        "started" | "frozen, suspended" => (json!({}), false),
        "stopping" | "restarting" => (stubborn, false),
        "backoff" => (json!({"fake.exit_after_ms": "1", "fake.exit_code": "1"}), false),
        "suspending" => (json!({"fake.freeze_ms": HELD_MS}), false),
        "failed" => (json!({"fake.prepare_fails": "true"}), false),
        "stopped" | "destroyed" | "updating" => (json!({}), true),
        "destroying" => (json!({"fake.remove_ms": HELD_MS}), true),
        other => panic!("docs/states.md has a state `{other}` that no test makes"),
    };
    let id = create(instance, Kind::Fake, &labels, is_down);
    let begin = match row {
        "creating" => "created",
        "starting, waking" | "starting_to_rest" => "starting",
        "backoff" => "restarting",
        "failed" => "failed",
        _ if is_down => "stopped",
        _ => "started",
    };
    eventually(&format!("{id} is {begin}"), || (instance.state(&id) == begin).then_some(()));
    lead(instance, &id, row);
    id
}

/// A container that wants to rest as soon as its minimum run is over, and prints the notice of it.
#[track_caller]
pub(crate) fn listener(instance: &Instance) -> String {
    let policy = json!({
        "facts": {"tired": {"type": "bool", "default": true}},
        "rules": [{"id": "tired", "effect": "rest", "mode": "freeze", "when": "memory.tired"}],
    });
    let script = "dm wait-notice --wait 90s; while :; do sleep 0.05; done";
    fixture::started(instance, script, &json!({"policy": policy}))
}

/// Leads a machine that is up, or down, on to the state.
fn lead(instance: &Instance, id: &str, row: &str) {
    let path = Instance::path(id);
    let post = |verb: &str| drop(instance.post(&format!("{path}{verb}"), &Value::Null).expect(200));
    match row {
        "starting_to_rest" | "stopping" => post("/stop"),
        "suspending" => post("/suspend"),
        "frozen, suspended" => {
            post("/suspend");
            instance.wait_for(id, "suspended");
        }
        "restarting" => {
            beside(instance, format!("{path}/restart"));
            eventually("it is restarting", || (instance.state(id) == "restarting").then_some(()));
        }
        // Its second wait is two seconds long.
        "backoff" => eventually("it has ended twice", || {
            let mut exits = fixture::events(instance, id).into_iter();
            exits.any(|event| event["request"]["restart_count"] == 2).then_some(())
        }),
        "updating" => {
            let slow = config(Kind::Fake, &json!({"fake.prepare_ms": HELD_MS}));
            drop(instance.post(&path, &json!({"config": slow, "skip_launch": false})).expect(200));
        }
        // What made it fail is over.
        "failed" => {
            let gone = instance.delete(&format!("{path}/metadata/fake.prepare_fails"));
            assert_eq!(gone.status, 204, "{}", gone.text);
        }
        "destroying" => drop(instance.delete(&path).expect(200)),
        "destroyed" => {
            drop(instance.delete(&path).expect(200));
            instance.wait_for(id, "destroyed");
        }
        _ => {}
    }
}

fn create(instance: &Instance, kind: Kind, labels: &Value, skip_launch: bool) -> String {
    instance.create_with(&json!({"config": config(kind, labels), "skip_launch": skip_launch}))
}

/// Makes a call that is answered late, and does not wait for the answer.
fn beside(instance: &Instance, target: String) {
    let endpoint = instance.endpoint().expect("it listens");
    let unix = PathBuf::from(endpoint["unix"].as_str().expect("a path"));
    drop(std::thread::spawn(move || http::request(&unix, "POST", &target, &[], b"").ok()));
}
