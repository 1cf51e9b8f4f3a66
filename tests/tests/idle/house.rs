//! Machines with visitors and a clock that can be set.

use serde_json::{Value, json};
use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::path::Path;
use tempfile::TempDir;
use testkit::instance::binary;
use testkit::{Builder, Instance, Reply, eventually};
use tests::fixture::with_image;

/// Public port of all services here.
pub(crate) const PORT: u16 = 8080;

/// Path of the server inside.
const SERVER: &str = "/bin/guest-server";

/// What is set forward so that whatever began before may rest: more than 30 s.
const LATER_MS: i64 = 40_000;

/// An instance with a clock of its own.
pub(crate) struct House {
    pub(crate) instance: Instance,
    clock: TempDir,
    shift_ms: std::cell::Cell<i64>,
}

/// A machine with visitors.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) app: String,
    pub(crate) id: String,
}

impl House {
    #[track_caller]
    pub(crate) fn new() -> Self {
        let clock = TempDir::new().expect("a directory");
        let file = clock.path().join("shift");
        fs::write(&file, "0").expect("a file can be written");
        let builder = Builder::default().env("DORMOUSE_CLOCK", file.to_str().expect("plain"));
        let server = binary("guest-server");
        let instance = with_image(builder, &[("bin/guest-server", server.as_path() as &Path)]);
        Self { instance, clock, shift_ms: std::cell::Cell::new(0) }
    }

    /// Sets the clock forward, so that whatever is up may rest by now.
    pub(crate) fn pass(&self) {
        self.shift_ms.set(self.shift_ms.get() + LATER_MS);
        let (next, file) = (self.clock.path().join("next"), self.clock.path().join("shift"));
        fs::write(&next, self.shift_ms.get().to_string()).expect("a file can be written");
        fs::rename(next, file).expect("a file can be renamed");
    }

    /// Waits until control knows that the last visitor has left. That there was one it knows before:
    /// what the proxy says of itself comes by the same link.
    #[track_caller]
    pub(crate) fn wait_until_left(&self, place: &Place) {
        drop(self.instance.get("/v1/proxy").expect(200));
        eventually("the visitor has left", || {
            let keepers = self.keepers(place);
            let is_there = keepers.iter().any(|by| by == "requests" || by == "connections");
            (!is_there).then_some(())
        });
    }

    /// A machine of the app that sleeps and serves HTTP when somebody visits it.
    #[track_caller]
    pub(crate) fn sleeper(&self, app: &str, service: &Value, more: &Value) -> Place {
        let made = self.instance.post("/v1/apps", &json!({"name": app, "org_slug": "personal"}));
        assert!(matches!(made.status, 201 | 422), "{}", made.text);
        let mut config = json!({"image": "busybox", "services": [served(service)],
            "init": {"exec": [SERVER, "http", "80"]}, "restart": {"policy": "no"}});
        merge(&mut config, more);
        let body = json!({"config": config, "skip_launch": true});
        let machine = self.instance.post(&format!("/v1/apps/{app}/machines"), &body).expect(200);
        let id = machine["id"].as_str().expect("an id").to_owned();
        let place = Place { app: app.to_owned(), id };
        self.wait_for(&place, "stopped");
        let is_asleep = |known: &Value| known["route"]["state"]["state"] == "asleep";
        self.instance.wait_for_route(&place.id, is_asleep);
        self.instance.wait_until_served(&place.id);
        place
    }

    /// The same, woken by a visitor.
    #[track_caller]
    pub(crate) fn awake(&self, app: &str, service: &Value, more: &Value) -> Place {
        let place = self.sleeper(app, service, more);
        self.visit(&place);
        place
    }

    pub(crate) fn path(place: &Place) -> String {
        format!("/v1/apps/{}/machines/{}", place.app, place.id)
    }

    #[track_caller]
    pub(crate) fn get(&self, place: &Place, rest: &str) -> Value {
        self.instance.get(&format!("{}{rest}", Self::path(place))).expect(200)
    }

    /// One request about its self.
    #[track_caller]
    pub(crate) fn ask(&self, place: &Place, method: &str, rest: &str, body: &Value) -> Reply {
        let target = format!("{}/self{rest}", Self::path(place));
        self.instance.request_with(method, &target, &[], body)
    }

    #[track_caller]
    pub(crate) fn wait_for(&self, place: &Place, state: &str) {
        let reply =
            self.instance.get(&format!("{}/wait?state={state}&timeout=60", Self::path(place)));
        assert_eq!(reply.status, 200, "{}\n{}", reply.text, self.get(place, ""));
    }

    #[track_caller]
    pub(crate) fn state(&self, place: &Place) -> String {
        self.get(place, "")["state"].as_str().expect("a state").to_owned()
    }

    /// A visitor who asks this machine alone, and is answered by it.
    #[track_caller]
    pub(crate) fn visit(&self, place: &Place) -> Reply {
        let headers = [("fly-force-instance-id", place.id.as_str())];
        let reply = self.instance.visit_with(PORT, &host(place), "/", &headers);
        assert_eq!(reply.status, 200, "{}", reply.text);
        assert_eq!(reply.header("x-machine"), Some(place.id.as_str()), "{}", reply.text);
        reply
    }

    /// A visitor who asks this machine and gets no answer; ends when dropped.
    #[track_caller]
    pub(crate) fn hang(&self, place: &Place) -> TcpStream {
        let mut stream = self.instance.connect(PORT);
        let (host, id) = (host(place), &place.id);
        let head =
            format!("GET /hang HTTP/1.1\r\nhost: {host}\r\nfly-force-instance-id: {id}\r\n\r\n");
        stream.write_all(head.as_bytes()).expect("sent");
        stream
    }

    /// Why it is as it is.
    #[track_caller]
    pub(crate) fn explain(&self, place: &Place) -> Value {
        self.ask(place, "GET", "/explain", &Value::Null).expect(200)
    }

    /// The words for who keeps it awake.
    #[track_caller]
    pub(crate) fn keepers(&self, place: &Place) -> Vec<String> {
        let told = self.explain(place);
        let awake = told["awake"].as_array().cloned().unwrap_or_default();
        awake.iter().map(|keeper| keeper["by"].as_str().expect("a word").to_owned()).collect()
    }

    /// Waits until this keeps it awake.
    #[track_caller]
    pub(crate) fn wait_for_keeper(&self, place: &Place, by: &str) -> Value {
        eventually(by, || {
            let told = self.explain(place);
            let awake = told["awake"].as_array()?;
            awake.iter().find(|keeper| keeper["by"] == by).cloned()
        })
    }

    /// The newest event of this kind that says why.
    #[track_caller]
    pub(crate) fn cause_of(&self, place: &Place, kind: &str) -> Value {
        let events = self.get(place, "/events?limit=50");
        let events = events.as_array().expect("a list");
        let found = events.iter().find(|e| e["type"] == kind && e["cause"].is_object());
        found.unwrap_or_else(|| panic!("no {kind} with a cause in {events:#?}")).clone()
    }
}

pub(crate) fn host(place: &Place) -> String {
    format!("{}.localhost", place.app)
}

/// Rests a second after its last visitor left.
pub(crate) fn stops() -> Value {
    json!({"autostop": "stop", "idle_timeout_s": 1})
}

/// The one service of a machine, with its door.
fn served(more: &Value) -> Value {
    let ports = json!([{"port": PORT, "handlers": ["http"]}]);
    let mut service = json!({"internal_port": 80, "ports": ports});
    merge(&mut service, more);
    service
}

fn merge(base: &mut Value, more: &Value) {
    let fields = base.as_object_mut().expect("an object");
    for (name, value) in more.as_object().into_iter().flatten() {
        fields.insert(name.clone(), value.clone());
    }
}
