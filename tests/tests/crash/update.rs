//! An update to another image and other egress rules: control dies at each point of it, its steps run
//! twice and fail once.

use crate::control_points::expect_known_files;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use tempfile::TempDir;
use testkit::{Builder, Instance, image, report};
use tests::fixture::{config, copy_of_data, destroy, started};
use tests::rules;

/// The steps of an update's plan, by the numbers at which they are reached.
const N_STEPS: usize = 3;

/// Where the machine may speak to after the update.
const ALLOWED: &str = "198.51.100.0/24";

/// As in `control_points`.
const MISSED_MAX: usize = 5;

/// A data directory with two images and a stopped machine on the first; and the machine's id.
fn template() -> (TempDir, String) {
    let instance = Builder::default().start();
    instance.import_busybox(&[]);
    let marker = image::script(instance.dir(), "marker", "echo other");
    let tarball = image::busybox_tarball(instance.dir(), &[("bin/marker", &marker)]);
    let body = json!({"path": tarball, "name": "other"});
    drop(instance.post("/v1/images/import", &body).expect(201));
    let egress = json!({"egress": {"default": "deny"}});
    let id = started(&instance, "exec sleep 1000", &egress);
    drop(instance.sh(&id, "echo kept > /root/kept; sync"));
    instance.stop_machine(&id);
    (instance.into_dir(), id)
}

/// What the machine becomes.
fn other() -> Value {
    let rule = json!({"action": "allow", "to": ALLOWED});
    let egress = json!({"default": "deny", "rules": [rule]});
    config("exec sleep 1000", &json!({"image": "other", "egress": egress}))
}

/// Asks for the update and waits until the machine runs; whether somebody was there to the end.
fn update(instance: &Instance, id: &str) -> bool {
    let path = Instance::path(id);
    let body = json!({"config": other(), "skip_launch": false});
    let asked = instance.try_request("POST", &path, body.to_string().as_bytes());
    let target = format!("{path}/wait?state=started&timeout=60");
    let ran = asked.and_then(|_| instance.try_request("GET", &target, b""));
    ran.is_ok_and(|reply| reply.status == 200)
}

/// Checks that the machine runs the other image on a fresh disk and by its new rules, with the old disk
/// kept once; then that all of it goes with the machine.
#[track_caller]
fn check(instance: &Instance, id: &str, point: &str) {
    assert_eq!(instance.sh(id, "marker; ls /root"), "other\n", "{point}");
    let dir = instance.data_dir().join("machines").join(id).join("checkpoints");
    let kept: Vec<_> = fs::read_dir(dir).into_iter().flatten().flatten().collect();
    assert_eq!(kept.len(), 1, "{point}: {kept:?}");
    assert!(kept[0].path().join("disk.ext4").exists(), "{point}");
    let chains = rules::of_machines(instance);
    assert!(chains.len() == 1 && chains[0].rules.contains(ALLOWED), "{point}: {chains:?}");
    destroy(instance, id);
    assert_eq!(rules::of_machines(instance), [], "{point}");
    expect_known_files(instance.data_dir(), point);
    for image in instance.get("/v1/images").expect(200).as_array().expect("a list") {
        let digest = image["digest"].as_str().expect("a digest");
        assert_eq!(instance.delete(&format!("/v1/images/{digest}")).status, 200, "{point}");
    }
}

fn points(log: &Path) -> Vec<String> {
    let text = fs::read_to_string(log).expect("the points are logged");
    text.lines().filter_map(|line| line.split_once(' ')).map(|(_, name)| name.to_owned()).collect()
}

#[test]
fn an_update_to_another_image_survives_a_death_at_each_of_its_points() {
    let (template, id) = template();
    let dir = copy_of_data(template.path());
    let log = dir.path().join("failpoints");
    let log_path = log.to_str().expect("a plain path").to_owned();
    let instance = Builder::default()
        .unsupervised()
        .in_dir(dir)
        .env("DORMOUSE_FAILPOINT_LOG", &log_path)
        .start();
    let n_before = points(&log).len();
    assert!(update(&instance, &id), "nothing is planted");
    let points = points(&log);
    check(&instance, &id, "no point");
    drop(instance);

    let n_missed = points
        .iter()
        .enumerate()
        .skip(n_before)
        .filter(|(n, point)| !dies_and_goes_on(template.path(), &id, n + 1, point))
        .count();
    assert!(n_missed <= MISSED_MAX, "{n_missed} of {} points were not reached", points.len());
    let n_tried = points.len() - n_before - n_missed;
    report::line("crash", &format!("crash-points {n_tried} of an update"));
}

/// Lets control die at its `n`th point; whether it did.
fn dies_and_goes_on(template: &Path, id: &str, n: usize, point: &str) -> bool {
    let mut instance = Builder::default()
        .unsupervised()
        .in_dir(copy_of_data(template))
        .env("DORMOUSE_FAILPOINT", &n.to_string())
        .spawn();
    // What begins beside the listeners may pass its points before them, in another order each time.
    let died = !(instance.listens_or_ends() && update(&instance, id));
    if died {
        assert_eq!(instance.wait_for_its_end(), None, "point {n} ({point}): it ended by itself");
        instance.start_again();
        instance.wait_for(id, "settled");
        let shown = instance.get(&Instance::path(id)).expect(200);
        if shown["image_ref"]["repository"] == "other" {
            // It was accepted, so it is done.
            assert_eq!(shown["state"], "started", "point {n} ({point})");
        } else {
            assert!(update(&instance, id), "point {n} ({point}): it cannot be done again");
        }
    }
    check(&instance, id, &format!("point {n} ({point})"));
    drop(instance.into_dir());
    died
}

#[test]
fn each_step_of_an_update_may_run_twice_and_fail_once() {
    let (template, id) = template();
    let mut faults = vec!["twice".to_owned()];
    faults.extend((1..=N_STEPS).map(|n| format!("fail-once:{n}")));
    for fault in faults {
        let instance = Builder::default()
            .in_dir(copy_of_data(template.path()))
            .env("DORMOUSE_STEP_FAULT", &fault)
            .start();
        assert!(update(&instance, &id), "{fault}");
        check(&instance, &id, &fault);
    }
}

#[test]
fn an_update_that_cannot_be_done_is_taken_up_again_when_its_cause_has_gone() {
    let (template, id) = template();
    for step in ["update.image", "update.keep", "update.disk"] {
        let mut instance = Builder::default()
            .in_dir(copy_of_data(template.path()))
            .env("DORMOUSE_STEP_FAULT", &format!("fail-always:{step}"))
            .start();
        let body = json!({"config": other()});
        drop(instance.post(&Instance::path(&id), &body).expect(200));
        instance.wait_for(&id, "failed");
        instance.start_again();
        drop(instance.post(&format!("{}/start", Instance::path(&id)), &Value::Null).expect(200));
        check(&instance, &id, step);
    }
}
