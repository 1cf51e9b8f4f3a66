//! Formatting: done once per size, so that a new disk costs a sparse copy.

use crate::DOOR;
use crate::error::DiskError;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How a disk is formatted.
///
/// No reserve for root, no room to grow, the smallest journal (4 MiB), and no writing of tables
/// that a sparse file already holds as zeros: 0.13 MiB real per empty disk instead of 4 to 70, and
/// never more than 6 MiB of overhead.
const MKFS_ARGS: [&str; 9] = [
    "-q",
    "-F",
    "-m",
    "0",
    "-O",
    "^resize_inode",
    "-J",
    "size=4",
    "-Elazy_itable_init=1,lazy_journal_init=1,nodiscard,assume_storage_prezeroed=1",
];

/// Most bytes kept of what a failing `mkfs.ext4` says.
const STDERR_MAX_BYTES: usize = 2048;

/// Sizes of disks are multiples of this.
pub(crate) const GIB: u64 = 1 << 30;

/// Where the template for disks of this size is.
pub(crate) fn path_in(data_dir: &Path, size_gib: u32) -> PathBuf {
    data_dir.join("templates").join(format!("ext4-v1-{size_gib}g"))
}

/// Makes sure that the formatted template `path` of `size_bytes` exists; `tmp` is used on the way.
pub(crate) fn ensure(path: &Path, tmp: &Path, size_bytes: u64) -> Result<(), DiskError> {
    if path.exists() {
        return Ok(());
    }
    let file = File::create(tmp).map_err(DiskError::io("create", tmp))?;
    file.set_len(size_bytes).map_err(DiskError::io("extend", tmp))?;
    format(tmp)?;
    Ok(DOOR.publish(&file, tmp, path)?)
}

fn format(path: &Path) -> Result<(), DiskError> {
    let output = Command::new("mkfs.ext4")
        .args(MKFS_ARGS)
        .arg(path)
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .output()
        .map_err(DiskError::io("run `mkfs.ext4` on", path))?;
    if output.status.success() {
        return Ok(());
    }
    let said = &output.stderr[..output.stderr.len().min(STDERR_MAX_BYTES)];
    Err(DiskError::Mkfs {
        path: path.to_owned(),
        status: output.status,
        stderr: String::from_utf8_lossy(said).trim().to_owned(),
    })
}
