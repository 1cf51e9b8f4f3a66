//! A process is killed while it writes: what was answered is there, nothing is there by half.

use crate::sample::{event, insert_app, machine, machine_id, started, stopped};
use crate::victim;
use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Stdio;
use store::{MachineFilter, Store, StoreError, Tx};

/// One change that touches four tables, like a step of a machine's life.
fn add_machine(tx: &Tx<'_>, n: u32) -> Result<(), StoreError> {
    tx.insert_machine(&machine(n))?;
    tx.append_event(&event(n, n))?;
    tx.put_meta(&format!("seen-{n}"), "yes")?;
    tx.next_number("machines").map(drop)
}

fn ensure_app(tx: &Tx<'_>) -> Result<(), StoreError> {
    match tx.apps()?.is_empty() {
        true => insert_app(tx),
        false => Ok(()),
    }
}

/// The machines in the store, after checking that each is whole.
#[track_caller]
fn whole_machines(store: &Store) -> BTreeSet<u32> {
    let found = store.read(|r| {
        let filter = MachineFilter { include_destroyed: true, ..MachineFilter::default() };
        let machines = r.machines(&filter)?;
        assert_eq!(r.last_number("machines")?, machines.len() as u64, "count and rows agree");
        let mut numbers = BTreeSet::new();
        for record in machines {
            let n = u32::from_str_radix(record.id.as_str(), 16).expect("a sample's id");
            assert_eq!(r.events(&record.id, 50, None)?.len(), 1, "machine {n} has its event");
            assert!(r.meta(&format!("seen-{n}"))?.is_some(), "machine {n} has its mark");
            numbers.insert(n);
        }
        for event in (0..2_000).filter(|n| !numbers.contains(n)) {
            let orphan = r.meta(&format!("seen-{event}"))?;
            assert_eq!(orphan, None, "no part of machine {event} without the rest");
        }
        Ok(numbers)
    });
    found.expect("the store reads after the crash")
}

fn acknowledged(lines: &[String]) -> BTreeSet<u32> {
    lines.iter().map(|line| line.parse().expect("a number")).collect()
}

#[test]
fn victim_writes_one_by_one() {
    let Some(dir) = victim::dir() else { return };
    let store = Store::open(&dir).expect("the store opens");
    store.write_blocking("app", ensure_app).expect("the app is there");
    for n in 1..=8 {
        store.write_blocking("add", move |tx| add_machine(tx, n)).expect("the change is made");
        victim::say(&format!("ack {n}"));
    }
    store
        .write_blocking("move", |tx| {
            tx.put_machine_state(&machine_id(1), &started(2, 1), crate::sample::NOW)?;
            tx.put_machine_state(&machine_id(1), &stopped(3), crate::sample::NOW)
        })
        .expect("two steps in one change");
    store.close().expect("the store closes");
}

#[test]
fn every_durable_write_may_be_the_last() {
    const VICTIM: &str = "crash::victim_writes_one_by_one";
    let log = tempfile::NamedTempFile::new().expect("a log");
    let log_path = log.path().to_str().expect("a plain path");
    let dry = tempfile::tempdir().expect("a directory");
    let output = victim::run(VICTIM, dry.path(), &[("DORMOUSE_FAILPOINT_LOG", log_path)]);
    assert!(output.status.success(), "the dry run ends: {output:?}");
    let n_points = std::fs::read_to_string(log.path()).expect("the log reads").lines().count();
    assert!(n_points >= 24, "migration, identity, ten commits, checkpoint; twice each");
    for point in 1..=n_points {
        die_at(VICTIM, point);
    }
    println!("crash points tried: {n_points}");
}

fn die_at(test: &str, point: usize) {
    let dir = tempfile::tempdir().expect("a directory");
    let output = victim::run(test, dir.path(), &[("DORMOUSE_FAILPOINT", &point.to_string())]);
    assert_eq!(output.status.signal(), Some(victim::SIGKILL), "point {point}: {output:?}");
    let acknowledged = acknowledged(&victim::said(&output, "ack "));
    let store = Store::open(dir.path()).expect("the store opens after the crash");
    let stored = whole_machines(&store);
    assert!(stored.is_superset(&acknowledged), "point {point}: {stored:?} of {acknowledged:?}");
    assert!(stored.len() <= acknowledged.len() + 1, "point {point}: at most the unanswered one");
    let next = 100;
    store
        .write_blocking("go on", move |tx| {
            ensure_app(tx)?;
            add_machine(tx, next)
        })
        .expect("the store goes on after the crash");
    assert!(whole_machines(&store).contains(&next));
}

#[test]
fn victim_writes_without_end() {
    let Some(dir) = victim::dir() else { return };
    let store = Store::open(&dir).expect("the store opens");
    store.write_blocking("app", ensure_app).expect("the app is there");
    let first = u32::try_from(whole_machines(&store).len()).expect("few") * 2 + 1;
    std::thread::scope(|scope| {
        for lane in 0..8 {
            let store = &store;
            scope.spawn(move || {
                for n in (first + lane..).step_by(8) {
                    let change = move |tx: &Tx<'_>| add_machine(tx, n);
                    store.write_blocking("add", change).expect("the change is made");
                    victim::say(&format!("ack {n}"));
                }
            });
        }
    });
}

#[test]
fn killed_under_load_and_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut known = BTreeSet::new();
    for round in 1..=4 {
        known.extend(kill_after(dir.path(), 60 * round));
        let store = Store::open(dir.path()).expect("the store opens after the kill");
        let stored = whole_machines(&store);
        assert!(stored.is_superset(&known), "round {round}: lost {:?}", &known - &stored);
        known = stored;
    }
}

/// Kills a writing process after `n_acks` answers; returns all answers that were given.
fn kill_after(dir: &Path, n_acks: usize) -> BTreeSet<u32> {
    let mut child = victim::command("crash::victim_writes_without_end", dir)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the test binary starts");
    let output = BufReader::new(child.stdout.take().expect("its output is a pipe"));
    let mut acknowledged = BTreeSet::new();
    for line in output.lines() {
        let line = line.expect("the victim writes text");
        if let Some(n) = line.strip_prefix("ack ") {
            acknowledged.insert(n.parse().expect("a number"));
        }
        if acknowledged.len() == n_acks {
            child.kill().expect("the victim is ours");
        }
    }
    let status = child.wait().expect("the victim is ours");
    assert_eq!(status.signal(), Some(victim::SIGKILL), "it wrote until it was killed");
    acknowledged
}
