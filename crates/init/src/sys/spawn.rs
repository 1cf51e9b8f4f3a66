//! Starting a program: a child that shares our memory until it has executed the program.
//!
//! `CLONE_VM | CLONE_VFORK` copies no page tables and stops this process until the child has
//! executed or ended, so the child can leave its error in our memory. Between the clone and the
//! exec the child makes system calls only: it allocates nothing, takes no lock and touches nothing
//! but its [`Room`].

use super::oom;
use crate::plan::{Plan, Refusal, Stage};
use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions};
use std::convert::Infallible;
use std::ffi::{CString, c_char, c_int, c_void};
use std::os::fd::{AsRawFd as _, BorrowedFd};

/// Stack of the child: its frames are small, `execve` itself runs on the kernel's.
const STACK_BYTES: usize = 32 * 1024;

/// Starts the program of `plan` with these standard streams.
///
/// # Errors
/// The step that failed and the system's error; no process is left.
pub(crate) fn spawn(plan: &Plan, stdio: [BorrowedFd<'_>; 3]) -> Result<Pid, Refusal> {
    let strings = Strings::of(plan)?;
    let mut room = Room::new(plan, &strings, stdio);
    let mut stack = vec![0_u128; STACK_BYTES / size_of::<u128>()];
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: the stack is aligned, big enough and ours until the child has left it, which
    // CLONE_VFORK waits for; `room` lives as long.
    let pid = unsafe {
        let top = stack.as_mut_ptr().add(stack.len());
        libc::clone(run_child, top.cast(), flags, (&raw mut room).cast())
    };
    let Some(pid) = Pid::from_raw(pid).filter(|_| pid > 0) else {
        return Err(refusal(Stage::Process));
    };
    match room.refusal {
        None => Ok(pid),
        Some(refusal) => {
            // The child has ended already; somebody else's child is never taken away here.
            match rustix::process::waitpid(Some(pid), WaitOptions::empty()) {
                Ok(_) | Err(_) => Err(refusal),
            }
        }
    }
}

/// Turns this process into the program of `plan`; returns only when that failed.
pub(crate) fn become_program(plan: &Plan, stdio: [BorrowedFd<'_>; 3]) -> Refusal {
    let strings = match Strings::of(plan) {
        Ok(strings) => strings,
        Err(refusal) => return refusal,
    };
    let room = Room::new(plan, &strings, stdio);
    match enter(&room) {
        Err(refusal) => refusal,
    }
}

/// C strings of a plan.
struct Strings {
    paths: Vec<CString>,
    argv: Vec<CString>,
    env: Vec<CString>,
    working_dir: CString,
}

impl Strings {
    fn of(plan: &Plan) -> Result<Self, Refusal> {
        let convert = |strings: &[String]| -> Result<Vec<CString>, Refusal> {
            strings.iter().map(|text| c_string(text, Stage::Exec)).collect()
        };
        Ok(Self {
            paths: convert(&plan.paths)?,
            argv: convert(&plan.argv)?,
            env: convert(&plan.env)?,
            working_dir: c_string(&plan.working_dir, Stage::WorkingDir)?,
        })
    }
}

fn c_string(text: &str, stage: Stage) -> Result<CString, Refusal> {
    CString::new(text).map_err(|_nul| Refusal { stage, errno: Errno::INVAL.raw_os_error() })
}

/// All that the child looks at.
struct Room<'a> {
    paths: Vec<*const c_char>,
    argv: Vec<*const c_char>,
    env: Vec<*const c_char>,
    working_dir: *const c_char,
    plan: &'a Plan,
    stdio: [c_int; 3],
    refusal: Option<Refusal>,
}

impl<'a> Room<'a> {
    fn new(plan: &'a Plan, strings: &'a Strings, stdio: [BorrowedFd<'_>; 3]) -> Self {
        let pointers = |strings: &[CString]| strings.iter().map(|s| s.as_ptr()).collect::<Vec<_>>();
        let ended = |mut pointers: Vec<_>| {
            pointers.push(std::ptr::null());
            pointers
        };
        Self {
            paths: pointers(&strings.paths),
            argv: ended(pointers(&strings.argv)),
            env: ended(pointers(&strings.env)),
            working_dir: strings.working_dir.as_ptr(),
            plan,
            stdio: stdio.map(|fd| fd.as_raw_fd()),
            refusal: None,
        }
    }
}

extern "C" fn run_child(room: *mut c_void) -> c_int {
    // SAFETY: `spawn` passes a pointer to its Room, which lives until this child has executed or
    // ended, and does not touch it meanwhile.
    let room = unsafe { &mut *room.cast::<Room<'_>>() };
    match enter(room) {
        Err(refusal) => room.refusal = Some(refusal),
    }
    // SAFETY: ends the child at once and runs nothing of the parent's.
    unsafe { libc::_exit(127) }
}

/// From a copy of init to the program.
fn enter(room: &Room<'_>) -> Result<Infallible, Refusal> {
    reset_signals();
    // As root, to whom the file belongs.
    oom::raise(room.plan.role);
    set_up_stdio(room).map_err(|()| refusal(Stage::Stdio))?;
    // As root first: root enters directories that the user may not.
    let is_inside = change_dir(room).is_ok();
    change_identity(room.plan).map_err(|()| refusal(Stage::Identity))?;
    if !is_inside {
        change_dir(room).map_err(|()| refusal(Stage::WorkingDir))?;
    }
    Err(Refusal { stage: Stage::Exec, errno: execute(room) })
}

/// Default actions and an empty mask, whatever init and its launcher had. By raw system calls: the
/// C library refuses to touch the signals it keeps for itself.
fn reset_signals() {
    let default = [0_u64; 4];
    let none = 0_u64;
    // SAFETY: 32 bytes of zero are a kernel sigaction with the default action, 8 an empty set; both
    // live through the calls. Actions are not shared (no CLONE_SIGHAND). Errors are for signals
    // whose action cannot be changed.
    unsafe {
        for signal in 1..=SIGNAL_MAX {
            let old = std::ptr::null_mut::<u64>();
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                default.as_ptr(),
                old,
                size_of_val(&none),
            );
        }
        let old = std::ptr::null_mut::<u64>();
        let how = libc::SIG_SETMASK;
        libc::syscall(libc::SYS_rt_sigprocmask, how, &raw const none, old, size_of_val(&none));
    }
}

/// Largest signal number of Linux.
const SIGNAL_MAX: c_int = 64;

fn set_up_stdio(room: &Room<'_>) -> Result<(), ()> {
    // SAFETY: system calls on numbers only. setsid fails only for a group leader, which has what it
    // needs then. The descriptor table is the child's own (no CLONE_FILES).
    unsafe {
        libc::setsid();
        if room.plan.has_terminal && libc::ioctl(room.stdio[0], libc::TIOCSCTTY, 0) < 0 {
            return Err(());
        }
        for (target, source) in (0..).zip(room.stdio) {
            if libc::dup2(source, target) < 0 {
                return Err(());
            }
        }
        // A second lock: each descriptor of ours is close-on-exec already.
        libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC);
    }
    Ok(())
}

fn change_dir(room: &Room<'_>) -> Result<(), ()> {
    // SAFETY: the pointer is to a C string that `spawn` keeps.
    if unsafe { libc::chdir(room.working_dir) } < 0 { Err(()) } else { Ok(()) }
}

/// By raw system calls: the C library's wrappers would signal other threads of the shared memory.
fn change_identity(plan: &Plan) -> Result<(), ()> {
    let Plan { identity, .. } = plan;
    let (uid, gid) = (identity.uid, identity.gid);
    // SAFETY: setgroups reads `groups.len()` ids, which the plan keeps; the others take numbers.
    unsafe {
        let groups = &identity.groups;
        if libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) < 0
            || libc::syscall(libc::SYS_setresgid, gid, gid, gid) < 0
            || libc::syscall(libc::SYS_setresuid, uid, uid, uid) < 0
        {
            return Err(());
        }
    }
    Ok(())
}

/// Tries each path as `execvp` does: goes on over what is not there, remembers what is forbidden.
fn execute(room: &Room<'_>) -> c_int {
    let mut outcome = libc::ENOENT;
    for path in &room.paths {
        // SAFETY: all pointers are to C strings and to arrays that end with a null pointer, kept by
        // `spawn` until the exec is done.
        unsafe { libc::execve(*path, room.argv.as_ptr(), room.env.as_ptr()) };
        match errno() {
            libc::ENOENT | libc::ENOTDIR => {}
            libc::EACCES => outcome = libc::EACCES,
            other => return other,
        }
    }
    outcome
}

fn refusal(stage: Stage) -> Refusal {
    Refusal { stage, errno: errno() }
}

fn errno() -> c_int {
    // SAFETY: the location is this thread's own and always valid. In the child it is the stopped
    // parent's, which reads it only after its own next call.
    unsafe { *libc::__errno_location() }
}
