//! Processes in namespaces of their own.

use super::check;
use rustix::io::Errno;
use rustix::process::Pid;
use std::convert::Infallible;
use std::ffi::CStr;
use std::os::fd::{AsRawFd as _, OwnedFd};

/// Forks this process into pid and mount namespaces of its own; `None` in the child.
pub(crate) fn fork_apart() -> Result<Option<Pid>, Errno> {
    let flags = libc::CLONE_NEWPID | libc::CLONE_NEWNS | libc::SIGCHLD;
    // SAFETY: without a stack and without CLONE_VM it is a fork; this process has one thread.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) };
    let pid = libc::c_int::try_from(pid).map_err(|_no_pid| Errno::OVERFLOW)?;
    Ok(Pid::from_raw(check(pid)?))
}

/// Makes the cgroup that this process is in the root of all that it sees.
pub(crate) fn leave_cgroup() -> Result<(), Errno> {
    // SAFETY: nothing but the cgroup namespace changes.
    check(unsafe { libc::unshare(libc::CLONE_NEWCGROUP) }).map(drop)
}

/// Runs the program that `file` is open on, with `passed` as its descriptor `number` and an empty
/// environment; returns only when that fails.
pub(crate) fn execute<const N: usize>(
    file: &OwnedFd,
    argv: [&'static CStr; N],
    passed: OwnedFd,
    number: i32,
) -> Result<Infallible, Errno> {
    // Away from the number, so that it is always copied there, and then not closed.
    let passed = rustix::io::fcntl_dupfd_cloexec(passed, number + 1)?;
    let file = rustix::io::fcntl_dupfd_cloexec(file, number + 1)?;
    // SAFETY: whoever owned that number in this process is not used again: it becomes another program,
    // or ends.
    check(unsafe { libc::dup2(passed.as_raw_fd(), number) })?;
    let mut argv: Vec<_> = argv.iter().map(|word| word.as_ptr()).collect();
    argv.push(std::ptr::null());
    let envp = [std::ptr::null::<libc::c_char>()];
    // SAFETY: both vectors end with a null and hold strings that live as long as the program.
    check(unsafe {
        libc::execveat(
            file.as_raw_fd(),
            c"".as_ptr(),
            argv.as_ptr().cast(),
            envp.as_ptr().cast(),
            libc::AT_EMPTY_PATH,
        )
    })?;
    Err(Errno::NOEXEC)
}
