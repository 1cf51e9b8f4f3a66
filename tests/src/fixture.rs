//! What many tests begin and end with.

use serde_json::{Value, json};
use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;
use testkit::{Asked, Builder, Instance, Reply, instance, leftovers, wait};

/// Path of the probe (`src/bin/guest-probe`) in images made by [`with_probe`].
pub const PROBE: &str = "/bin/guest-probe";

/// An instance with the image `busybox`.
///
/// # Panics
/// It does not start.
#[must_use]
#[track_caller]
pub fn with_busybox() -> Instance {
    with_image(Builder::default(), &[])
}

/// An instance with the image `busybox`, and the probe in it.
///
/// # Panics
/// It does not start.
#[must_use]
#[track_caller]
pub fn with_probe() -> Instance {
    with_image(Builder::default(), &[("bin/guest-probe", &instance::binary("guest-probe"))])
}

/// An instance with the image `busybox` and `extra` files in it.
///
/// # Panics
/// It does not start.
#[must_use]
#[track_caller]
pub fn with_image(builder: Builder, extra: &[(&str, &Path)]) -> Instance {
    let instance = builder.start();
    instance.import_busybox(extra);
    instance
}

/// A machine that runs `script` in a shell, once its program runs; `more` is added to its
/// configuration.
///
/// # Panics
/// It does not start.
#[must_use]
#[track_caller]
pub fn started(instance: &Instance, script: &str, more: &Value) -> String {
    let id = instance.create_with(&json!({"config": config(script, more)}));
    instance.wait_for(&id, "started");
    id
}

/// Waits until a program in the machine listens at a TCP port: one that has been started may not
/// have come that far.
///
/// # Panics
/// None does in time.
#[track_caller]
pub fn wait_until_it_listens(instance: &Instance, id: &str, port: u16) {
    wait::eventually("the program listens", || {
        let sockets = instance.get(&format!("{}/listening", Instance::path(id))).expect(200);
        sockets.to_string().contains(&format!(":{port}\"")).then_some(())
    });
}

/// A copy of an instance's directory that is nobody's now.
///
/// # Panics
/// It cannot be copied.
#[must_use]
pub fn copy_of_data(template: &Path) -> TempDir {
    let dir = tempfile::Builder::new().prefix("dormouse-crash-").tempdir().expect("a directory");
    let copied = Command::new("cp")
        .args(["--archive", "--sparse=always", "--reflink=auto"])
        .arg(template.join("data"))
        .arg(dir.path())
        .status();
    assert!(copied.is_ok_and(|status| status.success()), "the data directory cannot be copied");
    dir
}

/// The configuration of a machine that runs `script` in a shell, with `more` on top.
///
/// # Panics
/// `more` is no object.
#[must_use]
pub fn config(script: &str, more: &Value) -> Value {
    let mut config = json!({"image": "busybox", "init": {"exec": ["/bin/sh", "-c", script]}});
    let fields = config.as_object_mut().expect("an object");
    for (name, value) in more.as_object().expect("an object") {
        fields.insert(name.clone(), value.clone());
    }
    config
}

/// Calls over TCP with a token.
///
/// # Panics
/// There is no answer.
#[must_use]
#[track_caller]
pub fn with_token(
    instance: &Instance,
    token: &str,
    method: &str,
    target: &str,
    body: &Value,
) -> Reply {
    let endpoint = instance.endpoint().expect("it listens");
    let address = endpoint["tcp"].as_str().expect("an address");
    let stream = TcpStream::connect(address).expect("it listens");
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str())];
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let asked = Asked { method, host: address, target, headers: &headers, body: body.as_bytes() };
    asked.over(stream).expect("an answer")
}

/// Destroys the machine and checks that nothing of it is left.
///
/// # Panics
/// It is not destroyed, or something is left.
#[track_caller]
pub fn destroy(instance: &Instance, id: &str) {
    let path = Instance::path(id);
    drop(instance.delete(&format!("{path}?force=true")).expect(200));
    instance.wait_for(id, "destroyed");
    expect_nothing_left(instance, id);
}

/// Checks that nothing is left of a machine that is destroyed.
///
/// # Panics
/// Something is.
#[track_caller]
pub fn expect_nothing_left(instance: &Instance, id: &str) {
    let left = leftovers::of_machine(&instance.tag(), instance.data_dir(), id);
    assert!(left.is_empty(), "left of {id}: {left:#?}");
}

/// The machine's events, newest first.
///
/// # Panics
/// They cannot be read.
#[must_use]
#[track_caller]
pub fn events(instance: &Instance, id: &str) -> Vec<Value> {
    let events = instance.get(&format!("{}/events?limit=50", Instance::path(id))).expect(200);
    events.as_array().expect("a list").clone()
}

/// The exit of the machine's last run.
///
/// # Panics
/// There is none.
#[must_use]
#[track_caller]
pub fn last_exit(instance: &Instance, id: &str) -> Value {
    let events = events(instance, id);
    let exit = events.iter().find(|event| event["type"] == "exit");
    exit.unwrap_or_else(|| panic!("no exit in {events:#?}"))["request"].clone()
}

/// Waits until the program has written `line` to its log.
///
/// # Panics
/// It has not in time.
#[track_caller]
pub fn wait_for_line(instance: &Instance, id: &str, line: &str) {
    wait::eventually(&format!("`{line}` in the log"), || {
        instance.log(id).iter().any(|text| text == line).then_some(())
    });
}

/// Pauses for the length of a measured interval: the one use of time passing that is no wait.
pub fn let_pass(interval: Duration) {
    std::thread::sleep(interval);
}

/// Processes that stand still (SIGSTOP) until this is dropped: what they were told waits.
#[derive(Debug)]
pub struct Held(Vec<u32>);

impl Held {
    /// Holds these processes.
    ///
    /// # Panics
    /// One of them has ended.
    #[must_use]
    pub fn processes(pids: Vec<u32>) -> Self {
        pids.iter().for_each(|pid| signal(*pid, "STOP"));
        Self(pids)
    }

    /// Holds all children of control: the shims that wait for a run, and those that have one.
    ///
    /// # Panics
    /// Control does not run.
    #[must_use]
    pub fn children_of(control: u32) -> Self {
        let tasks = fs::read_dir(format!("/proc/{control}/task")).expect("control runs");
        let children = tasks.flatten().flat_map(|task| {
            let text = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            text.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<u32>>()
        });
        Self::processes(children.collect())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.iter().for_each(|pid| signal(*pid, "CONT"));
    }
}

fn signal(pid: u32, name: &str) {
    let status = Command::new("kill").args(["-s", name, &pid.to_string()]).status();
    assert!(status.is_ok_and(|status| status.success()), "SIG{name} for {pid}");
}
