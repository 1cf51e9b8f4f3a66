//! Create and start; stop and start again.

use serde_json::{Value, json};
use testkit::{Instance, leftovers};
use tests::fixture::{config, destroy, events, started, with_busybox};

#[test]
fn a_created_machine_starts_by_itself_unless_told_not_to() {
    let instance = with_busybox();
    let started = started(&instance, "exec sleep 1000", &json!({}));
    assert_eq!(instance.state(&started), "started");

    let script = config("exec sleep 1000", &json!({}));
    let waiting = instance.create_with(&json!({"config": script, "skip_launch": true}));
    instance.wait_for(&waiting, "stopped");
    assert!(events(&instance, &waiting).iter().all(|event| event["type"] != "start"));
    instance.start_machine(&waiting);
    assert_eq!(instance.sh(&waiting, "echo here"), "here\n");
    destroy(&instance, &started);
    destroy(&instance, &waiting);
}

#[test]
fn the_disk_is_as_it_was_left_over_many_stops_and_starts() {
    let instance = with_busybox();
    let id = started(&instance, "exec sleep 1000", &json!({}));
    for round in 0..10 {
        let written =
            format!("echo {round} >> /root/rounds; mkdir -p /opt/a; ln -f /bin/sh /opt/a/{round}");
        drop(instance.sh(&id, &written));
        instance.stop_machine(&id);
        instance.start_machine(&id);
    }
    assert_eq!(instance.sh(&id, "cat /root/rounds | tr '\\n' ' '"), "0 1 2 3 4 5 6 7 8 9 ");
    assert_eq!(instance.sh(&id, "ls /opt/a | wc -l").trim(), "10");
    // What lived in RAM is gone with each stop.
    assert_eq!(instance.sh(&id, "ls /dev/shm | wc -l").trim(), "0");
    destroy(&instance, &id);
}

#[test]
fn a_start_tells_the_state_before_and_what_each_part_took() {
    let instance = with_busybox();
    let id = started(&instance, "exec sleep 1000", &json!({}));
    instance.stop_machine(&id);
    let reply = instance.post(&format!("{}/start", Instance::path(&id)), &Value::Null);
    let timing = reply.header("server-timing").map(str::to_owned);
    let body = reply.expect(200);
    assert_eq!(body["previous_state"], "stopped");
    assert_eq!(body["migrated"], false);
    let timing = timing.expect("a Server-Timing");
    for part in ["admission", "net", "commit", "disk", "engine", "outcome"] {
        let us = timing.split(", ").find_map(|one| one.strip_prefix(&format!("{part};dur=")));
        let ms: f64 = us.and_then(|text| text.parse().ok()).unwrap_or(-1.0);
        assert!((0.0..10_000.0).contains(&ms), "no `{part}` in {timing}");
    }
    // A second start of a running machine is no error and starts nothing.
    let again = instance.post(&format!("{}/start", Instance::path(&id)), &Value::Null).expect(200);
    assert_eq!(again["previous_state"], "started");
    assert_eq!(instance.sh(&id, "ls /proc | grep -c '^1$'").trim(), "1");
}

#[test]
fn many_starts_at_once_make_one_run() {
    let instance = with_busybox();
    let id = started(&instance, "exec sleep 1000", &json!({}));
    let start = format!("{}/start", Instance::path(&id));
    for _ in 0..5 {
        instance.stop_machine(&id);
        std::thread::scope(|scope| {
            let starts: Vec<_> =
                (0..8).map(|_| scope.spawn(|| instance.post(&start, &Value::Null))).collect();
            let answers = starts.into_iter().map(|start| start.join().expect("an answer").status);
            let answers: Vec<u16> = answers.collect();
            // Whoever comes while the first is under way is told so.
            assert!(answers.iter().all(|status| matches!(status, 200 | 409)), "{answers:?}");
            assert!(answers.contains(&200), "{answers:?}");
        });
        assert_eq!(leftovers::inits_of(&instance.tag(), &id).len(), 1);
        assert_eq!(leftovers::shims_of(&instance.tag()).len(), 1);
        assert_eq!(instance.sh(&id, "echo up"), "up\n");
    }
    destroy(&instance, &id);
}

#[test]
fn a_restart_is_a_stop_and_a_start() {
    let instance = with_busybox();
    let id = started(
        &instance,
        "trap 'echo told; exit 3' INT; while :; do sleep 0.05; done",
        &json!({}),
    );
    drop(instance.sh(&id, "echo kept > /root/kept"));
    let path = Instance::path(&id);
    drop(instance.post(&format!("{path}/restart?timeout=10"), &Value::Null).expect(200));
    assert_eq!(instance.state(&id), "started");
    assert_eq!(instance.sh(&id, "cat /root/kept"), "kept\n");
    assert_eq!(instance.log(&id), ["told"]);
    let exit = tests::fixture::last_exit(&instance, &id);
    assert_eq!(exit["exit_event"]["exit_code"], 3);
    assert_eq!(exit["exit_event"]["requested_stop"], true);
    assert_eq!(exit["exit_event"]["restarting"], true);
}

#[test]
fn a_hundred_rounds_leave_no_more_than_one() {
    let instance = with_busybox();
    let id = started(&instance, "exec sleep 1000", &json!({}));
    let round = || {
        instance.stop_machine(&id);
        instance.start_machine(&id);
    };
    round();
    let before = files_of(&instance, &id);
    (0..100).for_each(|_| round());
    assert_eq!(files_of(&instance, &id), before);
}

/// Names of the files that the machine has on the host.
fn files_of(instance: &Instance, id: &str) -> Vec<String> {
    let dir = instance.data_dir().join("machines").join(id);
    let entries = std::fs::read_dir(dir).expect("the machine has a directory");
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort_unstable();
    names
}
