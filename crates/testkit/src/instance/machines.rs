//! What tests do with machines again and again.

use super::Instance;
use crate::{http, image};
use serde_json::{Value, json};
use std::path::Path;

/// App that [`Instance::create`] uses.
pub const APP: &str = "test";

impl Instance {
    /// Imports the busybox image as `busybox:latest`, with `extra` files.
    ///
    /// # Panics
    /// It cannot be imported.
    #[track_caller]
    pub fn import_busybox(&self, extra: &[(&str, &Path)]) {
        let tarball = image::busybox_tarball(self.dir(), extra);
        let path = tarball.to_str().expect("a plain path");
        drop(self.post("/v1/images/import", &json!({"path": path, "name": "busybox"})).expect(201));
    }

    /// Makes the app [`APP`] if it is not there.
    ///
    /// # Panics
    /// It cannot be made.
    #[track_caller]
    pub fn ensure_app(&self) {
        let made = self.post("/v1/apps", &json!({"name": APP, "org_slug": "personal"}));
        assert!(matches!(made.status, 201 | 422), "{}", made.text);
    }

    /// Creates a machine from `busybox` that runs `argv`; its id. It starts by itself.
    ///
    /// # Panics
    /// It cannot be created.
    #[must_use]
    #[track_caller]
    pub fn create(&self, argv: &[&str]) -> String {
        self.create_with(&json!({"config": {"image": "busybox", "init": {"exec": argv}}}))
    }

    /// Creates a machine; its id.
    ///
    /// # Panics
    /// It cannot be created.
    #[must_use]
    #[track_caller]
    pub fn create_with(&self, body: &Value) -> String {
        self.ensure_app();
        let machine = self.post(&format!("/v1/apps/{APP}/machines"), body).expect(200);
        machine["id"].as_str().expect("an id").to_owned()
    }

    /// Path of a machine in the API.
    #[must_use]
    pub fn path(id: &str) -> String {
        format!("/v1/apps/{APP}/machines/{id}")
    }

    /// Waits until the machine is in `state`.
    ///
    /// # Panics
    /// It is not within a minute.
    #[track_caller]
    pub fn wait_for(&self, id: &str, state: &str) {
        let target = format!("{}/wait?state={state}&timeout=60", Self::path(id));
        let reply = self.get(&target);
        assert_eq!(
            reply.status,
            200,
            "{}\nmachine: {}",
            reply.text,
            self.get(&Self::path(id)).text
        );
    }

    /// Starts the machine and waits until it runs.
    ///
    /// # Panics
    /// It does not start.
    #[track_caller]
    pub fn start_machine(&self, id: &str) {
        drop(self.post(&format!("{}/start", Self::path(id)), &Value::Null).expect(200));
        self.wait_for(id, "started");
    }

    /// Kills the machine's program and waits until it is stopped.
    ///
    /// # Panics
    /// It does not stop.
    #[track_caller]
    pub fn stop_machine(&self, id: &str) {
        let body = json!({"signal": "SIGKILL"});
        drop(self.post(&format!("{}/stop", Self::path(id)), &body).expect(200));
        self.wait_for(id, "stopped");
    }

    /// Runs a shell command in the machine; its output, when it succeeds.
    ///
    /// # Panics
    /// It fails.
    #[must_use]
    #[track_caller]
    pub fn sh(&self, id: &str, script: &str) -> String {
        let outcome = self.exec(id, &["/bin/sh", "-c", script]);
        assert_eq!(outcome["exit_code"], 0, "{script}: {outcome}");
        outcome["stdout"].as_str().expect("text").to_owned()
    }

    /// Runs a command in the machine; the whole answer.
    ///
    /// # Panics
    /// It cannot be run.
    #[must_use]
    #[track_caller]
    pub fn exec(&self, id: &str, argv: &[&str]) -> Value {
        let body = json!({"command": argv, "timeout": 30});
        self.post(&format!("{}/exec", Self::path(id)), &body).expect(200)
    }

    /// The texts of the machine's log.
    ///
    /// # Panics
    /// It cannot be read.
    #[must_use]
    #[track_caller]
    pub fn log(&self, id: &str) -> Vec<String> {
        let reply = self.get(&format!("{}/logs?tail=1000", Self::path(id)));
        assert_eq!(reply.status, 200, "{}", reply.text);
        reply
            .text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("a line of JSON"))
            .map(|line| line["text"].as_str().expect("text").to_owned())
            .collect()
    }

    /// The machine's log as it grows, from its last `tail` lines on.
    ///
    /// # Panics
    /// It cannot be read.
    #[track_caller]
    pub fn follow_log(&self, id: &str, tail: u32) -> impl Iterator<Item = Value> + use<> {
        let endpoint = self.endpoint().expect("it has listened");
        let socket = Path::new(endpoint["unix"].as_str().expect("a path"));
        let target = format!("{}/logs?tail={tail}&follow=true", Self::path(id));
        let lines = http::lines(socket, &target).expect("the log can be followed");
        lines.map(|line| serde_json::from_str(&line).expect("a line of JSON"))
    }

    /// State of a machine.
    ///
    /// # Panics
    /// It cannot be read.
    #[must_use]
    #[track_caller]
    pub fn state(&self, id: &str) -> String {
        self.get(&Self::path(id)).expect(200)["state"].as_str().expect("a state").to_owned()
    }
}
