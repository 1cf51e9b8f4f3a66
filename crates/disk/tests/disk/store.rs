//! Disks as files: made, found again, kept apart, removed.

use crate::common::{Bench, digest, machine};
use disk::{AttachKind, DiskError, DiskLock, DiskStore};
use std::collections::HashSet;
use std::time::Duration;

/// What a fresh disk may take on the host. Source: the promise for 1,000 stopped machines.
const FRESH_MAX_BYTES: u64 = 1 << 20;

const NOW: Duration = Duration::ZERO;

#[test]
fn fresh_disk_is_sparse() {
    let bench = Bench::new();
    let record = bench.store.create(&machine(1), 8, &digest(1)).unwrap();
    assert_eq!(record.size_bytes, 8 << 30);
    assert_eq!(record.attach, None);
    let usage = bench.store.usage(&machine(1)).unwrap();
    assert!(usage <= FRESH_MAX_BYTES, "{usage} bytes are allocated");
    assert_eq!(bench.store.list().unwrap(), [machine(1)]);
}

#[test]
fn create_twice_gives_the_same_disk() {
    let bench = Bench::new();
    let first = bench.store.create(&machine(1), 1, &digest(1)).unwrap();
    std::fs::write(bench.store.machine_dir(&machine(1)).join("beside"), "kept").unwrap();
    assert_eq!(bench.store.create(&machine(1), 1, &digest(1)).unwrap(), first);
    assert!(bench.store.machine_dir(&machine(1)).join("beside").exists());
    for (size_gib, base) in [(2, 1), (1, 2)] {
        let refused = bench.store.create(&machine(1), size_gib, &digest(base)).unwrap_err();
        assert!(matches!(refused, DiskError::Differs { .. }), "{refused}");
    }
}

#[test]
fn impossible_sizes_are_refused() {
    let bench = Bench::new();
    for size_gib in [0, disk::DISK_SIZE_GIB_MAX + 1] {
        let refused = bench.store.create(&machine(1), size_gib, &digest(1)).unwrap_err();
        assert!(matches!(refused, DiskError::SizeOutOfRange { .. }), "{refused}");
    }
    assert!(bench.store.list().unwrap().is_empty());
}

#[test]
fn lock_has_one_holder_and_fixes_the_kind() {
    let bench = Bench::new();
    bench.store.create(&machine(1), 1, &digest(1)).unwrap();
    let held = bench.store.lock(&machine(1), AttachKind::HostFs, NOW).unwrap();
    let second = bench.store.lock(&machine(1), AttachKind::HostFs, Duration::from_millis(10));
    assert!(matches!(second.unwrap_err(), DiskError::InUse { .. }));
    assert!(matches!(bench.store.remove(&machine(1)).unwrap_err(), DiskError::InUse { .. }));
    drop(held);
    let other_kind = bench.store.lock(&machine(1), AttachKind::RawBlock, NOW).unwrap_err();
    assert!(matches!(other_kind, DiskError::AttachDiffers { .. }), "{other_kind}");
    bench.store.lock(&machine(1), AttachKind::HostFs, NOW).unwrap();
    assert_eq!(bench.store.record(&machine(1)).unwrap().attach, Some(AttachKind::HostFs));
}

#[test]
fn reset_puts_an_empty_disk_in_the_place_of_a_used_one() {
    let bench = Bench::new();
    bench.store.create(&machine(1), 1, &digest(1)).unwrap();
    let fresh_bytes = bench.store.usage(&machine(1)).unwrap();
    let held = bench.store.lock(&machine(1), AttachKind::HostFs, NOW).unwrap();
    rustix::io::pwrite(held.file(), &[0xAA; 8192], 1 << 29).unwrap();
    let inode = bench.disk_inode(&machine(1));
    let held = held.reset().unwrap();
    assert_ne!(bench.disk_inode(&machine(1)), inode);
    assert_eq!(bench.store.usage(&machine(1)).unwrap(), fresh_bytes);
    assert_eq!(std::fs::metadata(held.path()).unwrap().len(), 1 << 30);
    let second = bench.store.lock(&machine(1), AttachKind::HostFs, NOW).unwrap_err();
    assert!(matches!(second, DiskError::InUse { .. }), "the fresh disk is held: {second}");
}

#[test]
fn reset_makes_the_template_again_when_it_is_gone() {
    let bench = Bench::new();
    bench.store.create(&machine(1), 1, &digest(1)).unwrap();
    std::fs::remove_dir_all(bench.data.path().join("templates")).unwrap();
    std::fs::create_dir(bench.data.path().join("templates")).unwrap();
    let held = bench.store.lock(&machine(1), AttachKind::HostFs, NOW).unwrap();
    held.reset().unwrap();
    assert!(bench.data.path().join("templates/ext4-v1-1g").exists());
}

#[test]
fn who_waited_for_a_disk_that_was_reset_gets_the_fresh_one() {
    let bench = Bench::new();
    bench.store.create(&machine(1), 1, &digest(1)).unwrap();
    let held = bench.store.lock(&machine(1), AttachKind::HostFs, NOW).unwrap();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            bench.store.lock(&machine(1), AttachKind::HostFs, Duration::from_secs(10)).unwrap()
        });
        drop(held.reset().unwrap());
        let got = rustix::fs::fstat(waiting.join().unwrap().file()).unwrap().st_ino;
        assert_eq!(got, bench.disk_inode(&machine(1)));
    });
}

#[test]
fn remove_is_done_once_and_may_be_repeated() {
    let bench = Bench::new();
    bench.store.create(&machine(1), 1, &digest(1)).unwrap();
    for _ in 0..2 {
        bench.store.remove(&machine(1)).unwrap();
        assert!(!bench.store.machine_dir(&machine(1)).exists());
    }
    let gone = bench.store.lock(&machine(1), AttachKind::HostFs, NOW).unwrap_err();
    assert!(matches!(gone, DiskError::Missing { .. }), "{gone}");
    assert!(bench.temporaries().is_empty());
}

#[test]
fn unknown_disks_go_to_quarantine() {
    let bench = Bench::new();
    for n in [1, 2] {
        bench.store.create(&machine(n), 1, &digest(1)).unwrap();
    }
    std::fs::create_dir(bench.data.path().join("machines/stray")).unwrap();
    let known = HashSet::from([machine(1)]);
    let moved = bench.store.quarantine_unknown(&known).unwrap();
    assert_eq!(moved.len(), 2);
    assert!(moved.iter().any(|dir| dir.join("disk.ext4").exists()), "no data is destroyed");
    assert_eq!(bench.store.list().unwrap(), [machine(1)]);
    assert!(bench.store.quarantine_unknown(&known).unwrap().is_empty());
}

#[test]
fn open_clears_what_a_crash_left() {
    let bench = Bench::new();
    bench.store.create(&machine(1), 1, &digest(1)).unwrap();
    let half_made = bench.data.path().join("tmp/disk/99.1");
    std::fs::write(&half_made, "half").unwrap();
    let disk = bench.store.machine_dir(&machine(2));
    std::fs::create_dir(&disk).unwrap();
    std::fs::copy(bench.store.machine_dir(&machine(1)).join("disk.json"), disk.join("disk.json"))
        .unwrap();
    let store = DiskStore::open(bench.data.path()).unwrap();
    assert!(!half_made.exists());
    assert_eq!(store.list().unwrap(), [machine(1)], "a record alone is no disk");
    store.create(&machine(2), 1, &digest(2)).unwrap();
    assert_eq!(store.record(&machine(2)).unwrap().base_digest, digest(2));
}

#[test]
fn damaged_records_are_named() {
    let bench = Bench::new();
    bench.store.create(&machine(1), 1, &digest(1)).unwrap();
    let record = bench.store.machine_dir(&machine(1)).join("disk.json");
    let text = std::fs::read_to_string(&record).unwrap();
    std::fs::write(&record, text.replace("\"format\":1", "\"format\":2")).unwrap();
    let newer = bench.store.record(&machine(1)).unwrap_err();
    assert!(matches!(newer, DiskError::UnknownFormat { format: 2, .. }), "{newer}");
    std::fs::write(&record, "{").unwrap();
    let damaged = bench.store.create(&machine(1), 1, &digest(1)).unwrap_err();
    assert!(matches!(damaged, DiskError::BadRecord { .. }), "{damaged}");
}

#[test]
fn lock_of_a_missing_file_names_it() {
    let bench = Bench::new();
    let error =
        DiskLock::acquire(&bench.data.path().join("none"), AttachKind::HostFs, NOW).unwrap_err();
    assert!(error.to_string().contains("none"), "{error}");
}
