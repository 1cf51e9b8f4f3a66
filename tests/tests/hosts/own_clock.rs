//! The wall clock is set, by the kernel's own means.
//!
//! A host's clock is nobody's to set, and time namespaces have none of their own: so it is tried where
//! the whole host is a guest.

use rustix::time::{ClockId, Timespec, clock_gettime, clock_settime};
use serde_json::json;
use testkit::Instance;

/// How far the clock is set forward, in seconds.
const JUMP_S: i64 = 2 * 3600;

/// Whether this is a guest of these tests: the word on its command line says so.
fn is_guest() -> bool {
    let words = std::fs::read_to_string("/proc/cmdline").expect("every kernel has one");
    words.split_ascii_whitespace().any(|word| matches!(word, "host=v1" | "host=v2"))
}

/// Until then nobody looks at the clock for an hour: that it was set, only the kernel can have told.
#[test]
fn an_alarm_that_a_set_clock_has_passed_fires_at_once() {
    if !is_guest() {
        println!("not here, where others need the clock: `kinds` runs it in guests");
        return;
    }
    let instance = Instance::start();
    let config = json!({"image": "fake", "engine": "fake", "restart": {"policy": "no"}});
    let id =
        instance.create_with(&json!({"name": "sleeper", "config": config, "skip_launch": true}));
    instance.wait_for(&id, "stopped");
    let alarm = format!("{}/self/alarms/hourly", Instance::path(&id));
    drop(instance.request("PUT", &alarm, &json!({"every": "1h"})).expect(200));

    let now = clock_gettime(ClockId::Realtime);
    let then = Timespec { tv_sec: now.tv_sec + JUMP_S, ..now };
    clock_settime(ClockId::Realtime, then).expect("root of a guest may");
    instance.wait_for(&id, "started");
    let wake = instance.get(&format!("{}/self/wake", Instance::path(&id))).expect(200);
    assert_eq!(wake["wake"]["cause"], "alarm", "{wake}");
}
