//! Opening: once, by one process, and only what this release can read.

use crate::sample::open;
use rusqlite::Connection;
use std::os::unix::fs::PermissionsExt as _;
use store::{DATABASE_FILE, SCHEMA_VERSION, Store, StoreError};

#[test]
fn ids_are_drawn_once() {
    let (dir, store) = open();
    let (host_id, instance) = (store.host_id().to_owned(), store.instance().clone());
    assert_eq!(host_id.len(), 32);
    drop(store);
    let store = Store::open(dir.path()).expect("opens again");
    assert_eq!((store.host_id(), store.instance()), (host_id.as_str(), &instance));
    let (_other_dir, other) = open();
    assert_ne!(other.host_id(), host_id, "another store is another host");
}

#[test]
fn a_second_daemon_is_refused_and_told_by_whom() {
    let (dir, store) = open();
    match Store::open(dir.path()) {
        Err(StoreError::InUse { pid, .. }) => assert_eq!(pid, Some(std::process::id())),
        other => panic!("two daemons on one directory: {other:?}"),
    }
    drop(store);
    Store::open(dir.path()).expect("the directory is free again");
}

#[test]
fn a_newer_database_is_refused_untouched() {
    let (dir, store) = open();
    drop(store);
    let path = dir.path().join(DATABASE_FILE);
    let newer = SCHEMA_VERSION + 1;
    Connection::open(&path)
        .and_then(|c| c.pragma_update(None, "user_version", newer))
        .expect("the version is set");
    let before = std::fs::read(&path).expect("the file reads");
    match Store::open(dir.path()) {
        Err(StoreError::NewerSchema { found, known }) => {
            assert_eq!((found, known), (newer, SCHEMA_VERSION));
        }
        other => panic!("a newer database was opened: {other:?}"),
    }
    assert!(std::fs::read(&path).expect("the file reads") == before, "not one byte changed");
}

#[test]
fn a_file_that_is_no_database_is_refused_untouched() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join(DATABASE_FILE);
    std::fs::write(&path, "somebody's diary\n".repeat(300)).expect("a file");
    let refused = Store::open(dir.path());
    assert!(matches!(refused, Err(StoreError::NotAStore { found: None, .. })), "{refused:?}");
    assert!(std::fs::read(&path).expect("the file reads").starts_with(b"somebody's diary"));
}

#[test]
fn a_database_of_another_program_is_refused_untouched() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join(DATABASE_FILE);
    Connection::open(&path)
        .and_then(|c| c.execute_batch("CREATE TABLE theirs (x)"))
        .expect("a database");
    let before = std::fs::read(&path).expect("the file reads");
    assert!(matches!(Store::open(dir.path()), Err(StoreError::NotAStore { .. })));
    assert!(std::fs::read(&path).expect("the file reads") == before, "not one byte changed");
}

#[test]
fn only_the_owner_can_read_the_files() {
    let (dir, store) = open();
    store.write_blocking("any", |tx| tx.put_meta("any", "1")).expect("stored");
    for name in [DATABASE_FILE.to_owned(), format!("{DATABASE_FILE}-wal"), "lock".to_owned()] {
        let mode = std::fs::metadata(dir.path().join(&name)).expect("it is there").permissions();
        assert_eq!(mode.mode() & 0o077, 0, "{name}");
    }
}

#[test]
fn closing_moves_the_log_into_the_database() {
    let (dir, store) = open();
    store.write_blocking("any", |tx| tx.put_meta("any", "1")).expect("stored");
    assert!(store.read(|r| r.meta("any")).expect("reads").is_some());
    store.close().expect("closes");
    assert!(!dir.path().join(format!("{DATABASE_FILE}-wal")).exists(), "one file is all");
}
