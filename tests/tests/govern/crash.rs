//! Control dies at each numbered point on the way of governance. No wake is lost, no machine runs twice, the
//! trace holds, and a message that was posted twice is one.

use crate::desk::Governed;
use serde_json::{Value, json};
use std::fs;
use tempfile::TempDir;
use testkit::{Builder, Instance, Reply, report};
use tests::fixture::events;

/// What one run commits at once another commits in two, so the last points of a long run lie behind the
/// end of a short one. That is no failure as long as most points are met: three of four.
const fn are_most(n: usize, of: usize) -> bool {
    4 * n >= 3 * of
}

/// Governed wakes of a machine: a start that control did not live to see is ended and made again.
const WAKES_MAX: u64 = 2;

/// The machines: one is woken by a message, one by an alarm, one by a fact.
const NAMES: [&str; 3] = ["for-a-message", "for-an-alarm", "for-a-fact"];

/// How a caller ends who loses the daemon.
#[derive(Debug)]
struct Lost;

#[test]
fn no_wake_is_lost_and_no_machine_runs_twice_wherever_control_dies() {
    let points = points_passed();
    let mut n_missed = 0;
    for (n, point) in points.iter().enumerate() {
        n_missed += usize::from(!die_at(n + 1, point));
    }
    let n_met = points.len() - n_missed;
    assert!(are_most(n_met, points.len()), "{n_met} of {} points were met", points.len());
    report::line("govern", &format!("crash-points {n_met} of governance"));
}

/// Names of the points that an undisturbed run passes.
fn points_passed() -> Vec<String> {
    let dir = TempDir::new().expect("a directory");
    let log = dir.path().join("failpoints");
    let instance = Builder::default()
        .unsupervised()
        .env("DORMOUSE_FAILPOINT_LOG", log.to_str().expect("a plain path"))
        .start();
    live(&instance).expect("nothing is planted");
    check(&instance, "none");
    let text = fs::read_to_string(&log).expect("the points are logged");
    text.lines().filter_map(|line| line.split_once(' ')).map(|(_, name)| name.to_owned()).collect()
}

/// Lets control die at its `n`th point, and the caller go on; whether it died.
fn die_at(n: usize, point: &str) -> bool {
    let mut instance =
        Builder::default().unsupervised().env("DORMOUSE_FAILPOINT", &n.to_string()).spawn();
    let died = !instance.listens_or_ends() || live(&instance).is_err();
    if died {
        assert_eq!(instance.wait_for_its_end(), None, "point {n} ({point}): it ended by itself");
        instance.start_again();
        live(&instance).unwrap_or_else(|Lost| panic!("point {n} ({point}): it died again"));
    }
    check(&instance, point);
    if !died {
        // The point still lies ahead: not on the way down, which is the business of other tests.
        instance.start_again();
    }
    died
}

/// What a caller does, who repeats everything after he has lost the daemon.
fn live(instance: &Instance) -> Result<(), Lost> {
    let app = ask(instance, "POST", "/v1/apps", &json!({"name": "test", "org_slug": "personal"}))?;
    assert!(matches!(app.status, 201 | 422), "{}", app.text);
    let [for_message, for_alarm, for_fact] = NAMES.map(|name| machine(instance, name));
    let (for_message, for_alarm, for_fact) = (for_message?, for_alarm?, for_fact?);
    let own = |id: &str, rest: &str| format!("{}/self{rest}", Instance::path(id));
    good(ask(instance, "PATCH", &own(&for_message, "/memory"), &json!({"scratch.n": 1}))?);
    let message = json!({"body": "up!", "id": "the-one", "wake": true});
    good(ask(instance, "POST", &own(&for_message, "/inbox"), &message)?);
    if good(ask(instance, "GET", &own(&for_alarm, ""), &Value::Null)?)["wake"].is_null() {
        good(ask(instance, "PUT", &own(&for_alarm, "/alarms/soon"), &json!({"every": "1s"}))?);
    }
    good(ask(instance, "PATCH", &own(&for_fact, "/memory"), &json!({"go": true}))?);
    for id in [&for_message, &for_alarm, &for_fact] {
        let wait = format!("{}/wait?state=started&timeout=30", Instance::path(id));
        good(ask(instance, "GET", &wait, &Value::Null)?);
    }
    Ok(())
}

/// The machine of this name; made unless it is there.
fn machine(instance: &Instance, name: &str) -> Result<String, Lost> {
    let list = good(ask(instance, "GET", "/v1/apps/test/machines", &Value::Null)?);
    let found = list.as_array().expect("a list").iter().find(|machine| machine["name"] == name);
    let id = |machine: &Value| machine["id"].as_str().expect("an id").to_owned();
    if let Some(found) = found {
        return Ok(id(found));
    }
    let policy = json!({
        "facts": {"go": {"type": "bool", "default": false}},
        "rules": [{"id": "go", "effect": "wake", "when": "memory.go"}]
    });
    let config =
        json!({"image": "fake", "engine": "fake", "policy": policy, "restart": {"policy": "no"}});
    let body = json!({"name": name, "config": config, "skip_launch": true});
    Ok(id(&good(ask(instance, "POST", "/v1/apps/test/machines", &body)?)))
}

/// Everybody is up, with one run; one message; chains that hold.
fn check(instance: &Instance, point: &str) {
    let list = instance.get("/v1/apps/test/machines").expect(200);
    for found in list.as_array().expect("a list") {
        let id = found["id"].as_str().expect("an id").to_owned();
        let machine = Governed { instance, id };
        assert_eq!(machine.state(), "started", "{point}: {found}");
        let whole = machine.get("");
        let n_wakes = machine.governed_wakes();
        assert!((1..=WAKES_MAX).contains(&n_wakes), "{point}: {whole}");
        machine.check_trace();
        let events = events(instance, &machine.id);
        let n_of = |kind: &str, status: &str| {
            events.iter().filter(|e| e["type"] == kind && e["status"] == status).count()
        };
        let (n_begun, n_ended) = (n_of("start", "starting"), n_of("exit", "stopped"));
        assert_eq!(n_begun, n_ended + 1, "{point}: {events:#?}");
        let depth = u64::from(found["name"] == NAMES[0]);
        assert_eq!(whole["inbox"]["depth"], depth, "{point}: {whole}");
    }
}

fn ask(instance: &Instance, method: &str, target: &str, body: &Value) -> Result<Reply, Lost> {
    let endpoint = instance.endpoint().ok_or(Lost)?;
    let socket = endpoint["unix"].as_str().ok_or(Lost)?;
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    let headers = [("content-type", "application/json")];
    testkit::http::request(socket.as_ref(), method, target, &headers, &body)
        .map_err(|_no_answer| Lost)
}

#[track_caller]
fn good(reply: Reply) -> Value {
    assert!((200..300).contains(&reply.status), "{}", reply.text);
    reply.body
}
