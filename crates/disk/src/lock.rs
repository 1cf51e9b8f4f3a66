//! Who may attach a disk: one holder at a time.
//!
//! The lock is an OFD lock on the disk file itself. It belongs to the open file, not the process:
//! a loop device configured with [`DiskLock::file`] keeps that file open, so the lock lasts until
//! the kernel has detached the device, even when the holder was killed. A disk that is still being
//! unmounted can therefore never be attached a second time.

use crate::clone::clone_sparse;
use crate::error::DiskError;
use crate::record::{AttachKind, DiskRecord};
use crate::template::{self, GIB};
use rustix::io::Errno;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How often a taken lock is tried again. Only after a killed run: the normal path finds it free.
const RETRY_EVERY: Duration = Duration::from_millis(2);

/// Name of a disk that is about to take the place of another, beside it.
const FRESH_FILE: &str = "disk.fresh";

/// Names from a disk file up to the data directory: `machines/<id>/disk.ext4`.
const DISK_DEPTH: usize = 3;

/// The right to attach one disk; given up when dropped and no loop device uses the file.
#[derive(Debug)]
pub struct DiskLock {
    file: File,
    path: PathBuf,
}

impl DiskLock {
    /// Takes the disk file `path` for attaching it as `kind`, which the first use fixes in the
    /// record beside it; waits at most `patience` for an earlier holder.
    ///
    /// # Errors
    /// [`DiskError::InUse`] when it is still held, [`DiskError::AttachDiffers`] when it was first
    /// used another way; else the file or its record cannot be read or written.
    pub fn acquire(path: &Path, kind: AttachKind, patience: Duration) -> Result<Self, DiskError> {
        let held = Self::hold(path, patience)?;
        DiskRecord::fix_attach(path, kind)?;
        Ok(held)
    }

    /// Takes the lock for work on the file itself.
    pub(crate) fn hold(path: &Path, patience: Duration) -> Result<Self, DiskError> {
        let deadline = Instant::now() + patience;
        loop {
            let file = open(path)?;
            match try_lock(&file) {
                // What was replaced while we waited is nobody's disk any more.
                Ok(()) if is_still_at(&file, path)? => {
                    return Ok(Self { file, path: path.to_owned() });
                }
                Ok(()) => continue,
                Err(Errno::AGAIN | Errno::ACCESS) => {}
                Err(error) => return Err(DiskError::io("lock", path)(error)),
            }
            if Instant::now() >= deadline {
                return Err(DiskError::InUse { path: path.to_owned() });
            }
            std::thread::sleep(RETRY_EVERY);
        }
    }

    /// Puts an empty disk of the same size in the place of the locked one, which goes when this
    /// ends; takes as long for a full disk as for an empty one, but for the freeing of its blocks.
    ///
    /// Nothing is forced onto the host's disk: the journal of the file system within does that with
    /// its first commit, and until then there is nothing to lose.
    ///
    /// # Errors
    /// [`DiskError::Io`], or [`DiskError::Mkfs`] when the template has gone and cannot be made; the
    /// old disk is in its place.
    pub fn reset(self) -> Result<Self, DiskError> {
        let path = self.path;
        let size_bytes = self.file.metadata().map_err(DiskError::io("look at", &path))?.len();
        let size_gib = u32::try_from(size_bytes / GIB).unwrap_or(u32::MAX);
        let data_dir = path.ancestors().nth(DISK_DEPTH).unwrap_or(Path::new("/"));
        let template = template::path_in(data_dir, size_gib);
        let fresh = path.with_file_name(FRESH_FILE);
        template::ensure(&template, &fresh, size_bytes)?;
        let file = clone_sparse(&template, &fresh)?;
        try_lock(&file).map_err(DiskError::io("lock", &fresh))?;
        std::fs::rename(&fresh, &path).map_err(DiskError::io("rename", &fresh))?;
        Ok(Self { file, path })
    }

    /// The locked disk file, open for reading and writing; attach exactly this one.
    #[must_use]
    pub fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Where the disk file is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn open(path: &Path) -> Result<File, DiskError> {
    File::options().read(true).write(true).open(path).map_err(DiskError::io("open", path))
}

/// Whether `path` still leads to `file`.
fn is_still_at(file: &File, path: &Path) -> Result<bool, DiskError> {
    let open = file.metadata().map_err(DiskError::io("look at", path))?;
    let there = std::fs::metadata(path).map_err(DiskError::io("look at", path))?;
    Ok((open.dev(), open.ino()) == (there.dev(), there.ino()))
}

/// Asks for a write lock on the whole file without waiting.
fn try_lock(file: &File) -> Result<(), Errno> {
    // SAFETY: `flock` is plain numbers; all zeros with `l_pid` 0 is what OFD locks require.
    let mut whole: libc::flock = unsafe { std::mem::zeroed() };
    whole.l_type = i16::try_from(libc::F_WRLCK).expect("a small constant");
    whole.l_whence = i16::try_from(libc::SEEK_SET).expect("a small constant");
    // SAFETY: the descriptor is open for the call, and `whole` is a valid `flock` to read from.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const whole) };
    if result == 0 {
        Ok(())
    } else {
        let error = std::io::Error::last_os_error();
        Err(Errno::from_io_error(&error).unwrap_or(Errno::IO))
    }
}
