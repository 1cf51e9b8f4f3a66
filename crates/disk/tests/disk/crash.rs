//! Death at every durable write: whatever the moment, the next open finds no half-made thing and
//! the interrupted work can simply be done again.

use crate::common::{Bench, digest, machine};
use disk::{AttachKind, DiskStore};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::Duration;

const ROLE: &str = "DISK_TEST_LIFE";

/// The victim: one disk's whole life in the data directory named by the environment.
///
/// Only does anything when this binary was started by [`run_life`].
#[test]
fn life() {
    let Some(data) = std::env::var_os(ROLE) else { return };
    let store = DiskStore::open(Path::new(&data)).unwrap();
    store.create(&machine(1), 1, &digest(1)).unwrap();
    let held = store.lock(&machine(1), AttachKind::HostFs, Duration::ZERO).unwrap();
    drop(held.reset().unwrap());
    store.create(&machine(2), 1, &digest(2)).unwrap();
    store.remove(&machine(1)).unwrap();
    store.quarantine_unknown(&[].into()).unwrap();
}

fn run_life(data: &Path, variable: &str, value: &str) -> ExitStatus {
    Command::new(std::env::current_exe().expect("it has a path"))
        .args(["--exact", "crash::life", "--nocapture"])
        .env(ROLE, data)
        .env(variable, value)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .status()
        .expect("the test binary starts")
}

/// What must hold whenever the store opens.
fn validate(store: &DiskStore, data: &Path) {
    assert_eq!(std::fs::read_dir(data.join("tmp/disk")).unwrap().count(), 0);
    for machine in store.list().unwrap() {
        let record = store.record(&machine).unwrap();
        let length = std::fs::metadata(store.disk_path(&machine)).unwrap().len();
        assert_eq!(length, record.size_bytes);
    }
}

#[test]
fn death_at_every_durable_write_leaves_a_store_that_opens() {
    let bench = Bench::new();
    let log = bench.data.path().join("log");
    assert!(run_life(bench.data.path(), "DORMOUSE_FAILPOINT_LOG", log.to_str().unwrap()).success());
    let n_points = std::fs::read_to_string(log).unwrap().lines().count();
    assert!(n_points >= 10, "{n_points} failpoints");
    for n in 1..=n_points {
        let bench = Bench::new();
        let ended = run_life(bench.data.path(), "DORMOUSE_FAILPOINT", &n.to_string());
        assert_eq!(ended.signal(), Some(9), "at failpoint {n}");
        let store = DiskStore::open(bench.data.path()).unwrap();
        validate(&store, bench.data.path());
        assert!(run_life(bench.data.path(), "NONE", "").success(), "again after failpoint {n}");
        validate(&DiskStore::open(bench.data.path()).unwrap(), bench.data.path());
    }
}

#[test]
fn a_full_disk_is_told_and_leaves_nothing() {
    for n in 1..=4 {
        let bench = Bench::new();
        let ended = run_life(bench.data.path(), "DORMOUSE_DISK_FULL", &n.to_string());
        assert!(!ended.success(), "write {n} finds the disk full");
        validate(&DiskStore::open(bench.data.path()).unwrap(), bench.data.path());
    }
}
