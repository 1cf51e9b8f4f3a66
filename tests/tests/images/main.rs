//! Images from the world: real registries on loopback, with images that `skopeo` pushed.

mod access;
mod command;
mod import;
mod places;
mod prune;
mod pulls;
mod sharing;
mod tap;
mod tenants;

use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use testkit::http::Refusal;
use testkit::place::run;
use testkit::registry::Registry;
use testkit::{Instance, Reply, http, image};

/// Path at which machines are created.
const MACHINES: &str = "/v1/apps/test/machines";

/// Large enough that a pull can be stopped in the middle of a layer, in bytes.
const LARGE_BYTES: usize = 16 << 20;

/// Pushes a busybox whose file `/marker` says `text`.
#[track_caller]
fn push(registry: &Registry, name: &str, text: &str) {
    push_with(registry, name, text.as_bytes());
}

/// Pushes a busybox with these bytes as its file `/marker`.
#[track_caller]
fn push_with(registry: &Registry, name: &str, marker: &[u8]) {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("content");
    std::fs::write(&file, marker).expect("a file can be written");
    let tarball = image::busybox_tarball(dir.path(), &[("marker", &file)]);
    registry.push(&format!("tarball:{}", tarball.display()), name, &[]);
}

/// Pushes a busybox with a label and a program of its own in its config.
#[track_caller]
fn push_labelled(registry: &Registry, name: &str, label: (&str, &str), program: &[&str]) {
    let dir = tempfile::tempdir().expect("a directory");
    let layout = busybox_layout(dir.path());
    let mut config = Command::new("umoci");
    config.args(["config", "--image", &layout]);
    config.arg(format!("--config.label={}={}", label.0, label.1));
    config.args(program.iter().map(|word| format!("--config.cmd={word}")));
    run(&mut config);
    registry.push(&format!("oci:{layout}"), name, &[]);
}

/// A busybox as an OCI layout in `dir`; its name as skopeo and umoci take it.
fn busybox_layout(dir: &Path) -> String {
    let tarball = image::busybox_tarball(dir, &[]);
    let layout = format!("{}:image", dir.join("layout").display());
    run(Command::new("skopeo")
        .args(["copy", "--quiet", "--insecure-policy"])
        .args([&format!("tarball:{}", tarball.display()), &format!("oci:{layout}")]));
    layout
}

/// Bytes that do not compress.
fn noise(n_bytes: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    })
    .flatten()
    .take(n_bytes)
    .collect()
}

/// Sends a request with headers as the owner.
#[track_caller]
fn request(instance: &Instance, target: &str, headers: &[(&str, &str)], body: &Value) -> Reply {
    let endpoint = instance.endpoint().expect("it listens");
    let socket = Path::new(endpoint["unix"].as_str().expect("a path"));
    let body = body.to_string().into_bytes();
    http::request(socket, "POST", target, headers, &body).expect("an answer")
}

/// Asks for a pull; the whole answer.
#[track_caller]
fn ask(instance: &Instance, reference: &str, headers: &[(&str, &str)]) -> Reply {
    request(instance, "/v1/images/pull", headers, &json!({"image": reference}))
}

/// The lines of a pull's answer.
#[track_caller]
fn lines(reply: &Reply) -> Vec<Value> {
    assert_eq!(reply.status, 200, "{}", reply.text);
    reply.text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

/// Pulls an image; the last line, which says that it is done.
#[track_caller]
fn pull(instance: &Instance, reference: &str) -> Value {
    pull_with(instance, reference, &[])
}

/// As [`pull`], with headers.
#[track_caller]
fn pull_with(instance: &Instance, reference: &str, headers: &[(&str, &str)]) -> Value {
    let mut lines = lines(&ask(instance, reference, headers));
    let last = lines.pop().expect("a last line");
    assert_eq!(last["status"], "done", "{last}");
    last
}

/// Creates a machine from `image` that sleeps; the whole answer.
#[track_caller]
fn create(instance: &Instance, image: &str) -> Reply {
    instance.ensure_app();
    let config = json!({"image": image, "init": {"exec": ["/bin/sleep", "600"]}});
    instance.post(MACHINES, &json!({"config": config}))
}

/// What the file `/marker` of a machine from `image` says.
#[track_caller]
fn marker(instance: &Instance, image: &str) -> String {
    let machine = create(instance, image).expect(200);
    let id = machine["id"].as_str().expect("an id");
    instance.wait_for(id, "started");
    instance.sh(id, "cat /marker")
}

/// Checks status and code of a refusal, and that it says what to do.
#[track_caller]
fn refused(reply: Reply, status: u16, code: &str) -> Refusal {
    let text = reply.text.clone();
    let refusal = reply.refusal(status);
    assert_eq!(refusal.code, code, "{text}");
    assert!(!refusal.hint.is_empty(), "{text}");
    refusal
}

/// The images of the host.
#[track_caller]
fn images(instance: &Instance) -> Vec<Value> {
    instance.get("/v1/images").expect(200).as_array().expect("a list").clone()
}
