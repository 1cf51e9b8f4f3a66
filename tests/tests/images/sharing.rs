//! Pulls side by side: who asks for the same shares a download, and layers come a few at a time.

use crate::tap::Tap;
use crate::{LARGE_BYTES, MACHINES, create, images, noise, push_with};
use serde_json::{Value, json};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::Ipv4Addr;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::thread;
use testkit::place::run;
use testkit::registry::{Access, Registry};
use testkit::{Instance, image, wait};

/// Asks for a pull, and waits for the beginning of the answer: then the pull is under way.
fn begin_pull(instance: &Instance, reference: &str) -> UnixStream {
    let endpoint = instance.endpoint().expect("it listens");
    let mut caller = UnixStream::connect(endpoint["unix"].as_str().expect("a path")).expect("open");
    let body = json!({"image": reference}).to_string();
    write!(
        caller,
        "POST /v1/images/pull HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .expect("sent");
    let mut status = [0; 12];
    caller.read_exact(&mut status).expect("an answer");
    assert_eq!(&status, b"HTTP/1.1 200");
    caller
}

#[test]
fn two_tags_of_one_image_pulled_at_once_are_one_download_and_both_known() {
    let mut registry = Registry::start(Access::Open);
    push_with(&registry, "large:first", &noise(LARGE_BYTES));
    let from = format!("docker://{}", registry.reference("large:first"));
    registry.push(&from, "large:second", &["--src-tls-verify=false"]);
    let tap = Tap::before(registry.port(), Ipv4Addr::LOCALHOST);
    let instance = Instance::start();
    let references = ["large:first", "large:second"].map(|name| tap.reference(name));
    // Documents pass, so both have asked and wait for the layer when it comes.
    tap.stop_each_after(LARGE_BYTES as u64 / 8);
    let answers = references.each_ref().map(|name| begin_pull(&instance, name));
    tap.break_and_open();
    for (name, mut answer) in references.iter().zip(answers) {
        let mut lines = String::new();
        answer.read_to_string(&mut lines).expect("an answer");
        let last = lines.lines().rfind(|line| line.contains("\"done\"")).expect("it ends well");
        let last: Value = serde_json::from_str(last).expect("a line of JSON");
        assert_eq!(last["image"]["name"], name.as_str(), "each under its own name");
    }
    let n_passed = tap.n_passed();
    assert!(n_passed < LARGE_BYTES as u64 * 5 / 4, "{n_passed} bytes for one download");
    let [image] = &images(&instance)[..] else { panic!("one image") };
    for reference in &references {
        assert!(image["tags"].to_string().contains(reference), "{reference}: {image}");
    }
    registry.stop();
    for reference in &references {
        let reply = create(&instance, reference);
        let told = reply.header("dormouse-image").expect("it is told").to_owned();
        assert!(told.starts_with("cached; reason="), "{told}");
        drop(reply.expect(200));
    }
}

#[test]
fn no_more_than_three_layers_of_an_image_come_at_once() {
    let registry = Registry::start(Access::Open);
    let dir = tempfile::tempdir().expect("a directory");
    let layout = format!("{}:image", dir.path().join("layout").display());
    let tarball = image::busybox_tarball(dir.path(), &[]);
    run(Command::new("skopeo")
        .args(["copy", "--quiet", "--insecure-policy"])
        .args([&format!("tarball:{}", tarball.display()), &format!("oci:{layout}")]));
    let content = noise(8 << 20);
    for (n, part) in content.chunks(1 << 20).enumerate() {
        let file = dir.path().join("part");
        fs::write(&file, part).expect("a file can be written");
        let name = format!("/part-{n}");
        run(Command::new("umoci").args(["insert", "--image", &layout]).arg(&file).arg(name));
    }
    registry.push(&format!("oci:{layout}"), "web", &[]);
    let tap = Tap::before(registry.port(), Ipv4Addr::LOCALHOST);
    let instance = Instance::start();
    // Layers begin, and none of the larger ones ends before as many have begun as may.
    tap.stop_each_after(256 << 10);
    let mut answer = begin_pull(&instance, &tap.reference("web"));
    wait::eventually("three layers come", || (tap.n_clients() >= 3).then_some(()));
    tap.open();
    let mut lines = String::new();
    answer.read_to_string(&mut lines).expect("an answer");
    assert!(lines.contains(r#""status":"done""#), "{lines}");
    // Connections are used again: eight would mean that all the large layers came at once.
    assert!(tap.n_clients() < 8, "{} connections", tap.n_clients());
}

#[test]
fn twenty_creates_of_an_absent_image_are_one_download() {
    let registry = Registry::start(Access::Open);
    push_with(&registry, "large", &noise(LARGE_BYTES));
    let tap = Tap::before(registry.port(), Ipv4Addr::LOCALHOST);
    let instance = Instance::start();
    instance.ensure_app();
    let body = json!({"config": {"image": tap.reference("large")}, "skip_launch": true});
    thread::scope(|scope| {
        let creates: Vec<_> =
            (0..20).map(|_| scope.spawn(|| instance.post(MACHINES, &body).expect(200))).collect();
        for created in creates {
            let machine = created.join().expect("created");
            instance.wait_for(machine["id"].as_str().expect("an id"), "stopped");
        }
    });
    let n_passed = tap.n_passed();
    assert!(n_passed < LARGE_BYTES as u64 * 5 / 4, "{n_passed} bytes for one download");
    let [image] = &images(&instance)[..] else { panic!("one image") };
    assert_eq!(image["machine_count"], 20, "{image}");
}

#[test]
fn a_caller_who_leaves_does_not_end_the_pull() {
    let registry = Registry::start(Access::Open);
    push_with(&registry, "large", &noise(LARGE_BYTES));
    let tap = Tap::before(registry.port(), Ipv4Addr::LOCALHOST);
    let instance = Instance::start();
    tap.stop_after(LARGE_BYTES as u64 / 2);
    let caller = begin_pull(&instance, &tap.reference("large"));
    tap.wait_until_it_stops();
    drop(caller);
    tap.break_and_open();
    wait::eventually("the image is here", || (images(&instance).len() == 1).then_some(()));
}
