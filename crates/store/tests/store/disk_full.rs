//! The disk fills up: a clear error, nothing lost, and the store goes on when there is room.

use crate::sample::{event, open};
use crate::victim;
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use std::path::Path;
use store::{Store, StoreError};

/// Size of what is stored until the disk is full: a few pages.
const LUMP_BYTES: usize = 16 * 1024;

#[test]
fn victim_has_a_full_disk_by_decree() {
    let Some(dir) = victim::dir() else { return };
    let store = Store::open(&dir).expect("the store opens");
    store.write_blocking("first", |tx| tx.put_meta("first", "1")).expect("there is room");
    let refused = store.write_blocking("second", |tx| tx.put_meta("second", "2"));
    assert!(matches!(refused, Err(StoreError::DiskFull)), "no false answer: {refused:?}");
    let (first, second) = store.read(|r| Ok((r.meta("first")?, r.meta("second")?))).expect("reads");
    assert_eq!((first.as_deref(), second), (Some("1"), None));
}

#[test]
fn a_commit_that_finds_no_room_is_not_answered_ok() {
    let dir = tempfile::tempdir().expect("a directory");
    let test = "disk_full::victim_has_a_full_disk_by_decree";
    let output = victim::run(test, dir.path(), &[("DORMOUSE_DISK_FULL", "2")]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn a_change_too_large_for_the_disk_fails_and_later_ones_pass() {
    let (dir, store) = open();
    store.write_blocking("event", |tx| tx.append_event(&event(1, 1))).expect("there is room");
    store.close().expect("closes");
    drop(store);
    let victim = "disk_full::victim_fills_a_small_file_system";
    let output = victim::run(victim, dir.path(), &[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let known = victim::said(&output, "result ");
    assert_eq!(known.len(), 1, "the victim went through: {output:?}");
    println!("{}", known[0]);
}

/// Works in a mount namespace of its own, on 4 MiB, which vanish with it.
#[test]
fn victim_fills_a_small_file_system() {
    let Some(dir) = victim::dir() else { return };
    mount_small(&dir);
    let ballast = dir.join("ballast");
    std::fs::write(&ballast, vec![1; 2 * 1024 * 1024]).expect("there is room");
    let store = Store::open(&dir).expect("the store opens");
    let n_stored = fill(&store);
    let refused = store.write_blocking("one more", |tx| tx.put_meta("x", &"x".repeat(LUMP_BYTES)));
    assert!(matches!(refused, Err(StoreError::DiskFull)), "{refused:?}");
    let last = format!("lump-{}", n_stored - 1);
    assert!(store.read(|r| r.meta(&last)).expect("reads go on").is_some());
    std::fs::remove_file(&ballast).expect("the ballast is ours");
    store.write_blocking("again", |tx| tx.put_meta("x", "y")).expect("there is room again");
    drop(store);
    let store = Store::open(&dir).expect("the store opens again");
    let all_there = store.read(|r| (0..n_stored).map(|n| r.meta(&format!("lump-{n}"))).collect());
    let all_there: Vec<Option<String>> = all_there.expect("reads");
    assert!(all_there.iter().all(Option::is_some), "every answered lump is there");
    victim::say(&format!("result {n_stored} lumps fitted"));
}

/// Stores lumps until one is refused; says how many were answered.
fn fill(store: &Store) -> usize {
    for n in 0..1_000 {
        let lump =
            move |tx: &store::Tx<'_>| tx.put_meta(&format!("lump-{n}"), &"x".repeat(LUMP_BYTES));
        match store.write_blocking("lump", lump) {
            Ok(()) => {}
            Err(StoreError::DiskFull) => return n,
            Err(other) => panic!("a full disk is called by its name: {other:?}"),
        }
    }
    panic!("4 MiB hold 16 MiB");
}

fn mount_small(dir: &Path) {
    // SAFETY: unshare with CLONE_NEWNS changes only which mounts this thread (and those it starts
    // later) sees; no memory is involved.
    let done = unsafe { libc::unshare(libc::CLONE_NEWNS) };
    assert_eq!(done, 0, "tests run as root: {}", std::io::Error::last_os_error());
    let private = MountPropagationFlags::REC | MountPropagationFlags::PRIVATE;
    mount_change("/", private).expect("mounts can be private");
    mount("store-test", dir, "tmpfs", MountFlags::empty(), c"size=4m").expect("a tmpfs mounts");
}
