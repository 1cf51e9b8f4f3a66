//! The system calls that rustix lacks, each behind a safe or narrowly unsafe function.

#![allow(unsafe_code, reason = "system calls without a safe wrapper")]

use rustix::io::Errno;
use rustix::process::Pid;
use std::ffi::{CStr, CString, c_char, c_int, c_long};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};

/// An instruction of a classic BPF program. Layout of `struct sock_filter`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BpfInstruction {
    pub(crate) code: u16,
    pub(crate) jump_true: u8,
    pub(crate) jump_false: u8,
    pub(crate) k: u32,
}

/// `struct clone_args` of version 2 (with `cgroup`).
#[repr(C, align(8))]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// `struct mount_attr`.
#[repr(C)]
#[derive(Default)]
struct MountAttr {
    attr_set: u64,
    attr_clr: u64,
    propagation: u64,
    userns_fd: u64,
}

/// Which side of a clone this is.
pub(crate) enum Cloned {
    /// The new process.
    Child,
    /// The caller, with the new process.
    Parent { pid: Pid, pidfd: OwnedFd },
}

const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

fn check(result: c_long) -> Result<c_long, Errno> {
    if result >= 0 {
        return Ok(result);
    }
    // SAFETY: the location of `errno` is always valid.
    Err(Errno::from_raw_os_error(unsafe { *libc::__errno_location() }))
}

fn fd_word(fd: RawFd) -> u64 {
    u64::try_from(fd).expect("an open descriptor is not negative")
}

/// Clones the process into new namespaces, and into `cgroup` (a v2 directory) if there is one.
///
/// # Safety
/// The child runs on a copy of this process with this thread alone. Until it executes a program or
/// exits, it must not use what other threads may hold: no allocation, no locks, no stdio.
pub(crate) unsafe fn clone3(
    namespaces: c_int,
    cgroup: Option<BorrowedFd<'_>>,
) -> Result<Cloned, Errno> {
    let mut pidfd: RawFd = -1;
    let flags = u64::try_from(namespaces | libc::CLONE_PIDFD).expect("flags are small");
    let mut args = CloneArgs {
        flags,
        pidfd: (&raw mut pidfd).addr() as u64,
        exit_signal: u64::try_from(libc::SIGCHLD).expect("a small constant"),
        ..CloneArgs::default()
    };
    if let Some(cgroup) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = fd_word(cgroup.as_raw_fd());
    }
    // SAFETY: `args` is a valid `clone_args` for the call; without CLONE_VM the child has its own
    // copy of the stack. The caller keeps the rules for the child.
    let pid =
        check(unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<CloneArgs>()) })?;
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return Ok(Cloned::Child);
    };
    // SAFETY: the kernel stored a new descriptor that nobody else owns.
    Ok(Cloned::Parent { pid, pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) } })
}

/// Changes the attributes of a mount; `userns` gives a detached one an idmap.
pub(crate) fn mount_setattr(
    mount: BorrowedFd<'_>,
    attributes: u64,
    userns: Option<BorrowedFd<'_>>,
) -> Result<(), Errno> {
    let mut attr = MountAttr { attr_set: attributes, ..MountAttr::default() };
    if let Some(userns) = userns {
        attr.attr_set |= libc::MOUNT_ATTR_IDMAP;
        attr.userns_fd = fd_word(userns.as_raw_fd());
    }
    // SAFETY: the path is a C string, `attr` a valid `mount_attr` of the given size.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const attr,
            size_of::<MountAttr>(),
        )
    })
    .map(drop)
}

/// Closes a copied process's own copy of a descriptor.
///
/// # Safety
/// Nothing in this process may use or close it afterwards.
pub(crate) unsafe fn close_copy(fd: RawFd) {
    // SAFETY: takes a number only; the caller gives it up. An error changes nothing: Linux has let
    // go of the number even then.
    unsafe { libc::close(fd) };
}

/// Marks every descriptor from `first` on to be closed by `execve`.
pub(crate) fn close_on_exec_from(first: RawFd) -> Result<(), Errno> {
    // SAFETY: takes numbers only; flags of descriptors are not memory.
    check(unsafe {
        libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC)
    })
    .map(drop)
}

/// A copy of `fd` with a number of at least `lowest`, closed by `execve`.
pub(crate) fn duplicate_above(fd: impl AsFd, lowest: RawFd) -> Result<OwnedFd, Errno> {
    rustix::io::fcntl_dupfd_cloexec(fd, lowest)
}

/// Puts a copy of `fd` at the number `target`, which stays open across `execve`.
///
/// # Safety
/// Whatever is at `target` is closed; nobody may own it.
pub(crate) unsafe fn place_at(fd: BorrowedFd<'_>, target: RawFd) -> Result<(), Errno> {
    // SAFETY: takes numbers only; the caller gives `target` up.
    check(c_long::from(unsafe { libc::dup2(fd.as_raw_fd(), target) })).map(drop)
}

/// Gives every signal its default action and an empty mask, as a new program expects.
pub(crate) fn reset_signals() -> Result<(), Errno> {
    for signal in 1..=64 {
        // SAFETY: the default action runs no code of ours. KILL, STOP and the two signals that
        // glibc keeps for itself refuse, which changes nothing.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    // SAFETY: an all-zero set is the empty set; the old mask is not asked for.
    let result = unsafe {
        let empty: libc::sigset_t = std::mem::zeroed();
        libc::sigprocmask(libc::SIG_SETMASK, &raw const empty, std::ptr::null_mut())
    };
    check(c_long::from(result)).map(drop)
}

/// Leaves the session keyring of the host for a new, empty one.
pub(crate) fn join_new_session_keyring() -> Result<(), Errno> {
    const KEYCTL_JOIN_SESSION_KEYRING: c_int = 1;
    // SAFETY: a null name asks for an anonymous keyring.
    check(unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, 0_usize) })
        .map(drop)
}

/// Installs a seccomp filter for this thread and all its children.
pub(crate) fn set_seccomp_filter(program: &[BpfInstruction]) -> Result<(), Errno> {
    #[repr(C)]
    struct Program {
        len: u16,
        filter: *const BpfInstruction,
    }
    let len = u16::try_from(program.len()).map_err(|_too_long| Errno::INVAL)?;
    let program = Program { len, filter: program.as_ptr() };
    // SAFETY: `program` has the layout of `sock_fprog` and points to `len` instructions.
    check(unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program)
    })
    .map(drop)
}

/// A vector of C strings as `execve` wants it: pointers with a null at the end.
#[derive(Debug)]
pub(crate) struct ExecStrings {
    /// What the pointers lead to, as far as it is not the program's own.
    _owned: Vec<CString>,
    pointers: Vec<*const c_char>,
}

impl ExecStrings {
    /// Strings that live as long as the program.
    pub(crate) fn new(strings: &[&'static CStr]) -> Self {
        Self { _owned: Vec::new(), pointers: ended(strings.iter().map(|s| s.as_ptr())) }
    }

    /// Strings that live in here.
    pub(crate) fn owned(strings: Vec<CString>) -> Self {
        let pointers = ended(strings.iter().map(|s| s.as_ptr()));
        Self { _owned: strings, pointers }
    }
}

fn ended(pointers: impl Iterator<Item = *const c_char>) -> Vec<*const c_char> {
    pointers.chain(std::iter::once(std::ptr::null())).collect()
}

/// Runs the program that `file` is open on; returns only when that fails.
pub(crate) fn execute(file: BorrowedFd<'_>, argv: &ExecStrings, envp: &ExecStrings) -> Errno {
    // SAFETY: both vectors are null-terminated arrays of strings that live as long as they do.
    let result = check(unsafe {
        libc::syscall(
            libc::SYS_execveat,
            file.as_raw_fd(),
            c"".as_ptr(),
            argv.pointers.as_ptr(),
            envp.pointers.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    });
    result.err().unwrap_or(Errno::NOEXEC)
}

/// Runs the program at `path`; returns only when that fails.
pub(crate) fn execute_path(path: &CStr, argv: &ExecStrings, envp: &ExecStrings) -> Errno {
    // SAFETY: as for `execute`; the path is a C string.
    let result = check(c_long::from(unsafe {
        libc::execve(path.as_ptr(), argv.pointers.as_ptr(), envp.pointers.as_ptr())
    }));
    result.err().unwrap_or(Errno::NOEXEC)
}

/// Ends this process without running any destructor or exit handler.
pub(crate) fn exit_now(code: c_int) -> ! {
    // SAFETY: ends the process; nothing of it is used afterwards.
    unsafe { libc::_exit(code) }
}

/// Joins the namespace behind `fd`, of whatever kind it is.
pub(crate) fn join_namespace(fd: BorrowedFd<'_>) -> Result<(), Errno> {
    rustix::thread::move_into_link_name_space(fd, None)
}

/// Leaves some namespaces for new ones.
pub(crate) fn unshare(flags: rustix::thread::UnshareFlags) -> Result<(), Errno> {
    // SAFETY: CLONE_FILES is never among the flags here, so descriptors stay what they are.
    unsafe { rustix::thread::unshare_unsafe(flags) }
}

/// Forks a child that plays with `end` until it is done, then exits. It dies with this thread.
pub(crate) fn fork_with(
    end: std::os::unix::net::UnixStream,
    play: impl FnOnce(std::os::unix::net::UnixStream) -> std::io::Result<()>,
) -> Result<(Pid, OwnedFd), Errno> {
    use rustix::process::{PidfdFlags, Signal, pidfd_open, set_parent_process_death_signal};
    // SAFETY: this is the C library's own fork, after which the allocator works in the child; the
    // child uses nothing else that another thread could hold.
    let pid = check(c_long::from(unsafe { libc::fork() }))?;
    match i32::try_from(pid).ok().and_then(Pid::from_raw) {
        Some(pid) => Ok((pid, pidfd_open(pid, PidfdFlags::empty())?)),
        None => {
            let tied = set_parent_process_death_signal(Some(Signal::KILL));
            let played = tied.map_err(std::io::Error::from).and_then(|()| play(end));
            exit_now(i32::from(played.is_err()))
        }
    }
}
