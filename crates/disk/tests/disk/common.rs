//! A data directory with a store, gone with the test.

use disk::DiskStore;
use model::ids::{Digest, MachineId};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

pub(crate) struct Bench {
    pub(crate) data: tempfile::TempDir,
    pub(crate) store: DiskStore,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let data = tempfile::tempdir().expect("a temporary directory can be made");
        let store = DiskStore::open(data.path()).expect("the store opens");
        Self { data, store }
    }

    pub(crate) fn temporaries(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.data.path().join("tmp/disk")).expect("it exists");
        entries.map(|entry| entry.expect("it can be listed").path()).collect()
    }

    pub(crate) fn disk_inode(&self, machine: &MachineId) -> u64 {
        std::fs::metadata(self.store.disk_path(machine)).expect("the disk exists").ino()
    }
}

pub(crate) fn machine(n: u8) -> MachineId {
    MachineId::from_random([n; 7])
}

pub(crate) fn digest(n: u8) -> Digest {
    format!("sha256:{}", format!("{n:02x}").repeat(32)).parse().expect("it is a digest")
}
