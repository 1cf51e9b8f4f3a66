//! How much room is left, and the room kept for the worst day.

use crate::attach::in_own_mount_namespace;
use crate::common::Bench;
use disk::{ballast, room};
use model::pressure::Room;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

#[test]
fn ballast_takes_room_and_gives_it_back() {
    use std::os::unix::fs::MetadataExt as _;
    let bench = Bench::new();
    let path = bench.data.path().join("ballast");
    for _ in 0..2 {
        ballast::ensure(bench.data.path()).unwrap();
        assert!(std::fs::metadata(&path).unwrap().blocks() * 512 >= disk::BALLAST_BYTES);
    }
    for _ in 0..2 {
        ballast::release(bench.data.path()).unwrap();
        assert!(!path.exists());
    }
}

#[test]
fn room_of_machines_is_the_same_with_and_without_the_ballast() {
    in_own_mount_namespace(|| {
        let dir = tempfile::tempdir().unwrap();
        mount("none", dir.path(), "tmpfs", MountFlags::empty(), c"size=256m").unwrap();
        let total_bytes = 256 << 20;
        let expected = Room { free_bytes: total_bytes - disk::BALLAST_BYTES, total_bytes };
        assert_eq!(room(dir.path()).unwrap(), expected);
        ballast::ensure(dir.path()).unwrap();
        assert_eq!(room(dir.path()).unwrap(), expected);
        unmount(dir.path(), UnmountFlags::empty()).unwrap();
    });
}

#[test]
fn ballast_is_kept_at_a_start_with_room() {
    let bench = Bench::new();
    for _ in 0..2 {
        ballast::trim(bench.data.path()).unwrap();
        assert!(bench.data.path().join("ballast").exists());
    }
}
