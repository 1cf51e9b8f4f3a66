//! What our processes use: CPU, RAM, disk.

use crate::clock::ns_to_ms;
use crate::{process, sys};
use anyhow::Context as _;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Unit of `st_blocks`, whatever the file system's own block is. Source: stat(2).
const STAT_BLOCK_BYTES: u64 = 512;

/// CPU time used so far by each process of an instance (supervisor, control, shims, machines), or of
/// another family.
#[derive(Clone, Debug)]
pub(crate) struct CpuTimes(BTreeMap<u32, u64>);

impl CpuTimes {
    /// Now, of `supervisor`, which may be any process, and everything below.
    pub(crate) fn of(supervisor: u32) -> Self {
        let family = process::family(supervisor);
        Self(family.into_iter().filter_map(|pid| Some((pid, sys::cpu_ns(pid)?))).collect())
    }

    /// Milliseconds of CPU used since `earlier`. What ended in between is not counted.
    pub(crate) fn ms_since(&self, earlier: &Self) -> f64 {
        let used = |(pid, ns): (&u32, &u64)| ns - earlier.0.get(pid).unwrap_or(&0).min(ns);
        ns_to_ms(self.0.iter().map(used).sum())
    }
}

/// Proportional set size of `supervisor` and everything below, in MiB: shared pages count once.
pub(crate) fn pss_mib(supervisor: u32) -> anyhow::Result<f64> {
    pss_mib_of(&process::family(supervisor))
}

/// The same of these processes alone: what others have too counts as far as it is theirs.
pub(crate) fn pss_mib_of(pids: &[u32]) -> anyhow::Result<f64> {
    let mut kib = 0.0;
    for pid in pids {
        kib += pss_kib(*pid).with_context(|| format!("cannot tell the RAM of process {pid}"))?;
    }
    Ok(kib / 1024.0)
}

fn pss_kib(pid: u32) -> anyhow::Result<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).context("no Pss line")?;
    line.trim().trim_end_matches(" kB").parse().context("Pss is no number")
}

/// MiB that the files below `dir`, or one file, take on disk.
pub(crate) fn disk_mib(dir: &Path) -> anyhow::Result<f64> {
    let bytes = blocks(dir).with_context(|| format!("cannot measure {}", dir.display()))?
        * STAT_BLOCK_BYTES;
    let kib = u32::try_from(bytes / 1024).context("the files are larger than a disk")?;
    Ok(f64::from(kib) / 1024.0)
}

fn blocks(path: &Path) -> std::io::Result<u64> {
    let meta = fs::symlink_metadata(path)?;
    let mut sum = meta.blocks();
    if meta.is_dir() {
        for entry in fs::read_dir(path)? {
            sum += blocks(&entry?.path())?;
        }
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::{CpuTimes, disk_mib, pss_mib};

    #[test]
    fn this_process_is_measured() {
        let own = std::process::id();
        let before = CpuTimes::of(own);
        assert!(CpuTimes::of(own).ms_since(&before) >= 0.0);
        assert!(pss_mib(own).unwrap() > 0.1);
    }

    #[test]
    fn disk_is_what_is_allocated() {
        let dir = tempfile::tempdir().unwrap();
        let sparse = std::fs::File::create(dir.path().join("sparse")).unwrap();
        sparse.set_len(1 << 30).unwrap();
        assert!(disk_mib(dir.path()).unwrap() < 1.0);
        std::fs::write(dir.path().join("full"), vec![1; 4 << 20]).unwrap();
        assert!(disk_mib(dir.path()).unwrap() >= 4.0);
    }
}
