//! What comes from an open registry, and what happens when it changes, goes away or dies.

use crate::tap::Tap;
use crate::{
    LARGE_BYTES, MACHINES, ask, busybox_layout, create, images, lines, marker, noise, pull, push,
    push_labelled, push_with, refused,
};
use serde_json::{Value, json};
use std::fs;
use std::net::Ipv4Addr;
use std::process::Command;
use std::thread;
use testkit::Instance;
use testkit::place::run;
use testkit::registry::{Access, Registry};

#[test]
fn images_come_by_tag_and_by_digest() {
    let registry = Registry::start(Access::Open);
    push(&registry, "team/web:1", "one");
    let instance = Instance::start();
    let by_tag = registry.reference("team/web:1");

    let pulled = pull(&instance, &by_tag);
    let image = &pulled["image"];
    let digest = image["digest"].as_str().expect("a digest").to_owned();
    assert_eq!(pulled["is_new"], true, "{pulled}");
    assert_eq!(image["name"], by_tag.as_str());
    assert_eq!((&image["is_private"], &image["source"]), (&json!(false), &json!("registry")));
    assert_eq!(pull(&instance, &by_tag)["is_new"], false);

    let machine = create(&instance, &by_tag).expect(200);
    let expected = json!({
        "registry": registry.address(), "repository": "team/web", "tag": "1", "digest": digest,
        "labels": {}
    });
    assert_eq!(machine["image_ref"], expected);
    assert_eq!(marker(&instance, &by_tag), "one");

    let other = Instance::start();
    let by_digest = registry.reference(&format!("team/web@{digest}"));
    assert_eq!(pull(&other, &by_digest)["image"]["digest"], digest.as_str());
    assert_eq!(marker(&other, &by_digest), "one");
}

#[test]
fn the_first_answer_to_a_create_knows_what_an_absent_image_says() {
    let registry = Registry::start(Access::Open);
    let policy = r#"{"rules":[]}"#;
    push_labelled(&registry, "web", ("dev.dormouse.policy", policy), &["/bin/sleep", "600"]);
    let tap = Tap::before(registry.port(), Ipv4Addr::LOCALHOST);
    let instance = Instance::start();
    instance.ensure_app();
    // Manifest and config may pass, and nothing of the layer.
    tap.stop_after(8 * 1024);
    let body = json!({"config": {"image": tap.reference("web")}});
    let machine = instance.post(MACHINES, &body).expect(200);
    let labels = json!({"dev.dormouse.policy": policy});
    assert_eq!(machine["image_ref"]["labels"], labels, "{machine}");
    assert_eq!(images(&instance), Vec::<Value>::new(), "it is still on its way");
    let id = machine["id"].as_str().expect("an id");
    let shown = instance.get(&Instance::path(id)).expect(200);
    assert_eq!(shown["image_ref"]["labels"], labels, "{shown}");
    tap.wait_until_it_stops();
    tap.break_and_open();
    // The program is the image's own.
    instance.wait_for(id, "started");
    assert!(instance.sh(id, "ps").contains("/bin/sleep 600"));
}

#[test]
fn an_image_shows_all_its_names_and_machines_keep_theirs() {
    let registry = Registry::start(Access::Open);
    push(&registry, "team/web:1", "one");
    let copied = |to: &str| {
        let [from, to] = ["team/web:1", to].map(|n| format!("docker://{}", registry.reference(n)));
        let plain = ["--src-tls-verify=false", "--dest-tls-verify=false"];
        run(Command::new("skopeo")
            .args(["copy", "--quiet", "--insecure-policy"])
            .args(plain)
            .args([from, to]));
    };
    copied("team/web:stable");
    let instance = Instance::start();
    let [first, second] = ["team/web:1", "team/web:stable"].map(|name| registry.reference(name));
    let one = create(&instance, &first).expect(200);
    instance.wait_for(one["id"].as_str().expect("an id"), "started");
    assert_eq!(pull(&instance, &second)["image"]["name"], second.as_str());
    let other = create(&instance, &second).expect(200);

    let [image] = &images(&instance)[..] else { panic!("one image") };
    assert_eq!((&image["name"], &image["tags"]), (&json!(first), &json!([first, second])));
    for (machine, tag) in [(&one, "1"), (&other, "stable")] {
        let shown = instance.get(&Instance::path(machine["id"].as_str().expect("an id")));
        assert_eq!(shown.expect(200)["image_ref"]["tag"], tag);
    }
    let listed = instance.cli(&["image", "list"]);
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(listed.contains(&first) && listed.contains(&second), "{listed}");

    push(&registry, "team/web:1", "two");
    drop(pull(&instance, &first));
    let moved = images(&instance).into_iter().find(|image| image["tags"] == json!([second]));
    let moved = moved.expect("the old image has one name left");
    assert!(moved["name"].as_str().expect("a name").contains("@sha256:"), "{moved}");
}

#[test]
fn the_lines_of_a_pull_tell_how_far_it_is() {
    let registry = Registry::start(Access::Open);
    push_with(&registry, "large", &noise(LARGE_BYTES));
    let tap = Tap::before(registry.port(), Ipv4Addr::LOCALHOST);
    let instance = Instance::start();
    let lines = lines(&ask(&instance, &tap.reference("large"), &[]));
    let statuses: Vec<_> =
        lines.iter().map(|line| line["status"].as_str().expect("a word")).collect();
    assert_eq!(statuses.last(), Some(&"done"), "{statuses:?}");
    let order = ["resolving", "downloading", "unpacking", "packing", "done"];
    let places: Vec<_> =
        statuses.iter().map(|s| order.iter().position(|o| o == s).expect("known")).collect();
    assert!(places.is_sorted(), "{statuses:?}");
    for line in lines.iter().filter(|line| line["status"] == "downloading") {
        let number = |name: &str| line[name].as_u64().expect("a number");
        assert!(number("done_bytes") <= number("total_bytes"), "{line}");
        assert!(line["layers"].is_array() && line["bytes_per_s"].is_u64(), "{line}");
    }
}

#[test]
fn a_tag_that_moved_counts_for_the_next_create() {
    let registry = Registry::start(Access::Open);
    let instance = Instance::start();
    let reference = registry.reference("web");
    push(&registry, "web", "old");
    let old = create(&instance, &reference).expect(200)["id"].as_str().expect("an id").to_owned();
    instance.wait_for(&old, "started");
    push(&registry, "web", "new");
    assert_eq!(marker(&instance, &reference), "new");
    assert_eq!(instance.sh(&old, "cat /marker"), "old");
}

#[test]
fn without_its_registry_what_is_here_is_used_and_told() {
    let mut registry = Registry::start(Access::Open);
    push(&registry, "web", "here");
    let instance = Instance::start();
    let reference = registry.reference("web");
    drop(pull(&instance, &reference));
    let fresh = create(&instance, &reference);
    assert_eq!(fresh.header("dormouse-image"), None);
    registry.stop();

    let pulled = pull(&instance, &reference);
    assert!(pulled["cached_because"].as_str().expect("a reason").contains("cannot connect"));
    let reply = create(&instance, &reference);
    let told = reply.header("dormouse-image").expect("it is told").to_owned();
    assert!(told.starts_with("cached; reason=") && told.contains("cannot connect"), "{told}");
    assert_eq!(marker(&instance, &reference), "here");

    let absent = ask(&instance, &registry.reference("absent"), &[]);
    assert_eq!(absent.body["retryable"], true, "{}", absent.text);
    drop(refused(absent, 502, "registry_unreachable"));
}

#[test]
fn what_the_registry_no_longer_has_is_not_found_but_by_its_digest() {
    let registry = Registry::start(Access::Open);
    push(&registry, "web:1", "kept");
    let instance = Instance::start();
    let reference = registry.reference("web:1");
    let digest = pull(&instance, &reference)["image"]["digest"].as_str().expect("text").to_owned();
    let deleted = Command::new("skopeo")
        .args(["delete", "--tls-verify=false", &format!("docker://{reference}")])
        .output()
        .expect("`skopeo` is installed");
    assert!(deleted.status.success(), "{}", String::from_utf8_lossy(&deleted.stderr));

    drop(refused(create(&instance, &reference), 404, "image_not_found"));
    drop(refused(ask(&instance, &reference, &[]), 404, "image_not_found"));
    let by_digest = registry.reference(&format!("web@{digest}"));
    assert_eq!(marker(&instance, &by_digest), "kept");
}

#[test]
fn content_of_another_digest_is_refused_and_fetched_anew_the_next_time() {
    let registry = Registry::start(Access::Open);
    push_with(&registry, "web", &noise(1 << 20));
    let instance = Instance::start();
    let reference = registry.reference("web");
    let manifest = run(Command::new("skopeo").args([
        "inspect",
        "--raw",
        "--tls-verify=false",
        &format!("docker://{reference}"),
    ]));
    let manifest: Value = serde_json::from_str(&manifest).expect("a manifest");
    let layer = manifest["layers"][0]["digest"].as_str().expect("a digest");
    let file = registry.blob_file(layer.trim_start_matches("sha256:"));
    let whole = fs::read(&file).expect("the layer");
    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 1;
    fs::write(&file, damaged).expect("the layer can be damaged");

    let last = lines(&ask(&instance, &reference, &[])).pop().expect("a last line");
    assert_eq!((&last["status"], &last["code"]), (&json!("error"), &json!("image_digest_differs")));
    assert!(last["hint"].is_string(), "{last}");
    assert_eq!(images(&instance), Vec::<Value>::new());

    fs::write(&file, whole).expect("the layer can be mended");
    assert_eq!(pull(&instance, &reference)["is_new"], true, "wrong bytes are not gone on with");
}

#[test]
fn an_image_for_another_kind_of_host_is_refused_by_pull_and_create() {
    let registry = Registry::start(Access::Open);
    let dir = tempfile::tempdir().expect("a directory");
    let layout = busybox_layout(dir.path());
    run(Command::new("umoci").args(["config", "--image", &layout, "--architecture", "s390x"]));
    registry.push(&format!("oci:{layout}"), "web", &[]);
    let instance = Instance::start();
    let reference = registry.reference("web");
    for reply in [ask(&instance, &reference, &[]), create(&instance, &reference)] {
        let refusal = refused(reply, 422, "image_no_variant");
        assert!(refusal.error.contains("s390x"), "{refusal:?}");
    }
    assert_eq!(images(&instance), Vec::<Value>::new());
}

#[test]
fn a_registry_killed_in_the_middle_of_a_blob_and_back_again_is_no_failure() {
    let mut registry = Registry::start(Access::Open);
    push_with(&registry, "large", &noise(LARGE_BYTES));
    let tap = Tap::before(registry.port(), Ipv4Addr::LOCALHOST);
    let instance = Instance::start();
    let reference = tap.reference("large");
    tap.stop_after(LARGE_BYTES as u64 / 2);
    thread::scope(|scope| {
        let pulling = scope.spawn(|| pull(&instance, &reference));
        tap.wait_until_it_stops();
        registry.stop();
        registry.start_again();
        tap.break_and_open();
        assert_eq!(pulling.join().expect("it ends well")["is_new"], true);
    });
    let n_passed = tap.n_passed();
    assert!(n_passed < LARGE_BYTES as u64 * 5 / 4, "{n_passed} bytes: it went on where it was");
}

#[test]
fn a_pull_that_failed_goes_on_where_it_was() {
    let mut registry = Registry::start(Access::Open);
    push_with(&registry, "large", &noise(LARGE_BYTES));
    let tap = Tap::before(registry.port(), Ipv4Addr::LOCALHOST);
    let instance = Instance::start();
    let reference = tap.reference("large");
    tap.stop_after(LARGE_BYTES as u64 / 2);
    thread::scope(|scope| {
        let pulling = scope.spawn(|| lines(&ask(&instance, &reference, &[])));
        tap.wait_until_it_stops();
        registry.stop();
        tap.break_and_open();
        let last = pulling.join().expect("an answer").pop().expect("a last line");
        assert_eq!(last["status"], "error", "{last}");
        assert_eq!(
            (&last["code"], &last["retryable"]),
            (&json!("registry_unreachable"), &json!(true))
        );
        assert!(last["hint"].is_string() && last["error"].is_string(), "{last}");
    });
    assert_eq!(images(&instance), Vec::<Value>::new());
    registry.start_again();
    assert_eq!(pull(&instance, &reference)["is_new"], true);
    let n_passed = tap.n_passed();
    assert!(n_passed < LARGE_BYTES as u64 * 5 / 4, "{n_passed} bytes: it went on where it was");
}
