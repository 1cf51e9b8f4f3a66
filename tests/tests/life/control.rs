//! Control dies, shims die, inits die: machines go on, or end as told.

use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use testkit::{Builder, Instance, eventually, instance, leftovers, report};
use tests::fixture::{
    PROBE, config, destroy, events, last_exit, started, wait_until_it_listens, with_busybox,
    with_probe,
};

/// Longest time from the death of control until its successor has adopted a running machine.
///
/// No measure of speed, which is printed: more than this means that a timeout had to pass.
const ADOPTED_WITHIN: Duration = Duration::from_secs(10);

#[test]
fn a_machine_answers_all_the_while_when_control_is_killed_and_is_adopted() {
    let instance = with_probe();
    let id = started(&instance, &format!("exec {PROBE} serve 8080 pong"), &json!({}));
    let init = the_init(&instance, &id);
    wait_until_it_listens(&instance, &id, 8080);
    let client = Client::inside_network_of(init, 8080);
    let is_over = AtomicBool::new(false);
    let mut slowest = Duration::ZERO;
    let answers = std::thread::scope(|scope| {
        let asking = scope.spawn(|| client.ask_until(&is_over));
        for _ in 0..5 {
            let died = Instant::now();
            instance.kill_control();
            assert_eq!(instance.sh(&id, "echo adopted"), "adopted\n");
            slowest = slowest.max(died.elapsed());
        }
        is_over.store(true, Ordering::SeqCst);
        asking.join().expect("no answer was lost")
    });
    assert!(answers > 100, "only {answers} answers");
    assert!(slowest < ADOPTED_WITHIN, "adopted after {slowest:?}");
    assert_eq!(the_init(&instance, &id), init);
    let adopted_ms = slowest.as_millis();
    report::line(
        "adopt",
        &format!("adopt: {adopted_ms} ms at worst of 5, {answers} answers, 0 lost"),
    );
    destroy(&instance, &id);
}

#[test]
fn exits_while_control_is_away_are_told_with_their_own_time() {
    let mut instance = with_busybox();
    let more = json!({"restart": {"policy": "no"}});
    let began = Instant::now();
    let id = started(&instance, "while ! test -e /root/go; do sleep 0.05; done; exit 5", &more);
    drop(instance.sh(&id, "(sleep 1; touch /root/go) >/dev/null 2>&1 &"));
    instance.end_process();
    eventually("the machine ends without control", || {
        leftovers::shims_of(&instance.tag()).is_empty().then_some(())
    });
    let ran_at_most = began.elapsed();
    tests::fixture::let_pass(Duration::from_secs(2));
    instance.start_again();
    instance.wait_for(&id, "stopped");
    assert_eq!(last_exit(&instance, &id)["exit_event"]["exit_code"], 5);
    let used = instance.get(&format!("{}/usage", Instance::path(&id))).expect(200);
    let used_s = used["started_s"].as_f64().expect("a number");
    assert!((0.5..=ran_at_most.as_secs_f64()).contains(&used_s), "{used_s} of {ran_at_most:?}");
    destroy(&instance, &id);
}

#[test]
fn frozen_machines_stay_frozen_over_a_death_of_control() {
    let instance = with_busybox();
    let id = started(&instance, "exec sleep 1000", &json!({}));
    drop(instance.sh(&id, "echo kept > /dev/shm/kept"));
    drop(instance.post(&format!("{}/suspend", Instance::path(&id)), &Value::Null).expect(200));
    instance.wait_for(&id, "suspended");
    let init = the_init(&instance, &id);
    instance.kill_control();
    assert_eq!(instance.state(&id), "suspended");
    instance.start_machine(&id);
    assert_eq!(instance.sh(&id, "cat /dev/shm/kept"), "kept\n");
    assert_eq!(the_init(&instance, &id), init);
}

#[test]
fn a_killed_shim_takes_its_machine_along_and_the_policy_brings_it_back() {
    let instance = with_busybox();
    let id = started(&instance, "exec sleep 1000", &json!({"restart": {"policy": "always"}}));
    drop(instance.sh(&id, "echo kept > /root/kept; sync"));
    let before = the_init(&instance, &id);
    instance::kill(the_shim(&instance));
    let lost = eventually("the exit is told", || {
        events(&instance, &id).into_iter().find(|event| event["type"] == "exit")
    });
    assert!(
        lost["request"]["exit_event"]["error"].as_str().is_some_and(|e| !e.is_empty()),
        "{lost}"
    );
    assert_eq!(lost["request"]["exit_event"]["restarting"], true, "{lost}");
    instance.wait_for(&id, "started");
    assert_ne!(the_init(&instance, &id), before);
    assert_eq!(instance.sh(&id, "cat /root/kept"), "kept\n");
    destroy(&instance, &id);
}

#[test]
fn a_shim_killed_while_control_is_away_is_found_out() {
    let mut instance = with_busybox();
    let id = started(&instance, "exec sleep 1000", &json!({"restart": {"policy": "no"}}));
    let shim = the_shim(&instance);
    instance.end_process();
    instance::kill(shim);
    instance.start_again();
    instance.wait_for(&id, "stopped");
    let exit = last_exit(&instance, &id);
    assert!(exit["exit_event"]["error"].as_str().is_some_and(|e| !e.is_empty()), "{exit}");
    assert!(leftovers::inits_of(&instance.tag(), &id).is_empty());
    instance.start_machine(&id);
    destroy(&instance, &id);
}

#[test]
fn a_killed_init_ends_the_machine() {
    let instance = with_busybox();
    let id = started(&instance, "exec sleep 1000", &json!({"restart": {"policy": "no"}}));
    instance::kill(the_init(&instance, &id));
    instance.wait_for(&id, "stopped");
    let exit = &last_exit(&instance, &id)["exit_event"];
    assert_eq!(
        (&exit["exit_code"], &exit["requested_stop"]),
        (&json!(137), &json!(false)),
        "{exit}"
    );
    instance.start_machine(&id);
    destroy(&instance, &id);
}

#[test]
fn kill_1_from_inside_does_not_end_the_machine() {
    let instance = with_busybox();
    let id = started(&instance, "exec sleep 1000", &json!({}));
    drop(instance.exec(&id, &["/bin/kill", "-9", "1"]));
    assert_eq!(instance.sh(&id, "echo alive"), "alive\n");
}

#[test]
fn machines_end_as_asked_although_control_is_killed_under_load() {
    const MACHINES: usize = 20;
    const KILLS: usize = 10;
    let instance = with_busybox();
    let sleep = config("exec sleep 1000", &json!({"stop_config": {"timeout": "2s"}}));
    let ids: Vec<String> = (0..MACHINES)
        .map(|_| instance.create_with(&json!({"config": sleep, "skip_launch": true})))
        .collect();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for half in ids.chunks(MACHINES / 4) {
            let (instance, is_over) = (&instance, &is_over);
            scope.spawn(move || {
                while !is_over.load(Ordering::SeqCst) {
                    for id in half {
                        // Answers may be refusals, or be lost with control: what counts is the end.
                        let path = Instance::path(id);
                        drop(instance.try_request("POST", &format!("{path}/start"), b""));
                        drop(instance.try_request(
                            "POST",
                            &format!("{path}/stop"),
                            br#"{"signal":"SIGKILL"}"#,
                        ));
                    }
                }
            });
        }
        for _ in 0..KILLS {
            tests::fixture::let_pass(Duration::from_millis(300));
            instance.kill_control();
        }
        is_over.store(true, Ordering::SeqCst);
    });
    let tag = instance.tag();
    for (n, id) in ids.iter().enumerate() {
        instance.wait_for(id, "settled");
        if n % 2 == 0 {
            instance.start_machine(id);
            assert_eq!(instance.sh(id, "echo up"), "up\n");
        } else if instance.state(id) != "stopped" {
            instance.stop_machine(id);
        }
        assert_eq!(leftovers::inits_of(&tag, id).len(), (n + 1) % 2, "{id}");
    }
    assert_eq!(leftovers::shims_of(&tag).len(), MACHINES / 2);
    ids.iter().for_each(|id| destroy(&instance, id));
    assert!(leftovers::shims_of(&tag).is_empty());
}

#[test]
fn a_second_daemon_on_the_same_data_is_refused() {
    let instance = with_busybox();
    let second = instance.cli(&["control", "--listen=127.0.0.1:0"]);
    assert!(!second.status.success());
    let words = String::from_utf8_lossy(&second.stderr);
    assert!(words.contains("in use"), "{words}");
    assert_eq!(instance.get("/healthz").status, 200);
}

#[test]
fn the_supervisor_starts_a_dead_control_again_and_ends_with_it() {
    let mut instance = with_busybox();
    for _ in 0..3 {
        instance.kill_control();
    }
    let control = instance.control_pid();
    let status = std::process::Command::new("kill").args(["-TERM", &control.to_string()]).status();
    assert!(status.is_ok_and(|status| status.success()));
    assert_eq!(instance.wait_for_its_end(), Some(0));
}

#[test]
fn the_supervisor_ends_when_told_even_while_control_is_dead() {
    for _ in 0..5 {
        let mut instance = Instance::start();
        let endpoint = instance.endpoint().expect("it listens");
        let supervisor = endpoint["supervisor_pid"].to_string();
        instance::kill(instance.control_pid());
        let told = std::process::Command::new("kill").args(["-TERM", &supervisor]).status();
        assert!(told.is_ok_and(|status| status.success()));
        assert_eq!(instance.wait_for_its_end(), Some(0));
    }
}

#[test]
fn the_supervisor_ends_when_told_while_control_pauses_before_another_try() {
    let dir = tempfile::tempdir().expect("a directory");
    let boot_id = dir.path().join("boot-id");
    let write = || std::fs::write(&boot_id, "11111111-1111-4111-8111-111111111111\n");
    write().expect("a file");
    let mut instance =
        Builder::default().arg(&format!("--boot-id-file={}", boot_id.display())).start();
    let supervisor = instance.endpoint().expect("it listens")["supervisor_pid"].to_string();
    // Control cannot run without the file, and the supervisor tries again after longer and longer.
    std::fs::remove_file(&boot_id).expect("our own file");
    instance::kill(instance.control_pid());
    eventually("control is paused", || (!control_runs(&instance)).then_some(()));
    let told = std::process::Command::new("kill").args(["-TERM", &supervisor]).status();
    assert!(told.is_ok_and(|status| status.success()));
    assert_eq!(instance.wait_for_its_end(), Some(0));
    // It is started once more, to be taken down.
    write().expect("a file");
}

fn control_runs(instance: &Instance) -> bool {
    let all = leftovers::of_instance(&instance.tag(), instance.data_dir());
    all.iter().any(|line| line.contains("dormouse control "))
}

/// The one guest init of a machine.
#[track_caller]
fn the_init(instance: &Instance, id: &str) -> u32 {
    let inits = leftovers::inits_of(&instance.tag(), id);
    assert_eq!(inits.len(), 1, "{inits:?}");
    inits[0].pid
}

/// The one shim of an instance with one running machine.
#[track_caller]
fn the_shim(instance: &Instance) -> u32 {
    let shims = leftovers::shims_of(&instance.tag());
    assert_eq!(shims.len(), 1, "{shims:?}");
    shims[0].pid
}

/// Asks a server in a machine, from a network namespace of the machine itself: the doors of the
/// host are not what is tested.
struct Client {
    init: u32,
    port: u16,
}

impl Client {
    fn inside_network_of(init: u32, port: u16) -> Self {
        Self { init, port }
    }

    /// Asks again and again; the number of answers.
    fn ask_until(&self, is_over: &AtomicBool) -> usize {
        let network = std::fs::File::open(format!("/proc/{}/ns/net", self.init)).expect("it runs");
        // This thread alone moves, and ends with the test.
        rustix::thread::move_into_link_name_space(
            std::os::fd::AsFd::as_fd(&network),
            Some(rustix::thread::LinkNameSpaceType::Network),
        )
        .expect("root may enter a network namespace");
        let mut answers = 0;
        while !is_over.load(Ordering::SeqCst) {
            self.ask();
            answers += 1;
        }
        answers
    }

    fn ask(&self) {
        use std::io::Read as _;
        let mut stream =
            std::net::TcpStream::connect(("127.0.0.1", self.port)).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout may be set");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        assert_eq!(answer, "pong");
    }
}
