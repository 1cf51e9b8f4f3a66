//! Events as they happen.

use serde_json::{Value, json};
use std::path::PathBuf;
use testkit::instance::APP;
use testkit::{Instance, http};

const FAKE: &str = "fake";

fn fake(instance: &Instance) -> String {
    let config = json!({"image": "none", "engine": FAKE});
    let id = instance.create_with(&json!({"config": config, "skip_launch": true}));
    instance.wait_for(&id, "stopped");
    id
}

/// Follows events; each one's JSON, with its id beside it.
fn follow(
    instance: &Instance,
    target: &str,
    last: Option<&str>,
) -> impl Iterator<Item = Value> + use<> {
    let endpoint = instance.endpoint().expect("it listens");
    let socket = PathBuf::from(endpoint["unix"].as_str().expect("a path"));
    let accept = ("accept", "text/event-stream");
    let headers: Vec<_> =
        [accept].into_iter().chain(last.map(|id| ("last-event-id", id))).collect();
    let lines = http::lines_with(&socket, target, &headers).expect("a stream");
    lines.filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok())
}

fn words(event: &Value) -> (String, String) {
    let word = |key: &str| event[key].as_str().unwrap_or_default().to_owned();
    (word("type"), word("status"))
}

#[track_caller]
fn expect(event: Option<Value>, kind: &str, status: &str) -> Value {
    let event = event.expect("the stream goes on");
    assert_eq!(words(&event), (kind.to_owned(), status.to_owned()), "{event}");
    event
}

#[test]
fn an_app_s_events_come_as_they_happen_and_a_follower_goes_on_where_it_left() {
    let instance = Instance::start();
    let id = fake(&instance);
    let target = format!("/v1/apps/{APP}/events");
    let mut events = follow(&instance, &target, None);
    instance.start_machine(&id);
    let first = expect(events.next(), "start", "starting");
    assert_eq!(first["machine_id"], id);
    drop(expect(events.next(), "start", "started"));
    let other = fake(&instance);
    let launch = expect(events.next(), "launch", "created");
    assert_eq!(launch["machine_id"], other);
    drop(events);
    let seen = first["id"].as_str().expect("an id");
    let mut again = follow(&instance, &target, Some(seen));
    drop(expect(again.next(), "start", "started"));
    assert_eq!(expect(again.next(), "launch", "created")["machine_id"], other);

    let listed = instance.get(&format!("{target}?limit=2")).expect(200);
    let listed: Vec<_> = listed.as_array().expect("a list").iter().map(words).collect();
    assert_eq!(listed.len(), 2);
    assert_eq!(
        instance.get(&format!("{target}?from_event_id=7")).status,
        200,
        "a list has no use for it"
    );
    let odd = instance.request_with(
        "GET",
        &target,
        &[("accept", "text/event-stream"), ("last-event-id", "7")],
        &Value::Null,
    );
    assert_eq!(odd.refusal(400).code, "invalid_parameter");
}

#[test]
fn a_machine_s_stream_ends_with_the_machine() {
    let instance = Instance::start();
    let (id, other) = (fake(&instance), fake(&instance));
    let events = follow(&instance, &format!("{}/events", Instance::path(&id)), None);
    instance.start_machine(&other);
    instance.start_machine(&id);
    instance.stop_machine(&id);
    drop(instance.delete(&Instance::path(&id)).expect(200));
    let seen: Vec<_> = events.inspect(|event| assert_eq!(event["machine_id"], id)).collect();
    let kinds: Vec<_> =
        seen.iter().map(words).map(|(kind, status)| format!("{kind} {status}")).collect();
    assert_eq!(
        kinds,
        [
            "start starting",
            "start started",
            "stop stopping",
            "exit stopped",
            "destroy destroying",
            "destroy destroyed"
        ]
    );
}

#[test]
fn no_event_is_missed_while_many_happen() {
    let instance = Instance::start();
    let ids: Vec<_> = (0..8).map(|_| fake(&instance)).collect();
    let events = follow(&instance, &format!("/v1/apps/{APP}/events"), None);
    std::thread::scope(|scope| {
        for id in &ids {
            scope.spawn(|| {
                for _ in 0..5 {
                    instance.start_machine(id);
                    instance.stop_machine(id);
                }
            });
        }
    });
    // Start, started, stop, exit: of each machine five times.
    let seen: Vec<_> = events.take(8 * 5 * 4).collect();
    for id in &ids {
        let own: Vec<_> = seen.iter().filter(|event| event["machine_id"] == **id).collect();
        assert_eq!(own.len(), 20);
        let kept = instance.get(&format!("{}/events?limit=20", Instance::path(id))).expect(200);
        let kept: Vec<_> = kept.as_array().expect("a list").iter().rev().cloned().collect();
        let of = |events: &[Value]| events.iter().map(|e| e["id"].clone()).collect::<Vec<_>>();
        assert_eq!(of(&own.into_iter().cloned().collect::<Vec<_>>()), of(&kept));
    }
}

#[test]
fn a_wait_from_an_event_on_sees_what_has_passed() {
    let instance = Instance::start();
    let id = fake(&instance);
    let path = Instance::path(&id);
    let newest = || {
        let events = instance.get(&format!("{path}/events?limit=1")).expect(200);
        events[0]["id"].as_str().expect("an id").to_owned()
    };
    let before = newest();
    instance.start_machine(&id);
    instance.stop_machine(&id);
    let wait = |query: &str| instance.get(&format!("{path}/wait?timeout=1&{query}"));
    assert_eq!(wait("state=started").status, 408, "it is stopped");
    let passed = wait(&format!("state=started&from_event_id={before}")).expect(200);
    assert_eq!(passed["state"], "started");
    let stopped = wait(&format!("state=stopped&from_event_id={before}")).expect(200);
    assert!(stopped["event_id"].as_str() > passed["event_id"].as_str(), "{stopped}");
    let last = newest();
    assert_eq!(wait(&format!("state=stopped&from_event_id={last}")).status, 408, "nothing since");
    assert_eq!(wait("state=stopped&from_event_id=nonsense").status, 400);
}
