//! Room on the host is promised to whoever is to run, and to nobody beyond it.

use serde_json::{Value, json};
use std::fs;
use std::thread;
use testkit::{Instance, Reply, report};

/// RAM of one machine, in MiB: the most that one with this many CPUs may have.
const MEMORY_MB: u64 = 8 * 1024;

const APP: &str = "/v1/apps/test/machines";

/// A machine of the fake engine that takes room: creating it takes next to nothing else.
fn large(skip_launch: bool) -> Value {
    json!({"skip_launch": skip_launch, "config": {
        "image": "none",
        "engine": "fake",
        "guest": {"cpu_kind": "performance", "cpus": 1, "memory_mb": MEMORY_MB},
    }})
}

/// How many such machines the host has room for.
fn n_fitting() -> usize {
    let meminfo = fs::read_to_string("/proc/meminfo").expect("the host tells its RAM");
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|text| text.trim().split(' ').next()).and_then(|n| n.parse().ok());
    let host_mib: u64 = kib.map(|kib: u64| kib / 1024).expect("a number");
    let cpus = thread::available_parallelism().expect("the host tells its CPUs").get();
    let by_ram = usize::try_from(host_mib * 4 / MEMORY_MB).expect("a small number");
    by_ram.min(cpus * 16)
}

fn create_at_once(instance: &Instance, n: usize) -> Vec<Reply> {
    thread::scope(|scope| {
        let creates: Vec<_> =
            (0..n).map(|_| scope.spawn(|| instance.post(APP, &large(false)))).collect();
        creates.into_iter().map(|create| create.join().expect("an answer")).collect()
    })
}

#[test]
fn of_a_hundred_creates_at_once_exactly_those_that_fit_run() {
    let n_fitting = n_fitting();
    if n_fitting >= 100 {
        let why = format!("skipped capacity: room for {n_fitting} machines of {MEMORY_MB} MiB");
        return report::line("life", &why);
    }
    let instance = Instance::start();
    instance.ensure_app();
    let (created, refused): (Vec<_>, Vec<_>) =
        create_at_once(&instance, 100).into_iter().partition(|reply| reply.status == 200);
    assert_eq!(created.len(), n_fitting);
    for reply in refused {
        assert_eq!(reply.body["status"], "insufficient_capacity", "{}", reply.text);
        let refusal = reply.refusal(409);
        let words = "aborted: could not reserve resource for machine: insufficient ";
        assert!(refusal.error.starts_with(words), "{refusal:?}");
    }
    let ids: Vec<String> =
        created.iter().map(|reply| reply.body["id"].as_str().expect("an id").to_owned()).collect();
    ids.iter().for_each(|id| instance.wait_for(id, "started"));

    // What is not to start is created all the same, and a start of it is refused in the same words.
    let waiting = instance.create_with(&large(true));
    instance.wait_for(&waiting, "stopped");
    let start = format!("{}/start", Instance::path(&waiting));
    assert_eq!(instance.post(&start, &Value::Null).refusal(409).code, "insufficient_capacity");
    let restart = format!("{}/restart", Instance::path(&waiting));
    assert_eq!(instance.post(&restart, &Value::Null).refusal(409).code, "insufficient_capacity");

    // The room of one that stops is room for one, also after a death of control.
    instance.kill_control();
    instance.stop_machine(&ids[0]);
    let again = create_at_once(&instance, 10);
    assert_eq!(again.iter().filter(|reply| reply.status == 200).count(), 1);
}
