//! Instances side by side, networks side by side, and data directories that are not to be shared.

use serde_json::json;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use testkit::{Builder, Instance, instance};
use tests::{fixture, host};

/// Port of servers inside machines.
const PORT: &str = "7000";

const SERVE: &str = "exec guest-probe serve 7000 hello";

fn address(instance: &Instance, id: &str, key: &str) -> String {
    let machine = instance.get(&Instance::path(id)).expect(200);
    machine[key].as_str().expect("an address").to_owned()
}

/// Connects from a machine; what the other side says, or how it failed.
fn connect(instance: &Instance, id: &str, to: &str) -> Result<String, String> {
    let outcome = instance.exec(id, &[fixture::PROBE, "connect", to, PORT]);
    let text = |key: &str| outcome[key].as_str().expect("text").trim().to_owned();
    if outcome["exit_code"] == 0 { Ok(text("stdout")) } else { Err(text("stderr")) }
}

/// Namespaces and cgroups of a machine's program.
fn rooms(instance: &Instance, id: &str) -> BTreeSet<String> {
    let pid = host::process(instance, id, "guest-probe").pid;
    let namespaces = ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"].map(|name| {
        let link = std::fs::read_link(format!("/proc/{pid}/ns/{name}")).expect("a namespace");
        link.display().to_string()
    });
    let cgroups = host::of(pid, "cgroup");
    let own = cgroups.lines().filter(|line| line.contains("/dormouse-")).map(str::to_owned);
    namespaces.into_iter().chain(own).collect()
}

#[test]
fn two_instances_side_by_side_never_meet() {
    let (one, two) = (fixture::with_probe(), fixture::with_probe());
    assert_ne!(one.tag(), two.tag());
    let serve = |instance: &Instance| fixture::started(instance, SERVE, &json!({}));
    let (here, there) = (serve(&one), serve(&two));
    let caller = fixture::started(&one, "exec sleep 600", &json!({}));

    // Both draw from the same range: the same address is two machines, and each meets its own.
    let own = address(&one, &here, "private_ipv4");
    testkit::eventually("the server serves", || {
        connect(&one, &caller, &own).ok().filter(|said| said == "hello")
    });
    let v6_there = address(&two, &there, "private_ip");
    let refused = connect(&one, &caller, &v6_there).expect_err("another instance");
    assert!(refused.contains("unreachable") || refused.contains("No route"), "{refused}");

    testkit::eventually("both programs run", || {
        let runs =
            |instance, id| host::processes(instance, id).iter().any(|p| p.comm == "guest-probe");
        (runs(&one, &here) && runs(&two, &there)).then_some(())
    });
    let (rooms_here, rooms_there) = (rooms(&one, &here), rooms(&two, &there));
    assert!(rooms_here.is_disjoint(&rooms_there), "{rooms_here:?} {rooms_there:?}");
    let elsewhere = format!("{}/{here}", testkit::instance::APP);
    assert_eq!(two.get(&format!("/v1/apps/{elsewhere}")).status, 404);

    // The end of one is nothing to the other.
    drop(one);
    assert_eq!(two.state(&there), "started");
    assert_eq!(two.sh(&there, "echo here"), "here\n");
    two.stop_machine(&there);
    two.start_machine(&there);
    let caller = fixture::started(&two, "exec sleep 600", &json!({}));
    testkit::eventually("the server serves", || connect(&two, &caller, &v6_there).ok());
}

#[test]
fn machines_of_one_network_meet_by_ipv4_and_ipv6_and_no_others() {
    let instance = fixture::with_probe();
    let caller = fixture::started(&instance, "exec sleep 600", &json!({}));
    let neighbour = fixture::started(&instance, SERVE, &json!({}));
    let made = |app: &str, network: Option<&str>| {
        let mut wish = json!({"name": app, "org_slug": "personal"});
        if let Some(network) = network {
            wish["network"] = json!(network);
        }
        drop(instance.post("/v1/apps", &wish).expect(201));
        let config = fixture::config(SERVE, &json!({}));
        let machines = format!("/v1/apps/{app}/machines");
        let machine = instance.post(&machines, &json!({ "config": config })).expect(200);
        let id = machine["id"].as_str().expect("an id");
        drop(instance.get(&format!("{machines}/{id}/wait?state=started")).expect(200));
        machine
    };
    let (same, other) = (made("same", None), made("other", Some("elsewhere")));
    for key in ["private_ipv4", "private_ip"] {
        let near = address(&instance, &neighbour, key);
        let same = same[key].as_str().expect("an address").to_owned();
        for to in [near, same] {
            let said =
                testkit::eventually("the server serves", || connect(&instance, &caller, &to).ok());
            assert_eq!(said, "hello", "{to}");
        }
        let to = other[key].as_str().expect("an address");
        let refused = connect(&instance, &caller, to).expect_err("another network");
        assert!(refused.contains("No route to host"), "{to}: {refused}");
    }
    let outside = connect(&instance, &caller, "192.0.2.77").expect_err("there is no way out");
    assert!(!outside.is_empty());
}

#[test]
fn addresses_stay_through_stops_and_are_nobody_elses() {
    let instance = fixture::with_probe();
    let ids: Vec<String> =
        (0..4).map(|_| fixture::started(&instance, "exec sleep 600", &json!({}))).collect();
    let of_all =
        |key: &str| -> Vec<String> { ids.iter().map(|id| address(&instance, id, key)).collect() };
    let before = (of_all("private_ipv4"), of_all("private_ip"));
    let distinct: BTreeSet<&String> = before.0.iter().chain(&before.1).collect();
    assert_eq!(distinct.len(), 2 * ids.len());
    ids.iter().for_each(|id| instance.stop_machine(id));
    ids.iter().rev().for_each(|id| instance.start_machine(id));
    assert_eq!((of_all("private_ipv4"), of_all("private_ip")), before);
    for (id, v4) in ids.iter().zip(&before.0) {
        let shown = instance.sh(id, "ip -4 address show dev eth0");
        assert!(shown.contains(&format!("{v4}/")), "{v4}: {shown}");
    }
}

/// Seconds after which a daemon that should have refused to start is ended.
const REFUSAL_MAX_S: &str = "20";

/// Runs a daemon that is not to start; what it says.
fn daemon_that_refuses(data_dir: &Path) -> String {
    let output = Command::new("timeout")
        .arg(REFUSAL_MAX_S)
        .arg(instance::binary("dormouse"))
        .arg(format!("--data-dir={}", data_dir.display()))
        .args(["up", "--listen=127.0.0.1:0"])
        .output()
        .expect("the daemon's binary can be run");
    assert!(!output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_second_daemon_on_a_data_directory_is_refused() {
    let instance = fixture::with_busybox();
    let id = fixture::started(&instance, "exec sleep 600", &json!({}));
    let said = daemon_that_refuses(instance.data_dir());
    assert!(said.contains("is in use by another daemon"), "{said}");
    assert!(said.contains(&instance.data_dir().display().to_string()), "{said}");
    assert_eq!(instance.sh(&id, "echo here"), "here\n");
    assert_eq!(instance.state(&id), "started");
}

#[test]
fn a_data_directory_of_a_newer_release_is_refused_and_left_alone() {
    let instance = fixture::with_busybox();
    let id = fixture::started(&instance, "exec sleep 600", &json!({}));
    drop(instance.sh(&id, "echo kept > /kept; sync"));
    let dir = instance.into_dir();
    let data_dir = dir.path().join("data");
    let store = data_dir.join("dormouse.db");
    let known = schema_version(&store);
    set_schema_version(&store, known + 1);
    let before = std::fs::read(&store).expect("the store");
    let said = daemon_that_refuses(&data_dir);
    let expected = format!("schema {}, this release knows up to {known}", known + 1);
    assert!(said.contains(&expected), "{said}");
    assert!(before == std::fs::read(&store).expect("the store"), "the store was written to");

    set_schema_version(&store, known);
    let instance = Builder::default().in_dir(dir).start();
    instance.start_machine(&id);
    assert_eq!(instance.sh(&id, "cat /kept"), "kept\n");
}

/// Where SQLite keeps `user_version`: big-endian, at byte 60 of the file.
/// Source: the SQLite database file format, 1.3.
const USER_VERSION_AT: usize = 60;

fn schema_version(store: &Path) -> u32 {
    let bytes = std::fs::read(store).expect("the store");
    let field = bytes[USER_VERSION_AT..USER_VERSION_AT + 4].try_into().expect("four bytes");
    u32::from_be_bytes(field)
}

fn set_schema_version(store: &Path, version: u32) {
    let mut bytes = std::fs::read(store).expect("the store");
    bytes[USER_VERSION_AT..USER_VERSION_AT + 4].copy_from_slice(&version.to_be_bytes());
    std::fs::write(store, bytes).expect("the store");
}

#[test]
fn a_file_that_is_no_store_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    let data_dir = dir.path().join("data");
    std::fs::create_dir(&data_dir).expect("a directory");
    let store = data_dir.join("dormouse.db");
    std::fs::write(&store, "somebody's diary\n".repeat(300)).expect("a file");
    let said = daemon_that_refuses(&data_dir);
    assert!(said.contains("dormouse.db is not a database"), "{said}");
    let text = std::fs::read_to_string(&store).expect("a file");
    assert!(text.starts_with("somebody's diary"), "it was overwritten");
}

#[test]
fn a_program_does_not_see_the_daemons_variables() {
    let secret = ("PATH_OF_THE_HOST", "nothing of this is for machines");
    let instance = fixture::with_image(Builder::default().env(secret.0, secret.1), &[]);
    let id = fixture::started(&instance, "env; exec sleep 600", &json!({"env": {"OWN": "yes"}}));
    fixture::wait_for_line(&instance, &id, "OWN=yes");
    let seen = instance.sh(&id, "env; cat /proc/*/environ 2>/dev/null || true");
    assert!(!seen.contains(secret.1), "{seen}");
    assert!(!instance.log(&id).iter().any(|line| line.contains(secret.1)));
}
