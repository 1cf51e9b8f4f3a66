//! A place for programs that are an init themselves (systemd): PID 1 of a pid namespace below the
//! machine's own, with a cgroup that is theirs. In a container the launcher makes it
//! (`crates/engine/src/container/pid1.rs`), because there init has no right to.

use super::staged::make_dir;
use super::tell;
use crate::arguments::CHANNEL_FD;
use crate::start_error::text;
use crate::{EXIT_SOFTWARE, files, sys};
use guest_root::mounts::attach_at;
use guest_root::parts;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::setsid;
use std::convert::Infallible;
use std::ffi::CStr;
use std::os::fd::OwnedFd;

/// Its cgroup.
const CGROUP: &CStr = c"/sys/fs/cgroup/pid1";

/// Makes the process; returns the socket to it.
pub(super) fn make() -> Result<OwnedFd, Errno> {
    let (ours, theirs) =
        socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    make_cgroup()?;
    // Init's own path leads elsewhere now.
    let init = rustix::fs::open(c"/proc/self/exe", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    if sys::namespaces::fork_apart()?.is_some() {
        return Ok(ours);
    }
    let Err(errno) = become_second(&init, theirs);
    tell(&format!("the second PID 1 cannot be made: {}", text(errno)));
    sys::exit_now(EXIT_SOFTWARE)
}

/// With all the controllers that this kernel has: it is the only one who shares out.
fn make_cgroup() -> Result<(), Errno> {
    make_dir(CWD, CGROUP)?;
    let controllers = files::read_bounded("/sys/fs/cgroup/cgroup.controllers", 4096)?;
    for name in String::from_utf8_lossy(&controllers).split_whitespace() {
        write(c"/sys/fs/cgroup/cgroup.subtree_control", format!("+{name}").as_bytes())?;
    }
    Ok(())
}

fn become_second(init: &OwnedFd, socket: OwnedFd) -> Result<Infallible, Errno> {
    setsid()?;
    write(c"/sys/fs/cgroup/pid1/cgroup.procs", b"0")?;
    // After joining: the namespace's root is the cgroup of the moment.
    sys::namespaces::leave_cgroup()?;
    parts::mount_proc(c"/proc")?;
    attach_at(&parts::mount_cgroup2()?, c"/sys/fs/cgroup")?;
    sys::namespaces::execute(init, [c"dormouse-init", c"pid1"], socket, CHANNEL_FD)
}

fn write(path: &CStr, value: &[u8]) -> Result<(), Errno> {
    let file = rustix::fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(file, value).map(drop)
}
