//! A machine is created from an image that is still in a registry: control dies at each point of
//! that, the disk is full at each of its writes, the registry is slow, and many ask at once.

use crate::control_points::expect_known_files;
use crate::pull_proxy::Proxy;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::thread;
use tempfile::TempDir;
use testkit::registry::{Access, Registry};
use testkit::{Builder, Instance, Reply, image, report, wait};
use tests::fixture::{config, copy_of_data, destroy, expect_nothing_left};

/// Name of the machine.
const NAME: &str = "pulled";

/// As in `control_points`: blobs come side by side, so their points come in any order.
const MISSED_MAX: usize = 5;

/// Writes that the scenario cannot have: the loop must end before.
const WRITES_MAX: usize = 200;

/// Creates that ask for the same image at once.
const N_AT_ONCE: usize = 20;

/// A file in the image that no compression makes small.
const NOISE_BYTES: usize = 8 << 20;

/// A registry with the image `busybox:1`.
fn registry(extra: &[(&str, &Path)]) -> Registry {
    let dir = tempfile::tempdir().expect("a directory");
    let tarball = image::busybox_tarball(dir.path(), extra);
    let registry = Registry::start(Access::Open);
    registry.push(&format!("tarball:{}", tarball.display()), "busybox:1", &[]);
    registry
}

/// A data directory with an app and no image.
fn template() -> TempDir {
    let instance = Builder::default().start();
    instance.ensure_app();
    instance.into_dir()
}

fn wish(reference: &str) -> Value {
    json!({"name": NAME, "config": config("exec sleep 1000", &json!({"image": reference}))})
}

/// Asks for the machine; `None` when nobody is there to answer.
fn create(instance: &Instance, reference: &str) -> Option<Reply> {
    let body = wish(reference).to_string();
    instance.try_request("POST", "/v1/apps/test/machines", body.as_bytes()).ok()
}

/// Asks for the machine and waits until it runs; its id, if somebody was there to the end.
fn run(instance: &Instance, reference: &str) -> Option<String> {
    let reply = create(instance, reference)?;
    let id = reply.expect(200)["id"].as_str().expect("an id").to_owned();
    let target = format!("{}/wait?state=started&timeout=60", Instance::path(&id));
    let waited = instance.try_request("GET", &target, b"").ok()?;
    assert_eq!(waited.status, 200, "{}", waited.text);
    Some(id)
}

/// The machine of this name, if it is there.
fn machine(instance: &Instance) -> Option<String> {
    let list = instance.get("/v1/apps/test/machines").expect(200);
    let mut machines = list.as_array().expect("a list").iter();
    let machine = machines.find(|machine| machine["name"] == NAME)?;
    machine["id"].as_str().map(str::to_owned)
}

/// Checks that the machine runs its image, that this is here once, and that all of it goes.
#[track_caller]
fn check_and_remove(instance: &Instance, id: &str, point: &str) {
    assert_eq!(instance.sh(id, "echo up"), "up\n", "{point}");
    let shown = instance.get(&Instance::path(id)).expect(200);
    assert_eq!(shown["image_ref"]["repository"], "busybox", "{point}: {shown}");
    let images = instance.get("/v1/images").expect(200);
    let digests: Vec<_> =
        images.as_array().expect("a list").iter().map(|image| image["digest"].clone()).collect();
    assert_eq!(digests, [shown["image_ref"]["digest"].clone()], "{point}");
    destroy(instance, id);
    expect_nothing_left(instance, id);
    expect_known_files(instance.data_dir(), point);
    expect_empty(instance.data_dir(), &["blobs/partial", "blobs/pulls"], point);
    let digest = digests[0].as_str().expect("a digest");
    assert_eq!(instance.delete(&format!("/v1/images/{digest}")).status, 200, "{point}");
    expect_empty(instance.data_dir(), &["blobs/sha256", "images", "quarantine/images"], point);
}

#[track_caller]
fn expect_empty(data_dir: &Path, places: &[&str], point: &str) {
    for place in places {
        let Ok(entries) = fs::read_dir(data_dir.join(place)) else { continue };
        let names: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        assert!(names.is_empty(), "{point}: {names:?}");
    }
}

/// Names of the points so far.
fn points(log: &Path) -> Vec<String> {
    let text = fs::read_to_string(log).expect("the points are logged");
    text.lines().filter_map(|line| line.split_once(' ')).map(|(_, name)| name.to_owned()).collect()
}

#[test]
fn a_create_that_pulls_survives_a_death_at_each_of_its_points() {
    let registry = registry(&[]);
    let reference = registry.reference("busybox:1");
    let template = template();
    let dir = copy_of_data(template.path());
    let log = dir.path().join("failpoints");
    let log_path = log.to_str().expect("a plain path").to_owned();
    let instance = Builder::default()
        .unsupervised()
        .in_dir(dir)
        .env("DORMOUSE_FAILPOINT_LOG", &log_path)
        .start();
    let n_before = points(&log).len();
    let id = run(&instance, &reference).expect("nothing is planted");
    let points = points(&log);
    check_and_remove(&instance, &id, "no point");
    drop(instance);
    for name in ["pull.resolved", "pull.blob.end", "pull.derived", "pull.recorded"] {
        assert!(points.iter().any(|point| point == name), "{name} is not passed");
    }

    let dies = |n: usize| dies_and_goes_on(template.path(), &reference, n + 1, &points[n]);
    let n_missed = (n_before..points.len()).filter(|n| !dies(*n)).count();
    assert!(n_missed <= MISSED_MAX, "{n_missed} of {} points were not reached", points.len());
    let n_tried = points.len() - n_before - n_missed;
    report::line("crash", &format!("crash-points {n_tried} of a pull"));
}

/// Lets control die at its `n`th point; whether it did.
fn dies_and_goes_on(template: &Path, reference: &str, n: usize, point: &str) -> bool {
    let point = format!("point {n} ({point})");
    let mut instance = Builder::default()
        .unsupervised()
        .in_dir(copy_of_data(template))
        .env("DORMOUSE_FAILPOINT", &n.to_string())
        .spawn();
    // What begins beside the listeners may pass its points before them, in another order each time.
    let before = instance.listens_or_ends().then(|| run(&instance, reference)).flatten();
    let died = before.is_none();
    let id = before.unwrap_or_else(|| {
        assert_eq!(instance.wait_for_its_end(), None, "{point}: it ended by itself");
        instance.start_again();
        let accepted = machine(&instance).inspect(|id| instance.wait_for(id, "started"));
        accepted.or_else(|| run(&instance, reference)).expect("nothing is planted any more")
    });
    check_and_remove(&instance, &id, &point);
    drop(instance.into_dir());
    died
}

#[test]
fn a_full_disk_at_any_write_of_a_pull_is_told_and_the_next_pull_works() {
    let registry = registry(&[]);
    let reference = registry.reference("busybox:1");
    let template = template();
    for n in 1..WRITES_MAX {
        if fill_at(n, template.path(), &reference) {
            report::line("crash", &format!("disk-full: {} writes of a pull tried", n - 1));
            return;
        }
    }
    panic!("the scenario makes more than {WRITES_MAX} writes");
}

/// Lets the disk be full from the `n`th write on; whether the scenario ends before that.
fn fill_at(n: usize, template: &Path, reference: &str) -> bool {
    let mut instance = Builder::default()
        .unsupervised()
        .in_dir(copy_of_data(template))
        .env("DORMOUSE_DISK_FULL", &n.to_string())
        .spawn();
    if !instance.listens_or_ends() {
        assert_eq!(instance.wait_for_its_end(), Some(1), "write {n}");
        instance.start_again();
        drop(instance.into_dir());
        return false;
    }
    let reply = create(&instance, reference).expect("it does not die of a full disk");
    let id = reply.body["id"].as_str().map(str::to_owned);
    // With a disk that stays full nothing can be noted, not even the failure.
    let is_up = id.as_ref().is_some_and(|id| {
        let wait = format!("{}/wait?state=started&timeout=2", Instance::path(id));
        instance.get(&wait).status == 200
    });
    if !is_up {
        expect_told(&instance, &reply, id.as_deref(), n);
    }
    instance.start_again();
    let id = machine(&instance).inspect(|id| take_up(&instance, id));
    let id = id.or_else(|| run(&instance, reference)).expect("there is room again");
    check_and_remove(&instance, &id, &format!("write {n}"));
    drop(instance.into_dir());
    is_up
}

/// The caller is told of the full disk, at once or by the machine's failure.
#[track_caller]
fn expect_told(instance: &Instance, reply: &Reply, id: Option<&str>, n: usize) {
    let Some(id) = id else {
        assert_eq!((reply.status, &reply.body["code"]), (507, &json!("disk_full")), "write {n}");
        return;
    };
    let shown = instance.get(&Instance::path(id)).expect(200);
    let is_known = shown["state"] != "failed" || shown["failure"].to_string().contains("space");
    assert!(is_known, "write {n}: {shown}");
}

/// Starts a machine whose preparation was not finished, unless that has happened by itself.
fn take_up(instance: &Instance, id: &str) {
    instance.wait_for(id, "settled");
    if instance.state(id) != "started" {
        let start = format!("{}/start", Instance::path(id));
        drop(instance.post(&start, &Value::Null).expect(200));
        instance.wait_for(id, "started");
    }
}

#[test]
fn twenty_creates_of_one_absent_image_fetch_each_blob_once() {
    let registry = registry(&[]);
    let proxy = Proxy::to(registry.port());
    let reference = proxy.reference("busybox:1");
    let instance = Builder::default().start();
    instance.ensure_app();
    let body = json!({"config": config("exec sleep 1000", &json!({"image": reference}))});
    let ids: Vec<String> = thread::scope(|scope| {
        let create = || scope.spawn(|| instance.create_with(&body));
        let creates: Vec<_> = (0..N_AT_ONCE).map(|_| create()).collect();
        creates.into_iter().map(|create| create.join().expect("it is created")).collect()
    });
    for id in &ids {
        instance.wait_for(id, "started");
    }
    let blobs = proxy.blobs();
    let distinct: HashSet<_> = blobs.iter().collect();
    assert_eq!((blobs.len(), distinct.len()), (2, 2), "a config and a layer: {blobs:#?}");
    for id in &ids {
        destroy(&instance, id);
    }
}

#[test]
fn a_pull_goes_on_where_it_was_when_control_died_in_the_middle_of_a_blob() {
    let dir = tempfile::tempdir().expect("a directory");
    let noise = dir.path().join("noise");
    fs::write(&noise, noise_bytes()).expect("a file can be written");
    let registry = registry(&[("noise", &noise)]);
    let proxy = Proxy::to(registry.port());
    let reference = proxy.reference("busybox:1");
    let mut instance = Builder::default().start();
    instance.ensure_app();
    let half = u64::try_from(NOISE_BYTES / 2).expect("a small number");
    proxy.allow(half);
    let reply = create(&instance, &reference).expect("an answer").expect(200);
    let id = reply["id"].as_str().expect("an id");
    let partials = instance.data_dir().join("blobs/partial");
    wait::eventually("half of the blob is here", || {
        let sizes = fs::read_dir(&partials).ok()?.flatten().filter_map(|file| file.metadata().ok());
        sizes.map(|file| file.len()).max().filter(|size| *size > half / 2)
    });
    instance.kill_control();
    proxy.allow(u64::MAX);
    instance.start_again();
    instance.wait_for(id, "started");
    let total = proxy.answered();
    let whole = u64::try_from(NOISE_BYTES).expect("a small number");
    assert!(total < whole + whole / 2, "{total} bytes for an image of little more than {whole}");
    check_and_remove(&instance, id, "a resumed pull");
}

#[test]
fn an_image_that_was_damaged_or_lost_is_pulled_again_for_a_new_machine() {
    let registry = registry(&[]);
    let reference = registry.reference("busybox:1");
    let mut instance = Builder::default().start();
    instance.ensure_app();
    let pull = json!({"image": reference}).to_string();
    let pulled = instance.try_request("POST", "/v1/images/pull", pull.as_bytes());
    let text = pulled.expect("an answer").text;
    assert!(text.contains(r#""status":"done""#), "{text}");
    let images = instance.data_dir().join("images");
    let dir = fs::read_dir(&images).expect("a directory").flatten().next().expect("an image");
    let erofs = dir.path().join("image.erofs");
    let mut bytes = fs::read(&erofs).expect("it can be read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&erofs, bytes).expect("it can be written");
    // What was made by this process is not read again.
    instance.start_again();
    let id = run(&instance, &reference).expect("it is pulled again");
    assert_eq!(instance.sh(&id, "echo up"), "up\n");
    let put_away = fs::read_dir(instance.data_dir().join("quarantine/images"));
    assert_eq!(
        put_away.expect("a directory").count(),
        1,
        "the damaged one is kept to be looked at"
    );
    destroy(&instance, &id);
    fs::remove_dir_all(instance.data_dir().join("quarantine/images")).expect("it can be removed");

    let digest = instance.get("/v1/images").expect(200)[0]["digest"].clone();
    let target = format!("/v1/images/{}", digest.as_str().expect("a digest"));
    drop(instance.delete(&target).expect(200));
    let id = run(&instance, &reference).expect("it is pulled again");
    check_and_remove(&instance, &id, "a lost image");
}

/// Bytes that no compression makes small. Source of the numbers: Numerical Recipes, "quick and
/// dirty" generators.
fn noise_bytes() -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    };
    (0..NOISE_BYTES).map(|_| next()).collect()
}
