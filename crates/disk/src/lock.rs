//! Who may attach a disk: one holder at a time.
//!
//! The lock is an OFD lock on the disk file itself. It belongs to the open file, not the process:
//! a loop device configured with [`DiskLock::file`] keeps that file open, so the lock lasts until
//! the kernel has detached the device, even when the holder was killed. A disk that is still being
//! unmounted can therefore never be attached a second time.

use crate::error::DiskError;
use crate::record::{AttachKind, DiskRecord};
use rustix::io::Errno;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How often a taken lock is tried again. Only after a killed run: the normal path finds it free.
const RETRY_EVERY: Duration = Duration::from_millis(2);

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
        let file = File::options()
            .read(true)
            .write(true)
            .open(path)
            .map_err(DiskError::io("open", path))?;
        let deadline = Instant::now() + patience;
        while let Err(error) = try_lock(&file) {
            if !matches!(error, Errno::AGAIN | Errno::ACCESS) {
                return Err(DiskError::io("lock", path)(error));
            }
            if Instant::now() >= deadline {
                return Err(DiskError::InUse { path: path.to_owned() });
            }
            std::thread::sleep(RETRY_EVERY);
        }
        Ok(Self { file, path: path.to_owned() })
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
