//! Checkpoints end by themselves.

use super::*;
use disk::AttachKind;
use model::{Digest, MachineId, VersionId};
use std::path::Path;

fn machine() -> MachineId {
    "00000000000001".parse().expect("14 hex digits")
}

fn digest(n: u8) -> Digest {
    format!("sha256:{n:064x}").parse().expect("a digest")
}

fn version(n: u8) -> VersionId {
    VersionId::new(UnixMs(0), [n; 10])
}

/// A store and the disks beside it.
fn open(dir: &Path) -> (Store, DiskStore) {
    (Store::open(dir).expect("a new store"), DiskStore::open(dir).expect("a new directory"))
}

/// Keeps the disk of the `n`th image until `expires_at`.
fn keep(store: &Store, disks: &DiskStore, n: u8, expires_at: UnixMs) {
    disks.rebase(&machine(), 1, &digest(n)).expect("a disk");
    let attached = disks.lock(&machine(), AttachKind::HostFs, Duration::ZERO);
    drop(attached.expect("nobody uses it"));
    let old = disks.set_aside(&machine(), &digest(n + 1), version(n).as_str());
    assert!(old.expect("it is set aside").is_some());
    let checkpoint = CheckpointRecord {
        id: version(n),
        machine: machine(),
        base: digest(n),
        created_at: UnixMs(0),
        expires_at,
    };
    store
        .write_blocking("test", move |tx| tx.insert_checkpoint(&checkpoint))
        .expect("the checkpoint is stored");
}

fn kept(store: &Store, disks: &DiskStore) -> Vec<(VersionId, bool)> {
    let rows = store.read(|reader| reader.checkpoints_of(&machine())).expect("they are read");
    let dir = disks.machine_dir(&machine()).join("checkpoints");
    rows.into_iter()
        .map(|row| (row.id.clone(), dir.join(row.id.as_str()).join("disk.ext4").exists()))
        .collect()
}

#[test]
fn what_has_expired_goes_with_its_need_of_the_image_and_the_rest_stays() {
    let dir = tempfile::tempdir().expect("a directory");
    let (store, disks) = open(dir.path());
    let later = model::clock::now().plus(CHECKPOINT_RETENTION);
    keep(&store, &disks, 1, UnixMs(1));
    keep(&store, &disks, 3, later);
    assert_eq!(kept(&store, &disks), [(version(1), true), (version(3), true)]);
    assert_eq!(expire_due(&store, &disks).expect("it can be removed"), Some(later));
    assert_eq!(kept(&store, &disks), [(version(3), true)]);
    let in_use = store.read(|reader| reader.digests_in_use()).expect("they are read");
    assert_eq!(in_use.into_iter().collect::<Vec<_>>(), [digest(3)]);
    let gone = disks.machine_dir(&machine()).join("checkpoints").join(version(1).as_str());
    assert!(!gone.exists());
}

#[test]
fn what_a_crash_left_half_removed_is_removed_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let (store, disks) = open(dir.path());
    keep(&store, &disks, 1, UnixMs(1));
    disks.remove_checkpoint(&machine(), version(1).as_str()).expect("it is there");
    assert_eq!(expire_due(&store, &disks).expect("it is gone already"), None);
    assert_eq!(kept(&store, &disks), []);
}

#[test]
fn a_disk_is_set_aside_once_and_found_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let (store, disks) = open(dir.path());
    keep(&store, &disks, 1, UnixMs(1));
    let again = disks.set_aside(&machine(), &digest(2), version(1).as_str());
    assert_eq!(again.expect("it is found").map(|old| old.base_digest), Some(digest(1)));
}

#[test]
fn a_clock_that_went_back_keeps_nothing_for_ever() {
    let day = CHECKPOINT_RETENTION.to_std();
    let expires_at = UnixMs(10 * CHECKPOINT_RETENTION.0);
    assert_eq!(wait_until(expires_at, UnixMs(0)), day);
    assert_eq!(wait_until(expires_at, UnixMs(expires_at.0 - 5)), Duration::from_millis(5));
    assert_eq!(wait_until(expires_at, UnixMs(expires_at.0 + 5)), Duration::ZERO);
}

#[tokio::test]
async fn a_new_checkpoint_ends_the_wait_for_an_older_one() {
    let kept = Notify::new();
    kept.notify_one();
    // Would last for a day.
    wait(Some(CHECKPOINT_RETENTION.to_std()), &kept).await;
    kept.notify_one();
    wait(None, &kept).await;
    wait(Some(Duration::from_millis(1)), &kept).await;
}
