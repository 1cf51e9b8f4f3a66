//! What the host is, in one line: figures without it mean little. And what peers leave in its cgroups.

use crate::words;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// One line about CPUs, kernel and what is known to change figures.
pub(crate) fn describe() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let kernel = read("/proc/sys/kernel/osrelease");
    let cgroup = if read("/proc/mounts").contains("favordynmods") {
        ", cgroup option favordynmods on: peers look better"
    } else {
        ""
    };
    let load = read("/proc/loadavg");
    let load = load.split(' ').next().unwrap_or_default();
    format!("{cpus} CPUs, Linux {}, load {load}{cgroup}", kernel.trim())
}

/// Removes the cgroups called `name` (with a leading slash) in every hierarchy. Call when nothing
/// runs in them any more.
pub(crate) fn remove_cgroups(name: &str) {
    for path in cgroup_roots().map(|root| root.join(name.trim_start_matches('/'))) {
        if path.is_dir() && remove_tree(&path).is_err() {
            words::tell(&format!("warning: {} is left behind", path.display()));
        }
    }
}

fn cgroup_roots() -> impl Iterator<Item = PathBuf> {
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let roots: Vec<PathBuf> = mounts
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ').skip(1);
            let (place, kind) = (words.next()?, words.next()?);
            kind.starts_with("cgroup").then(|| PathBuf::from(place))
        })
        .collect();
    roots.into_iter()
}

/// Directories only, leaves first: the files of a cgroup cannot be removed, and need not be.
fn remove_tree(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            remove_tree(&path)?;
        }
    }
    fs::remove_dir(dir)
}
