//! Machines that take all they can: their disk, processes, log, their place in the queue.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};
use testkit::{Instance, Reply};
use tests::fixture;

#[test]
fn a_machine_that_fills_its_disk_can_be_stopped_started_and_emptied() {
    let instance = fixture::with_busybox();
    let id = fixture::started(&instance, "exec sleep 600", &json!({"rootfs": {"size_gb": 1}}));
    let fill = "echo kept > /kept; dd if=/dev/zero of=/full bs=1M count=4000";
    let outcome = instance.exec(&id, &["/bin/sh", "-c", fill]);
    let said = outcome["stderr"].as_str().expect("text");
    assert!(said.contains("No space left on device"), "{outcome}");
    assert_ne!(
        instance.exec(&id, &["/bin/sh", "-c", "head -c 100000000 /dev/zero > /more"])["exit_code"],
        0
    );

    instance.stop_machine(&id);
    instance.start_machine(&id);
    assert_eq!(instance.sh(&id, "cat /kept; rm /full; echo x > /more; cat /more"), "kept\nx\n");
    fixture::destroy(&instance, &id);
}

/// A machine as small as they come.
fn small() -> Value {
    json!({"guest": {"cpu_kind": "shared", "cpus": 1, "memory_mb": 256}})
}

/// A small machine whose program now becomes `greed`, but is content when it is started again.
fn greedy_once(instance: &Instance, greed: &str) -> String {
    let script = format!(
        "[ -e /over ] && exec sleep 600; touch /over; until [ -e /go ]; do sleep 0.1; done; {greed}"
    );
    let mut config = small();
    config["restart"] = json!({"policy": "no"});
    let id = fixture::started(instance, &script, &config);
    let told = run(instance, &id, &["touch", "/go"]);
    match told.status {
        200 => assert_eq!(told.body["exit_code"], 0, "{}", told.text),
        // Its greed was quicker than the answer.
        status => assert!(matches!(status, 408 | 412), "{}", told.text),
    }
    id
}

/// Runs a command in a machine that may be too greedy to answer.
fn run(instance: &Instance, id: &str, argv: &[&str]) -> Reply {
    let body = json!({"command": argv, "timeout": 5});
    instance.post(&format!("{}/exec", Instance::path(id)), &body)
}

/// Doubles until nothing is left to take.
const BOMB: &str = "bomb() { bomb | bomb & }; bomb";

#[test]
fn a_program_that_forks_without_end_is_contained_and_can_be_stopped() {
    let instance = fixture::with_busybox();
    let other = fixture::started(&instance, "exec sleep 600", &json!({}));
    let id = greedy_once(&instance, &format!("{BOMB}; sleep 600"));
    assert_eq!(instance.sh(&other, "echo here"), "here\n");
    // It may have run out of RAM by itself; then there is nothing to stop.
    let stopped =
        instance.post(&format!("{}/stop", Instance::path(&id)), &json!({"signal": "SIGKILL"}));
    assert!(matches!(stopped.status, 200 | 412), "{}", stopped.text);
    instance.wait_for(&id, "stopped");
    let exit = fixture::last_exit(&instance, &id)["exit_event"].clone();
    assert!(exit["requested_stop"] == true || exit["oom_killed"] == true, "{exit}");
    assert_eq!(instance.sh(&other, "echo here"), "here\n");
    instance.start_machine(&id);
    assert_eq!(instance.sh(&id, "echo here"), "here\n");
    fixture::destroy(&instance, &id);
}

/// How long a bomb may rage: long enough for the kernel to have killed many.
const RAGE: Duration = Duration::from_secs(10);

#[test]
fn a_command_that_forks_without_end_does_not_end_the_machine() {
    let instance = fixture::with_busybox();
    let id = fixture::started(&instance, "exec sleep 600", &small());
    let run = |script: &str| run(&instance, &id, &["/bin/sh", "-c", script]);
    let began = Instant::now();
    let bomb = run(&format!("{BOMB}; sleep 1"));
    assert!(matches!(bomb.status, 200 | 408), "{}", bomb.text);
    while began.elapsed() < RAGE {
        let reply = run("echo here");
        let has_run = reply.status == 200;
        // No process is left to be had, the command was killed, or is not served in time.
        let is_clear = matches!(reply.status, 408 | 412 | 503 | 504);
        assert!(has_run || is_clear, "{} {}", reply.status, reply.text);
    }
    assert_eq!(instance.state(&id), "started");
    instance.stop_machine(&id);
    instance.start_machine(&id);
    assert_eq!(instance.sh(&id, "echo here"), "here\n");
    fixture::destroy(&instance, &id);
}

/// Reads without end, and keeps all of it.
const EATER: [&str; 2] = ["tail", "/dev/zero"];

#[test]
fn a_program_that_eats_its_ram_is_killed_for_it_and_that_is_told() {
    let instance = fixture::with_busybox();
    let id = greedy_once(&instance, &format!("exec {}", EATER.join(" ")));
    instance.wait_for(&id, "stopped");
    let exit = fixture::last_exit(&instance, &id)["exit_event"].clone();
    assert_eq!(exit["oom_killed"], true, "{exit}");
    assert_eq!(
        (&exit["guest_signal"], &exit["requested_stop"]),
        (&json!(9), &json!(false)),
        "{exit}"
    );
    instance.start_machine(&id);
    assert_eq!(instance.sh(&id, "echo here"), "here\n");
    instance.stop_machine(&id);
    let exit = fixture::last_exit(&instance, &id)["exit_event"].clone();
    assert_eq!(exit["oom_killed"], false, "{exit}");
    fixture::destroy(&instance, &id);
}

#[test]
fn a_command_that_eats_the_ram_of_its_machine_dies_alone() {
    let instance = fixture::with_busybox();
    let id = fixture::started(&instance, "exec sleep 600", &small());
    for _ in 0..3 {
        let outcome = instance.exec(&id, &EATER);
        assert_eq!(outcome["exit_signal"], 9, "{outcome}");
        assert_eq!(instance.sh(&id, "echo here"), "here\n");
    }
    assert_eq!(instance.state(&id), "started");
    instance.stop_machine(&id);
    instance.start_machine(&id);
    assert_eq!(instance.sh(&id, "echo here"), "here\n");
    fixture::destroy(&instance, &id);
}

/// Most that the log of a machine takes on the host: three files of 8 MiB, and a line.
const LOG_MAX_BYTES: u64 = 3 * 8 * 1024 * 1024 + 64 * 1024;

#[test]
fn a_program_that_floods_its_log_keeps_its_end_and_costs_no_more() {
    let instance = fixture::with_busybox();
    let script = "yes 'a line of thirty-two characters' | head -c 100000000; echo; echo over; exec sleep 600";
    let id = fixture::started(&instance, script, &json!({}));
    fixture::wait_for_line(&instance, &id, "over");
    let machine_dir = instance.data_dir().join("machines").join(&id);
    let log_bytes = size_of_logs(&machine_dir);
    assert!(log_bytes > 1024 * 1024, "no log in {}", machine_dir.display());
    assert!(log_bytes <= LOG_MAX_BYTES, "{log_bytes} bytes");
    assert_eq!(instance.sh(&id, "echo here"), "here\n");
}

fn size_of_logs(machine_dir: &Path) -> u64 {
    fs::read_dir(machine_dir)
        .expect("the machine's directory")
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("log"))
        .map(|entry| entry.metadata().expect("a log file").len())
        .sum()
}

/// Requests sent to one machine at once.
const N_REQUESTS: usize = 1000;

#[test]
fn of_a_thousand_commands_at_once_each_is_run_or_refused() {
    let instance = fixture::with_busybox();
    let id = fixture::started(&instance, "exec sleep 600", &json!({}));
    let target = format!("{}/exec", Instance::path(&id));
    let replies: Vec<Reply> = thread::scope(|scope| {
        let ask = |number: usize| {
            let body = json!({"command": ["/bin/sh", "-c", format!("echo {number} | tee -a /ran")], "timeout": 60});
            instance.post(&target, &body)
        };
        let asking: Vec<_> =
            (0..N_REQUESTS).map(|number| scope.spawn(move || ask(number))).collect();
        asking.into_iter().map(|one| one.join().expect("an answer")).collect()
    });
    let mut outcomes: BTreeMap<String, usize> = BTreeMap::new();
    let mut answered: Vec<String> = Vec::new();
    for (number, reply) in replies.into_iter().enumerate() {
        if reply.status == 200 {
            assert_eq!(reply.body["stdout"], format!("{number}\n"), "{}", reply.text);
            answered.push(number.to_string());
            *outcomes.entry("run".to_owned()).or_default() += 1;
        } else {
            let status = reply.status;
            assert!(matches!(status, 400 | 429 | 503), "{}", reply.text);
            assert_eq!(reply.body["retryable"], true, "{}", reply.text);
            *outcomes.entry(reply.refusal(status).code).or_default() += 1;
        }
    }
    assert!(outcomes["run"] >= 50, "{outcomes:?}");
    let ran = instance.sh(&id, "cat /ran");
    let mut ran: Vec<&str> = ran.lines().collect();
    ran.sort_unstable();
    answered.sort_unstable();
    assert_eq!(ran, answered, "each command that ran was answered, and the other way round");
    assert_eq!(instance.sh(&id, "echo here"), "here\n");
}
