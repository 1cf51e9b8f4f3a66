//! Settings of the kernel.
//!
//! Those of its network are those that a slot of the container engine has (`crates/net/src/slot/make.rs`), so
//! that a program finds the same with either.

use super::Failure;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

/// Files below `/proc/sys/net`, and what to write there.
///
/// Any user may use low ports and send pings, as with Docker. The others keep the guest from waiting for,
/// or believing, what could come over the link; they are copied by each link that comes.
const SETTINGS: [(&str, &str); 8] = [
    ("ipv4/ip_unprivileged_port_start", "0"),
    ("ipv4/ping_group_range", "0 2147483647"),
    ("ipv6/conf/all/accept_dad", "0"),
    ("ipv6/conf/default/accept_dad", "0"),
    ("ipv6/conf/all/accept_ra", "0"),
    ("ipv6/conf/default/accept_ra", "0"),
    ("ipv6/conf/default/autoconf", "0"),
    ("ipv4/conf/all/accept_redirects", "0"),
];

/// Files below `/sys/block/<disk>/queue`, and what to write there: the host puts requests in order, and holds
/// back who writes too much. Doing it twice takes time twice.
const QUEUE_SETTINGS: [(&str, &str); 2] = [("scheduler", "none"), ("wbt_lat_usec", "0")];

/// The disks.
const DISKS: [&str; 3] = ["vda", "vdb", "vdc"];

/// Writes those of the network, before there is a link.
pub(super) fn write() -> Result<(), Failure> {
    SETTINGS.iter().try_for_each(|(name, value)| {
        set(&format!("/proc/sys/net/{name}"), value)
            .map_err(Failure::of(format!("set the kernel's `{name}`")))
    })
}

/// Writes those of the disks. A kernel that does not know one has nothing to switch off.
pub(super) fn write_for_disks() {
    for disk in DISKS {
        for (name, value) in QUEUE_SETTINGS {
            set(&format!("/sys/block/{disk}/queue/{name}"), value).ok();
        }
    }
}

fn set(path: &str, value: &str) -> Result<(), Errno> {
    let file = rustix::fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(file, value.as_bytes()).map(drop)
}
