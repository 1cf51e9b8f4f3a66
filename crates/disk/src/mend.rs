//! A disk that the kernel found damaged, made whole before it is used again.
//!
//! When the host's own file system is full, writes of a machine's disk fail, and what fails may be
//! a block of a directory. The kernel marks such a file system; mounted again as it is, the damage
//! stays and spreads.

use crate::error::DiskError;
use crate::lock::DiskLock;
use rustix::io::pread;
use std::process::Command;

/// Where the superblock says in what state the file system is (`s_state`, little-endian), and what
/// it says about errors. Source: the kernel's ext4 documentation, "Super Block".
const STATE_AT: u64 = 1024 + 0x3A;
const STATE_HAS_ERRORS: u16 = 0x0002;

/// Exit codes of `e2fsck` below this one mean that the file system is whole now. Source: e2fsck(8).
const UNCORRECTED: i32 = 4;

/// Most bytes kept of what a failing `e2fsck` says.
const OUTPUT_MAX_BYTES: usize = 2048;

/// Repairs the locked disk if it is marked as damaged; without the mark this is one short read.
///
/// # Errors
/// [`DiskError::Damaged`] when the damage is beyond repair, [`DiskError::Io`].
pub fn mend(lock: &DiskLock) -> Result<(), DiskError> {
    if !is_marked(lock)? {
        return Ok(());
    }
    let path = lock.path();
    let output = Command::new("e2fsck")
        .args(["-f", "-y"])
        .arg(path)
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .output()
        .map_err(DiskError::io("run `e2fsck` on", path))?;
    if output.status.code().is_some_and(|code| code < UNCORRECTED) {
        return Ok(());
    }
    let said = &output.stdout[..output.stdout.len().min(OUTPUT_MAX_BYTES)];
    Err(DiskError::Damaged {
        path: path.to_owned(),
        status: output.status,
        said: String::from_utf8_lossy(said).trim().to_owned(),
    })
}

fn is_marked(lock: &DiskLock) -> Result<bool, DiskError> {
    let mut state = [0; 2];
    let n_bytes = pread(lock.file(), &mut state, STATE_AT)
        .map_err(DiskError::io("read the superblock of", lock.path()))?;
    Ok(n_bytes == state.len() && u16::from_le_bytes(state) & STATE_HAS_ERRORS != 0)
}
