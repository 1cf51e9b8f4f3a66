//! The rules in the kernel: there when they must be, gone when their machine is, and not touched by a
//! start.

use crate::waiting;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;
use testkit::{Builder, Instance};
use tests::{fixture, rules};

#[test]
fn rules_live_as_long_as_their_machine() {
    let instance = fixture::with_busybox();
    let id = waiting(&instance, &json!({"egress": {"default": "deny"}}));
    assert_eq!(rules::of_machines(&instance).len(), 1);
    instance.stop_machine(&id);
    instance.kill_control();
    assert_eq!(rules::of_machines(&instance).len(), 1, "a machine that sleeps keeps its rules");
    fixture::destroy(&instance, &id);
    assert_eq!(rules::of_machines(&instance), []);
    instance.kill_control();
    assert_eq!(rules::of_machines(&instance), []);
}

/// A destroyed machine's rules do not come back, at whatever step control died.
#[test]
fn a_destroy_that_is_cut_short_leaves_no_rules() {
    let instance = fixture::with_busybox();
    for round in 0..4_u64 {
        let id = waiting(&instance, &json!({"egress": {"default": "deny"}}));
        instance.stop_machine(&id);
        std::thread::scope(|scope| {
            let (instance, path) = (&instance, Instance::path(&id));
            // It may be answered or not.
            scope.spawn(move || drop(instance.try_request("DELETE", &path, b"")));
            fixture::let_pass(Duration::from_millis(3 * round));
            instance.kill_control();
        });
        drop(instance.try_request("DELETE", &Instance::path(&id), b""));
        instance.wait_for(&id, "destroyed");
        assert_eq!(rules::of_machines(&instance), [], "round {round}");
    }
}

/// `nft` takes longer than a whole start.
#[test]
fn a_start_changes_no_rule() {
    let dir = tempfile::tempdir().expect("a directory");
    let runs = dir.path().join("runs");
    let path = counting_nft(dir.path(), &runs);
    let instance = fixture::with_image(Builder::default().env("PATH", &path), &[]);
    let n_runs = || fs::read_to_string(&runs).unwrap_or_default().lines().count();
    let plain = waiting(&instance, &json!({}));
    let before = n_runs();
    assert!(before > 0, "the router's rules are loaded by it");
    // Not by `waiting`, which also asks for the app, and that looks after its network's rules.
    let create = |more: Value| {
        let init = json!({"init": {"exec": ["/bin/sleep", "600"]}});
        let mut config = fixture::config("", &init);
        config.as_object_mut().expect("an object").extend(more.as_object().expect("one").clone());
        let made = instance.post("/v1/apps/test/machines", &json!({"config": config})).expect(200);
        let id = made["id"].as_str().expect("an id").to_owned();
        instance.wait_for(&id, "started");
        id
    };
    drop(create(json!({})));
    assert_eq!(n_runs(), before, "a machine without rules needs none");
    let ruled = create(json!({"egress": {"default": "deny"}}));
    assert_eq!(n_runs(), before + 1, "once at its creation");
    for id in [&plain, &ruled] {
        instance.stop_machine(id);
        instance.start_machine(id);
    }
    assert_eq!(n_runs(), before + 1);
    fixture::destroy(&instance, &plain);
    assert_eq!(n_runs(), before + 1);
    fixture::destroy(&instance, &ruled);
    assert_eq!(n_runs(), before + 2, "and once at its end");
}

/// A `PATH` on which `nft` leaves a line in `runs` each time.
fn counting_nft(dir: &Path, runs: &Path) -> String {
    let path = std::env::var("PATH").expect("a PATH");
    let find = |place: &str| Path::new(place).join("nft");
    let nft = path.split(':').map(find).find(|nft| nft.exists()).expect("nftables");
    let script = dir.join("nft");
    let text =
        format!("#!/bin/sh\necho \"$@\" >> {}\nexec {} \"$@\"\n", runs.display(), nft.display());
    fs::write(&script, text).expect("written");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("executable");
    format!("{}:{path}", dir.display())
}
