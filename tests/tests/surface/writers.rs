//! Several writers to one machine: none of them loses what another wrote.

use serde_json::{Value, json};
use std::sync::Mutex;
use std::time::{Duration, Instant};
use testkit::Instance;

fn fake(instance: &Instance) -> String {
    let config = json!({"image": "none", "engine": "fake"});
    let id = instance.create_with(&json!({"config": config, "skip_launch": true}));
    instance.wait_for(&id, "stopped");
    id
}

#[test]
fn labels_that_are_set_at_once_are_all_there() {
    let instance = Instance::start();
    let id = fake(&instance);
    let path = format!("{}/metadata", Instance::path(&id));
    std::thread::scope(|scope| {
        for writer in 0..8 {
            let (instance, path) = (&instance, &path);
            scope.spawn(move || {
                for n in 0..10 {
                    let target = format!("{path}/w{writer}-{n}");
                    assert_eq!(instance.post(&target, &json!({"value": "x"})).status, 204);
                }
            });
        }
    });
    assert_eq!(instance.get(&path).expect(200).as_object().map(serde_json::Map::len), Some(80));
}

#[test]
fn of_updates_that_compare_with_the_same_version_one_wins() {
    let instance = Instance::start();
    let id = fake(&instance);
    let path = Instance::path(&id);
    for _ in 0..5 {
        let version = instance.get(&path).expect(200)["instance_id"].clone();
        let update = |writer: usize| {
            let config =
                json!({"image": "none", "engine": "fake", "env": {"W": writer.to_string()}});
            instance.post(&path, &json!({"config": config, "current_version": version}))
        };
        let replies: Vec<_> = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..6).map(|n| scope.spawn(move || update(n))).collect();
            writers.into_iter().map(|writer| writer.join().expect("an answer")).collect()
        });
        let won: Vec<_> = replies.iter().enumerate().filter(|(_, r)| r.status == 200).collect();
        assert_eq!(won.len(), 1, "{:?}", replies.iter().map(|r| &r.text).collect::<Vec<_>>());
        for reply in replies.iter().filter(|reply| reply.status != 200) {
            assert!(matches!(reply.status, 409 | 412), "{}", reply.text);
        }
        instance.wait_for(&id, "stopped");
        let config = &instance.get(&path).expect(200)["config"];
        assert_eq!(config["env"]["W"], Value::String(won[0].0.to_string()));
    }
}

/// From when to when something was certainly so, or was going on.
type Span = (Instant, Instant);

/// What writers did to a machine, and when.
#[derive(Debug, Default)]
struct History {
    /// From the answer that gave a lease to the request that gave it back.
    held: Vec<Span>,
    /// Writes without a lease that were let through, from request to answer.
    strangers: Vec<Span>,
    /// Increments under a lease.
    n_increments: u64,
}

/// Holders of the lease count in a label by reading and writing, which only works alone; strangers
/// write whenever they are let.
#[test]
fn a_lease_shuts_out_every_other_writer_for_as_long_as_it_is_held() {
    let instance = Instance::start();
    let id = fake(&instance);
    let history = Mutex::new(History::default());
    let until = Instant::now() + Duration::from_secs(3);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while Instant::now() < until {
                    count_alone(&instance, &id, &history)
                }
            });
        }
        for _ in 0..2 {
            scope.spawn(|| {
                while Instant::now() < until {
                    write(&instance, &id, &history)
                }
            });
        }
    });
    let history = history.into_inner().expect("no writer panicked");
    assert!(history.n_increments > 0 && !history.strangers.is_empty(), "{history:?}");
    let labels = instance.get(&format!("{}/metadata", Instance::path(&id))).expect(200);
    assert_eq!(labels["n"], history.n_increments.to_string(), "an increment was lost");
    for (asked, answered) in &history.strangers {
        let within = history.held.iter().find(|(from, to)| from < asked && answered < to);
        assert_eq!(within, None, "somebody wrote while another held the lease");
    }
}

fn count_alone(instance: &Instance, id: &str, history: &Mutex<History>) {
    let path = Instance::path(id);
    let taken = instance.post(&format!("{path}/lease?ttl=60"), &Value::Null);
    if taken.status != 201 {
        assert_eq!(taken.status, 409, "{}", taken.text);
        return;
    }
    let from = Instant::now();
    let nonce = taken.body["data"]["nonce"].as_str().expect("a nonce").to_owned();
    let header = [("fly-machine-lease-nonce", nonce.as_str())];
    let labels = instance.get(&format!("{path}/metadata")).expect(200);
    let n: u64 = labels["n"].as_str().map_or(0, |text| text.parse().expect("a number"));
    let value = json!({"value": (n + 1).to_string()});
    let written = instance.request_with("POST", &format!("{path}/metadata/n"), &header, &value);
    assert_eq!(written.status, 204, "{}", written.text);
    let to = Instant::now();
    let released = instance.request_with("DELETE", &format!("{path}/lease"), &header, &Value::Null);
    assert_eq!(released.status, 200, "{}", released.text);
    let mut history = history.lock().expect("no writer panicked");
    history.held.push((from, to));
    history.n_increments += 1;
}

fn write(instance: &Instance, id: &str, history: &Mutex<History>) {
    let asked = Instant::now();
    let path = Instance::path(id);
    let reply = instance.post(&format!("{path}/metadata/stranger"), &json!({"value": "x"}));
    match reply.status {
        204 => {
            let span = (asked, Instant::now());
            history.lock().expect("no writer panicked").strangers.push(span);
        }
        status => assert_eq!(status, 409, "{}", reply.text),
    }
}
