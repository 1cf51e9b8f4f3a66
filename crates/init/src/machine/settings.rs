//! Settings of the kernel's network: those that a slot of the container engine has
//! (`crates/net/src/slot/make.rs`), so that a program finds the same with either.

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

/// Writes them, before there is a link.
pub(super) fn write() -> Result<(), Failure> {
    SETTINGS.iter().try_for_each(|(name, value)| {
        set(&format!("/proc/sys/net/{name}"), value)
            .map_err(Failure::of(format!("set the kernel's `{name}`")))
    })
}

fn set(path: &str, value: &str) -> Result<(), Errno> {
    let file = rustix::fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(file, value.as_bytes()).map(drop)
}
