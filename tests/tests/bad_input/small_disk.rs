//! A small file system for a data directory, and how it is filled.

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// A small file system, mounted; gone with this value.
pub(crate) struct SmallDisk {
    mount: PathBuf,
    _file: TempDir,
}

impl SmallDisk {
    pub(crate) fn at(mount: PathBuf, size_bytes: u64) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("ext4");
        File::create(&file).and_then(|file| file.set_len(size_bytes)).expect("a file");
        run(Command::new("mkfs.ext4").args(["-q", "-m", "0"]).arg(&file));
        fs::create_dir(&mount).expect("a directory");
        run(Command::new("mount").args(["-o", "loop"]).args([&file, &mount]));
        Self { mount, _file: dir }
    }

    pub(crate) fn free_kib(&self) -> u64 {
        let stat = rustix::fs::statvfs(&self.mount).expect("a file system");
        stat.f_bavail * stat.f_frsize / 1024
    }

    /// Takes all room but `left_kib`, until the answer is dropped.
    pub(crate) fn fill(&self, left_kib: u64) -> Filler {
        let (file, path) = tempfile::Builder::new()
            .prefix("filler-")
            .tempfile_in(&self.mount)
            .and_then(|file| Ok(file.keep()?))
            .expect("a file");
        let filler = Filler(path);
        // Most of it without a write, then up to the last block.
        let most_bytes = self.free_kib().saturating_sub(left_kib + SLACK_KIB) * 1024;
        if most_bytes > 0 {
            match fallocate(&file, FallocateFlags::empty(), 0, most_bytes) {
                // What a machine has written before may reach the file system only now.
                Ok(()) | Err(Errno::NOSPC) => {}
                Err(error) => panic!("the filler is not allocated: {error}"),
            }
        }
        self.write_until(left_kib, &filler.0);
        filler
    }

    fn write_until(&self, left_kib: u64, path: &Path) {
        let mut file = File::options().append(true).open(path).expect("it is there");
        let chunk = vec![0xAA; 64 * 1024];
        while self.free_kib() > left_kib {
            match file.write_all(&chunk) {
                Ok(()) => {}
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
                    break;
                }
            }
        }
        file.sync_all().expect("the filler is written");
    }
}

/// Room that a filler leaves to be written block by block: more than its own metadata takes.
const SLACK_KIB: u64 = 4 * 1024;

/// A file that takes the room of all others.
pub(crate) struct Filler(PathBuf);

impl Drop for Filler {
    fn drop(&mut self) {
        // When the file system is gone, so is the file.
        fs::remove_file(&self.0).ok();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // What a failed test left in it goes with the last user.
        unmount(&self.mount, UnmountFlags::DETACH).ok();
        if let Some(dir) = self.mount.parent().filter(|_| std::thread::panicking()) {
            // Its owner could not remove it while this was mounted there.
            fs::remove_dir_all(dir).ok();
        }
    }
}

fn run(command: &mut Command) {
    let status = command.status();
    assert!(status.is_ok_and(|status| status.success()), "{command:?}");
}
