//! Machines that sleep and wait for visitors, and what the tests ask about them.

use serde_json::{Value, json};
use std::path::Path;
use testkit::instance::{APP, binary};
use testkit::{Builder, Instance, Reply, leftovers};
use tests::fixture::{self, with_image};

/// Public port of HTTP services.
pub(crate) const HTTP: u16 = 8080;

/// Public port of services behind TLS.
pub(crate) const TLS: u16 = 8443;

/// Public port of services of plain bytes.
pub(crate) const RAW: u16 = 9000;

/// Port inside machines.
pub(crate) const INTERNAL: u16 = 80;

/// Name of the app [`APP`].
pub(crate) const HOST: &str = "test.localhost";

/// Path of the server inside.
pub(crate) const SERVER: &str = "/bin/guest-server";

/// An instance whose image has the server.
#[track_caller]
pub(crate) fn house() -> Instance {
    with_image(
        Builder::default(),
        &[("bin/guest-server", binary("guest-server").as_path() as &Path)],
    )
}

/// A service of one public port.
pub(crate) fn service(port: u16, handlers: &[&str]) -> Value {
    json!({"internal_port": INTERNAL, "ports": [{"port": port, "handlers": handlers}]})
}

/// The HTTP service of most tests.
pub(crate) fn http() -> Value {
    service(HTTP, &["http"])
}

/// `base` with the fields of `more`.
pub(crate) fn with(mut base: Value, more: &Value) -> Value {
    let fields = base.as_object_mut().expect("an object");
    for (name, value) in more.as_object().expect("an object") {
        fields.insert(name.clone(), value.clone());
    }
    base
}

/// The HTTP service with more options of its port.
pub(crate) fn http_port(more: &Value) -> Value {
    let port = with(json!({"port": HTTP, "handlers": ["http"]}), more);
    json!({"internal_port": INTERNAL, "ports": [port]})
}

/// A machine of [`APP`] that sleeps, runs `server` when it wakes and has these services.
#[track_caller]
pub(crate) fn sleeper(instance: &Instance, server: &str, services: &[Value]) -> String {
    sleeper_of(instance, APP, server, &json!({"services": services}))
}

/// The same of any app, with more of a configuration.
#[track_caller]
pub(crate) fn sleeper_of(instance: &Instance, app: &str, server: &str, more: &Value) -> String {
    let made = instance.post("/v1/apps", &json!({"name": app, "org_slug": "personal"}));
    assert!(matches!(made.status, 201 | 422), "{}", made.text);
    let argv: Vec<&str> = std::iter::once(SERVER).chain(server.split(' ')).collect();
    let config = with(json!({"image": "busybox", "init": {"exec": argv}}), more);
    let body = json!({"config": config, "skip_launch": true});
    let machine = instance.post(&format!("/v1/apps/{app}/machines"), &body).expect(200);
    let id = machine["id"].as_str().expect("an id").to_owned();
    // A visitor that is there already may have woken it by now.
    instance.wait_for_route(&id, |machine| {
        let state = &machine["route"]["state"]["state"];
        state == "asleep" || state == "up"
    });
    instance.wait_until_served(&id);
    id
}

/// How often the machine was started, and by whom: the causes, oldest first.
#[track_caller]
pub(crate) fn starts(instance: &Instance, id: &str) -> Vec<Value> {
    let events = fixture::events(instance, id);
    let starts = events.iter().rev().filter(|event| event["type"] == "start");
    let begun = starts.filter(|event| event["status"] == "starting");
    begun.map(|event| event["cause"].clone()).collect()
}

/// Checks that the machine runs once.
#[track_caller]
pub(crate) fn expect_one_init(instance: &Instance, id: &str) {
    let inits = leftovers::inits_of(&instance.tag(), id);
    assert_eq!(inits.len(), 1, "{inits:?}");
}

/// Parts of a wake, as the answer tells them in milliseconds.
#[track_caller]
pub(crate) fn timing(reply: &Reply) -> Vec<(String, f64)> {
    let text = reply.header("server-timing").unwrap_or_else(|| panic!("no timing: {reply:?}"));
    let parts = text.split(", ").map(|part| {
        let (name, ms) = part.split_once(";dur=").expect("NAME;dur=MS");
        (name.to_owned(), ms.parse().expect("a number"))
    });
    parts.collect()
}

/// Checks that the answer came from this machine.
#[track_caller]
pub(crate) fn expect_from(reply: &Reply, id: &str) {
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert_eq!(reply.header("x-machine"), Some(id), "{}", reply.text);
}
