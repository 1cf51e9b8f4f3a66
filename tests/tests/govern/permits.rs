//! Rest permits: of the machines of an app that keeps one up, two never both rest.

use serde_json::{Value, json};
use std::sync::Barrier;
use std::thread;
use std::time::Duration;
use testkit::{Instance, eventually};
use tests::fixture::let_pass;

/// Apps with two machines each, which all want to rest at the same moment.
const PAIRS: usize = 20;

/// From here on a rule may put a machine to rest that was started before. Source: `model::admit::MIN_RUN`.
const MIN_RUN: Duration = Duration::from_secs(30);

/// A machine of an app of its own.
#[derive(Clone)]
struct Worker<'a> {
    instance: &'a Instance,
    path: String,
}

impl<'a> Worker<'a> {
    fn new(instance: &'a Instance, app: &str, name: &str) -> Self {
        let policy = json!({
            "facts": {"tired": {"type": "bool", "default": false}},
            "rules": [{"id": "tired", "effect": "rest", "mode": "freeze", "when": "memory.tired"}]
        });
        let services = json!([{"internal_port": 80, "protocol": "tcp", "min_machines_running": 1}]);
        let config = json!({"image": "fake", "engine": "fake", "policy": policy,
            "services": services, "restart": {"policy": "no"}});
        let machines = format!("/v1/apps/{app}/machines");
        let made = instance.post(&machines, &json!({"name": name, "config": config})).expect(200);
        let path = format!("{machines}/{}", made["id"].as_str().expect("an id"));
        let worker = Self { instance, path };
        worker.wait_for("started");
        worker
    }

    fn wait_for(&self, state: &str) {
        let wait = format!("{}/wait?state={state}&timeout=60", self.path);
        drop(self.instance.get(&wait).expect(200));
    }

    fn state(&self) -> String {
        self.instance.get(&self.path).expect(200)["state"].as_str().expect("a state").to_owned()
    }

    fn is_tired(&self, is: bool) {
        let target = format!("{}/self/memory", self.path);
        let body = json!({"tired": is});
        drop(self.instance.request_with("PATCH", &target, &[], &body).expect(200));
    }

    fn decision(&self) -> String {
        let whole = self.instance.get(&format!("{}/self", self.path)).expect(200);
        let word = |key: &str| whole["decision"][key].as_str().unwrap_or_default().to_owned();
        format!("{} {}", word("stance"), word("gate"))
    }

    /// Whether it has ever begun to rest.
    fn has_rested(&self) -> bool {
        let events = self.instance.get(&format!("{}/events?limit=50", self.path)).expect(200);
        events.as_array().expect("a list").iter().any(|event| event["type"] == "suspend")
    }
}

#[test]
fn two_that_want_to_rest_at_the_same_moment_never_both_do() {
    let instance = Instance::start();
    let pairs: Vec<[Worker<'_>; 2]> = (0..PAIRS)
        .map(|n| {
            let app = format!("pair-{n}");
            let body = json!({"name": app, "org_slug": "personal"});
            drop(instance.post("/v1/apps", &body).expect(201));
            ["one", "two"].map(|name| Worker::new(&instance, &app, name))
        })
        .collect();
    let_pass(MIN_RUN);
    let both = Barrier::new(2);
    for pair in &pairs {
        thread::scope(|scope| {
            for worker in pair {
                let both = &both;
                scope.spawn(move || {
                    both.wait();
                    worker.is_tired(true);
                });
            }
        });
    }
    let rests = |worker: &Worker<'_>| worker.state() == "suspended";
    for pair in &pairs {
        eventually("one of two rests", || pair.iter().any(rests).then_some(()));
        let [awake] = &pair.iter().filter(|worker| !rests(worker)).collect::<Vec<_>>()[..] else {
            panic!("both rest");
        };
        eventually("the other may not", || (awake.decision() == "kept rest_permit").then_some(()));
        assert_eq!(awake.state(), "started");
        let why = instance.get(&format!("{}/self/explain", awake.path)).expect(200);
        assert!(why["sentence"].as_str().is_some_and(|s| s.contains("its app needs it")), "{why}");
    }

    // The one that rests comes up, and so the other may rest now: they change places.
    for pair in &pairs {
        let (asleep, awake): (Vec<_>, Vec<_>) = pair.iter().partition(|worker| rests(worker));
        let ([asleep], [awake]) = (&asleep[..], &awake[..]) else { panic!("one of two rests") };
        assert!(!awake.has_rested(), "it has rested meanwhile");
        asleep.is_tired(false);
        drop(instance.post(&format!("{}/start", asleep.path), &Value::Null).expect(200));
        awake.wait_for("suspended");
        assert_eq!(asleep.state(), "started");
        asleep.is_tired(true);
    }
    for pair in &pairs {
        assert_eq!(pair.iter().filter(|worker| rests(worker)).count(), 1);
    }
}

#[test]
fn the_last_one_never_rests() {
    let instance = Instance::start();
    drop(instance.post("/v1/apps", &json!({"name": "solo", "org_slug": "personal"})).expect(201));
    let worker = Worker::new(&instance, "solo", "only");
    worker.is_tired(true);
    eventually("it wants to", || worker.decision().starts_with("kept ").then_some(()));
    let_pass(MIN_RUN + Duration::from_secs(2));
    assert_eq!((worker.state().as_str(), &*worker.decision()), ("started", "kept rest_permit"));
    assert!(!worker.has_rested());
}
