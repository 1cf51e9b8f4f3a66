//! What programs print.

use serde_json::{Value, json};
use std::fs;
use testkit::{Instance, eventually};
use tests::fixture::{started, wait_for_line, with_busybox};

fn lines(instance: &Instance, id: &str) -> Vec<Value> {
    let reply = instance.get(&format!("{}/logs?tail=1000", Instance::path(id)));
    reply.text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

#[test]
fn standard_output_and_error_are_told_apart() {
    let instance = with_busybox();
    let id = started(&instance, "echo out; echo err >&2; exec sleep 1000", &json!({}));
    wait_for_line(&instance, &id, "err");
    wait_for_line(&instance, &id, "out");
    for line in lines(&instance, &id) {
        let expected = if line["text"] == "out" { "stdout" } else { "stderr" };
        assert_eq!(line["stream"], expected, "{line}");
    }
}

#[test]
fn the_log_of_a_stopped_machine_has_everything_to_its_last_word() {
    let instance = with_busybox();
    let script =
        "i=0; while [ $i -lt 500 ]; do echo line $i; i=$((i+1)); done; printf 'no line end'";
    let more = json!({"restart": {"policy": "no"}});
    let id = instance.create_with(&json!({"config": tests::fixture::config(script, &more)}));
    instance.wait_for(&id, "stopped");
    let mut expected: Vec<String> = (0..500).map(|n| format!("line {n}")).collect();
    expected.push("no line end".to_owned());
    assert_eq!(instance.log(&id), expected);
}

#[test]
fn the_log_goes_on_over_stops_and_starts() {
    let instance = with_busybox();
    let id = started(&instance, "echo hello; exec sleep 1000", &json!({}));
    wait_for_line(&instance, &id, "hello");
    instance.stop_machine(&id);
    instance.start_machine(&id);
    eventually("both runs are in the log", || {
        (instance.log(&id) == ["hello", "hello"]).then_some(())
    });
}

#[test]
fn a_follower_sees_lines_as_they_come() {
    let instance = with_busybox();
    let id = started(&instance, "echo first; exec sleep 1000", &json!({}));
    wait_for_line(&instance, &id, "first");
    let mut follower = instance.follow_log(&id, 10);
    assert_eq!(follower.next().expect("a line")["text"], "first");
    instance.stop_machine(&id);
    instance.start_machine(&id);
    // The second run's line, although the run that was followed has ended.
    assert_eq!(follower.next().expect("a line")["text"], "first");
}

#[test]
fn a_flood_is_rotated_within_its_bound_and_the_machine_goes_on() {
    let instance = with_busybox();
    let id = started(
        &instance,
        "yes 0123456789012345678901234567890123456789 | head -c 200000000; \
        touch /root/over; exec sleep 1000",
        &json!({}),
    );
    drop(instance.sh(&id, "while ! test -e /root/over; do sleep 0.1; done"));
    let dir = instance.data_dir().join("machines").join(&id);
    let size: u64 = fs::read_dir(dir)
        .expect("the machine has a directory")
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("log"))
        .map(|entry| entry.metadata().map_or(0, |file| file.len()))
        .sum();
    assert!(size < 64 << 20, "the log takes {size} bytes");
    assert_eq!(instance.sh(&id, "echo alive"), "alive\n");
}
