//! The few system calls that need `unsafe`, each behind a safe function.

use rustix::io::Errno;
use rustix::process::Pid;
use std::os::fd::{FromRawFd as _, OwnedFd};

#[cfg(not(test))]
mod entry;
pub(crate) mod interval_timer;
pub(crate) mod namespaces;
mod oom;
pub(crate) mod random;
pub(crate) mod spawn;

/// Takes ownership of a file descriptor that the launcher passed to this process.
///
/// # Errors
/// [`Errno::BADF`] when nothing is open there.
pub(crate) fn take_inherited(number: i32) -> Result<OwnedFd, Errno> {
    // SAFETY: F_SETFD on any number is harmless; it fails when nothing is open there.
    check(unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) })?;
    // SAFETY: it is open, the launcher gave it to us, and each number is taken once, at start.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// A write to a pipe or socket that nobody reads is an error like others. The standard library's
/// entry would do this.
pub(crate) fn ignore_broken_pipes() {
    // SAFETY: no handler is installed; there is one thread.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
}

/// Blocks SIGCHLD and returns a descriptor that becomes readable when a child changes state.
pub(crate) fn watch_children() -> Result<OwnedFd, Errno> {
    // SAFETY: an all-zero sigset_t is valid memory for sigemptyset to fill.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: `set` is a valid sigset_t for the whole of both calls.
    check(unsafe {
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGCHLD)
    })?;
    // SAFETY: `set` is initialised; no old mask is asked for.
    check(unsafe { libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) })?;
    // SAFETY: `set` is initialised; -1 asks for a new descriptor.
    let fd = unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
    check(fd)?;
    // SAFETY: the descriptor is new and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Sends a signal by number: real-time signals have no names.
pub(crate) fn kill(pid: Pid, signal: i32) -> Result<(), Errno> {
    // SAFETY: kill touches no memory of this process.
    check(unsafe { libc::kill(pid.as_raw_nonzero().get(), signal) }).map(drop)
}

/// Sends a signal to every process of the machine but this one. Does nothing unless this process is
/// PID 1, so that it can never reach beyond the machine.
pub(crate) fn kill_all(signal: i32) {
    if std::process::id() == 1 {
        // SAFETY: kill touches no memory of this process. It fails only when nobody is left.
        unsafe { libc::kill(-1, signal) };
    }
}

/// Flushes all file systems from a forked child, which may take as long as the disk needs. Its exit
/// code is 0 when it worked.
pub(crate) fn flush_in_child() -> Result<Pid, Errno> {
    if let Some(pid) = fork()? {
        return Ok(pid);
    }
    let flushed = rustix::fs::open("/", rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty())
        .and_then(rustix::fs::syncfs);
    exit_now(u8::from(flushed.is_err()))
}

/// Forks this process; `None` in the child, which ends by [`exit_now`].
pub(crate) fn fork() -> Result<Option<Pid>, Errno> {
    // SAFETY: init has one thread in each of its modes, so the child may go on as it is.
    check(unsafe { libc::fork() }).map(Pid::from_raw)
}

/// Ends a forked child at once; runs nothing of the parent's.
pub(crate) fn exit_now(code: u8) -> ! {
    // SAFETY: `_exit` takes a number and does not return.
    unsafe { libc::_exit(code.into()) }
}

/// Does `work` with the file-system user and group of somebody else: the kernel shows open files of
/// a process to its own user, and init holds no `CAP_SYS_PTRACE`.
pub(crate) fn as_fs_user<T>(uid: u32, gid: u32, work: impl FnOnce() -> T) -> T {
    // SAFETY: both calls change credentials of this thread only and cannot fail harmfully: when they
    // are not permitted, nothing changes and `work` sees less.
    unsafe {
        libc::setfsgid(gid);
        libc::setfsuid(uid);
    }
    let result = work();
    // SAFETY: as above; back to root, which init runs as.
    unsafe {
        libc::setfsuid(0);
        libc::setfsgid(0);
    }
    result
}

/// Clock ticks per second in `/proc/*/stat`.
pub(crate) fn ticks_per_second() -> u64 {
    // SAFETY: sysconf touches no memory of this process.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_CLK_TCK) }).unwrap_or(100).max(1)
}

fn check(result: libc::c_int) -> Result<libc::c_int, Errno> {
    if result < 0 {
        return Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO));
    }
    Ok(result)
}
