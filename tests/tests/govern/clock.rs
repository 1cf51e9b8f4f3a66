//! The wall clock is set, both ways, under a daemon that runs.
//!
//! The host's clock is nobody's to set: the daemon is told to add a number to it (`model::clock`), and that the
//! number has changed, as the kernel tells that the clock was set.

use crate::desk::{Governed, sleeper};
use model::{DurationMs, UnixMs};
use serde_json::{Value, json};
use std::fs;
use std::time::Duration;
use tempfile::TempDir;
use testkit::{Builder, Instance, eventually};
use tests::fixture::let_pass;

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

/// A clock of the test's own.
struct Clock(TempDir);

impl Clock {
    fn new() -> Self {
        let clock = Self(TempDir::new().expect("a directory"));
        clock.set(0);
        clock
    }

    /// Sets the clock to so many milliseconds from the host's.
    fn set(&self, shift: i64) {
        let (next, file) = (self.0.path().join("next"), self.0.path().join("shift"));
        fs::write(&next, shift.to_string()).expect("a file can be written");
        fs::rename(next, file).expect("a file can be renamed");
    }

    fn instance(&self) -> Instance {
        let file = self.0.path().join("shift");
        Builder::default().env("DORMOUSE_CLOCK", file.to_str().expect("a plain path")).start()
    }
}

/// An alarm so far from what the host's clock says now.
fn at(ms: i64) -> Value {
    let moment = model::clock::now().0.saturating_add_signed(ms) / 1000;
    let output = std::process::Command::new("date")
        .args(["-u", "-d", &format!("@{moment}"), "+%Y-%m-%dT%H:%M:%SZ"])
        .output();
    let text = String::from_utf8(output.expect("`date` can be run").stdout).expect("text");
    json!({"at": text.trim()})
}

fn set_alarm(machine: &Governed<'_>, name: &str, alarm: &Value) {
    drop(machine.ask("PUT", &format!("/alarms/{name}"), alarm).expect(200));
}

/// Waits until the alarm has fired more often than `n` times.
#[track_caller]
fn wait_for_firing(machine: &Governed<'_>, name: &str, n: usize) {
    let line = format!("alarm `{name}` fired");
    eventually("it fires", || (machine.traced(&line) > n).then_some(()));
}

/// Nothing wakes it: a rule reads the alarm, and is not true.
fn quiet() -> Value {
    json!({"facts": {"go": {"type": "bool", "default": false}},
        "rules": [{"id": "never", "effect": "wake", "when": "due.tick && memory.go"}]})
}

#[test]
fn a_moment_that_is_leapt_over_comes_once_and_never_again() {
    let clock = Clock::new();
    let instance = clock.instance();
    let machine = sleeper(&instance, &json!({}), &json!({}));
    set_alarm(&machine, "tea", &at(HOUR));
    machine.explains("alarm `tea`");
    clock.set(3 * HOUR);
    machine.wait_for("started");
    assert_eq!(machine.traced("alarm `tea` fired"), 1);
    instance.stop_machine(&machine.id);

    // Its moment lies ahead again, and is passed again.
    clock.set(0);
    machine.know(&json!({"scratch.seen": 1}));
    clock.set(3 * HOUR);
    let_pass(Duration::from_secs(7));
    assert_eq!(machine.state(), "stopped");
    assert_eq!(machine.traced("alarm `tea` fired"), 1);
    assert_eq!(machine.traced("woken"), 1);
    machine.check_trace();
}

#[test]
fn an_alarm_that_has_fired_does_not_fire_again_when_its_moment_lies_ahead_again() {
    let clock = Clock::new();
    let instance = clock.instance();
    let machine = sleeper(&instance, &quiet(), &json!({}));
    set_alarm(&machine, "tick", &at(2_000));
    wait_for_firing(&machine, "tick", 0);
    // Still due, because nobody has acknowledged it.
    for shift in [-2 * HOUR, 0, -DAY, HOUR, 0] {
        clock.set(shift);
        machine.know(&json!({"scratch.shift": shift}));
    }
    let_pass(Duration::from_secs(3));
    assert_eq!(machine.traced("alarm `tick` fired"), 1);
    machine.check_trace();
}

#[test]
fn an_alarm_that_repeats_goes_on_wherever_the_clock_is_set() {
    let clock = Clock::new();
    let instance = clock.instance();
    let machine = sleeper(&instance, &quiet(), &json!({}));
    set_alarm(&machine, "tick", &json!({"every": "2s"}));
    wait_for_firing(&machine, "tick", 0);
    for shift in [DAY, DAY - 40 * 60_000, 0, -30 * DAY, HOUR, 0] {
        clock.set(shift);
        let n = machine.traced("alarm `tick` fired");
        drop(machine.ask("POST", "/alarms/tick/ack", &Value::Null));
        wait_for_firing(&machine, "tick", n);
        wait_for_firing(&machine, "tick", n + 1);
    }
    assert_eq!(machine.state(), "stopped");
    machine.check_trace();
}

#[test]
fn no_hold_becomes_immortal() {
    let clock = Clock::new();
    let instance = clock.instance();
    let machine = sleeper(&instance, &json!({}), &json!({}));
    let hold = json!({"ttl": "1h", "reason": "an upload"});
    drop(machine.ask("PUT", "/holds/upload", &hold).expect(200));
    clock.set(-30 * DAY);
    let limit = || {
        let now = UnixMs(model::clock::now().0.saturating_add_signed(-30 * DAY));
        now.plus(DurationMs::from_secs(3_600)).0
    };
    let ends = || machine.get("/holds")["holds"]["upload"]["expires_at"].clone();
    eventually("it ends within the hour", || {
        let ends = ends();
        let ends = ends.as_u64().or_else(|| moment(&ends)).expect("a moment");
        (ends <= limit() + 1_000).then_some(())
    });
    clock.set(-30 * DAY + 2 * HOUR);
    eventually("it has ended", || (machine.traced("hold `upload` ended") == 1).then_some(()));
    machine.check_trace();
}

/// Unix milliseconds of a text.
fn moment(text: &Value) -> Option<u64> {
    let output =
        std::process::Command::new("date").args(["-u", "-d", text.as_str()?, "+%s"]).output();
    let text = String::from_utf8(output.ok()?.stdout).ok()?;
    text.trim().parse::<u64>().ok().map(|s| s * 1_000)
}

/// A machine that waits for a message or a moment is woken by neither jump, and by the moment once it has come.
#[test]
fn a_condition_over_time_is_met_by_the_clock_as_it_stands() {
    let clock = Clock::new();
    let instance = clock.instance();
    let policy =
        json!({"rules": [{"id": "old", "effect": "wake", "when": "inbox.oldest_s > 3600"}]});
    let machine = sleeper(&instance, &policy, &json!({}));
    machine.post(&json!({"body": "when you have time"}));
    clock.set(-DAY);
    machine.know(&json!({"scratch.n": 1}));
    assert_eq!(machine.state(), "stopped");
    clock.set(HOUR / 2);
    machine.know(&json!({"scratch.n": 2}));
    assert_eq!(machine.state(), "stopped");
    clock.set(HOUR + 60_000);
    machine.wait_for("started");
    machine.explains("rule `old`");
    machine.check_trace();
}
