//! Facts of the host that control is told, and the one limit that it raises.

use anyhow::Context as _;
use model::BootId;
use rustix::io::Errno;
use rustix::mount::{FsOpenFlags, fsopen};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs;
use std::net::{IpAddr, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

/// File systems that starts mount.
const FILE_SYSTEMS: [&str; 3] = ["erofs", "ext4", "overlay"];

/// Longest wait for one that is being loaded for somebody else.
const LOADED_WITHIN: Duration = Duration::from_secs(5);

/// Pause between two looks at that: the kernel has no word for it.
const LOAD_LOOK: Duration = Duration::from_millis(10);

/// The id of the host's boot.
///
/// # Errors
/// The file is not there or holds no UUID.
pub fn boot_id(file: &Path) -> anyhow::Result<BootId> {
    let text =
        fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    text.trim().parse().with_context(|| format!("{} holds no boot id", file.display()))
}

/// RAM of the host in MiB.
///
/// # Errors
/// `/proc/meminfo` is not readable.
pub fn ram_mib() -> anyhow::Result<u64> {
    let text = fs::read_to_string("/proc/meminfo").context("cannot read /proc/meminfo")?;
    let kib = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.trim().strip_suffix(" kB"))
        .and_then(|number| number.trim().parse::<u64>().ok())
        .context("/proc/meminfo has no MemTotal")?;
    Ok(kib / 1024)
}

/// CPUs this process may run on.
#[must_use]
pub fn n_cpus() -> u64 {
    std::thread::available_parallelism().map_or(1, |n| n.get() as u64)
}

/// Raises the soft limit of open files to the hard one: each slot keeps three open, each running
/// machine one more.
pub fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "the limit of open files stays low");
    }
}

/// Has the kernel load the file systems that starts mount, before two starts at once are the first to need
/// one: while a module is loaded for the first, the kernel knows no such file system for the second.
pub fn load_file_systems() {
    for name in FILE_SYSTEMS {
        let deadline = Instant::now() + LOADED_WITHIN;
        while let Err(error) = fsopen(name, FsOpenFlags::FSOPEN_CLOEXEC) {
            let is_on_its_way = error == Errno::NODEV && has_module(name);
            if !is_on_its_way || Instant::now() >= deadline {
                tracing::warn!(%error, "this kernel has no file system `{name}`");
                break;
            }
            std::thread::sleep(LOAD_LOOK);
        }
    }
}

/// Whether the module of this name is being loaded, or has just been.
fn has_module(name: &str) -> bool {
    let state = fs::read_to_string(format!("/sys/module/{name}/initstate"));
    state.is_ok_and(|state| matches!(state.trim(), "coming" | "live"))
}

/// `listen` as visitors may know it: of all addresses of the host the one it would leave by.
pub(crate) fn shown_address(listen: IpAddr) -> IpAddr {
    if !listen.is_unspecified() {
        return listen;
    }
    // Addresses for documentation: to choose a way there sends nothing.
    let far = match listen {
        IpAddr::V4(_) => IpAddr::from([192, 0, 2, 1]),
        IpAddr::V6(_) => IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1]),
    };
    let chosen = UdpSocket::bind((listen, 0))
        .and_then(|socket| socket.connect((far, 9)).and_then(|()| socket.local_addr()));
    chosen.map_or(listen, |address| address.ip())
}
