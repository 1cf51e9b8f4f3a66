//! A file system that gets full after any number of bytes: the store opens, nothing is left, and when
//! there is room again the next try works.

use crate::archive::{Archive, LAYER, gzip};
use crate::common::{Bench, chain, in_own_mount_namespace, open_store, run};
use crate::pull::{Remote, name};
use image::{ImageError, ImageStore, ImportedImage};
use rustix::fs::{FallocateFlags, fallocate, statvfs};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};
use std::fs::File;
use std::hash::{BuildHasher as _, RandomState};
use std::path::Path;

/// Random byte counts that are tried.
const N_TRIES: usize = 20;

/// Size of the file system: with nothing else in it there is room enough.
const DISK_BYTES: u64 = 32 << 20;

/// The most that is left free; blobs take 3 MiB, the tree as much, and the image made of it as much.
const FREE_MAX_BYTES: u64 = 12 << 20;

/// Block of a small ext4, in bytes.
const BLOCK_BYTES: u64 = 1024;

const SEED_VARIABLE: &str = "DORMOUSE_SEED";

/// A small ext4 of its own, mounted on a directory until this is dropped.
struct SmallDisk {
    mounted: tempfile::TempDir,
    _file: tempfile::NamedTempFile,
}

impl SmallDisk {
    fn new() -> Self {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(DISK_BYTES).unwrap();
        let mounted = tempfile::tempdir().unwrap();
        let path = file.path().to_str().unwrap();
        run(Path::new("/"), "mkfs.ext4", &["-q", "-F", "-m", "0", path]);
        run(Path::new("/"), "mount", &["-o", "loop", path, mounted.path().to_str().unwrap()]);
        Self { mounted, _file: file }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // The loop device clears itself with its last mount.
        unmount(self.mounted.path(), UnmountFlags::DETACH).unwrap();
    }
}

/// Takes all room but so many bytes; gives it back when dropped.
struct Filler {
    path: std::path::PathBuf,
}

impl Filler {
    fn leaving(dir: &Path, free_bytes: u64) -> Self {
        let path = dir.join("filler");
        let file = File::create(&path).unwrap();
        // Extents of the filler itself take blocks too, so it grows until little enough is free.
        let mut taken = 0;
        loop {
            let stat = statvfs(dir).unwrap();
            let excess = (stat.f_bavail * stat.f_frsize).saturating_sub(free_bytes) / BLOCK_BYTES;
            let step = (excess / 2).max(1) * BLOCK_BYTES;
            match fallocate(&file, FallocateFlags::empty(), taken, step) {
                Ok(()) if excess > 1 => taken += step,
                Ok(()) | Err(Errno::NOSPC) => break,
                Err(error) => panic!("{error}"),
            }
        }
        file.sync_all().unwrap();
        Self { path }
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        std::fs::remove_file(&self.path).unwrap();
    }
}

/// Three layers of about a megabyte each, which no compression makes smaller.
fn remote() -> Remote {
    let mut state = 1_u64;
    let mut noise = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state.to_be_bytes()[0]
    };
    let layers = ["a", "b", "c"].map(|name| {
        let content: Vec<u8> = (0..1 << 20).map(|_| noise()).collect();
        let plain = Archive::new().file(name, &content).finish();
        let blob = gzip(&plain);
        (plain, blob, LAYER)
    });
    Remote::new(&layers)
}

/// Pulls as the network's side does: what is in vain is given up.
fn pull(remote: &Remote, store: &ImageStore) -> Result<ImportedImage, ImageError> {
    let pull = remote.begin(store)?;
    if let Err(error) = remote.send_all(&pull) {
        store.abandon(pull).unwrap();
        return Err(error);
    }
    let image_ref = name(&pull);
    store.derive(pull, image_ref, &())
}

#[test]
fn a_disk_that_gets_full_after_any_number_of_bytes_is_told() {
    let seed = match std::env::var(SEED_VARIABLE) {
        Ok(text) => text.parse().expect("the seed is a number"),
        Err(_) => RandomState::new().hash_one("a new seed for each run"),
    };
    println!("{SEED_VARIABLE}={seed}");
    in_own_mount_namespace(|| {
        let disk = SmallDisk::new();
        let dir = tempfile::tempdir_in(disk.mounted.path()).unwrap();
        let bench = Bench { store: open_store(dir.path()), dir };
        let remote = remote();
        let mut state: u64 = seed;
        let mut n_full = 0;
        for n in 0..N_TRIES {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let free_bytes = (state >> 20) % FREE_MAX_BYTES;
            let filler = Filler::leaving(disk.mounted.path(), free_bytes);
            match pull(&remote, &bench.store) {
                Ok(_) => {}
                Err(error) => {
                    n_full += 1;
                    let said = chain(&error);
                    assert!(error.is_disk_full(), "try {n}, {free_bytes} bytes free: {said}");
                    bench.assert_nothing_left();
                }
            }
            drop(open_store(bench.dir.path()));
            drop(filler);
            let digest = pull(&remote, &bench.store).unwrap().image_ref.digest;
            bench.store.verify(&digest).unwrap();
            let full = Filler::leaving(disk.mounted.path(), 0);
            assert!(bench.store.remove_if(&digest, || true).unwrap(), "room can be made");
            drop(full);
            bench.assert_nothing_left();
        }
        println!("{n_full} of {N_TRIES} tries found the disk full");
        assert!(n_full >= 3, "the sizes are wrong: {n_full} of {N_TRIES} found the disk full");
    });
}
