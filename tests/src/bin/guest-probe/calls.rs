//! System calls that a machine must not be able to make, given by number.
//!
//! * `syscall NUMBER [ARGUMENT…]`: one call of the x86-64 ABI (or x32, by its bit), from a thread of
//!   its own so that arguments of zero and missing ones are harmless.
//! * `int80 NUMBER`: one call of the i386 ABI.
//! * `setns PATH`: joins the namespace at `PATH`.
//! * `real-time`: asks to run before everything else.
//! * `chroot-out FILE`: leaves a chroot of its own the classical way and looks for `FILE`.

use crate::say::{failed, say, usage};
use std::ffi::{c_int, c_long};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::process::ExitCode;

/// Levels that lead from any directory to the root.
const UP_MAX: usize = 64;

pub(crate) fn syscall(words: &[&str]) -> ExitCode {
    let Some(numbers) = words.iter().map(|word| number(word)).collect::<Option<Vec<_>>>() else {
        return usage("syscall NUMBER [ARGUMENT…]");
    };
    let [call, arguments @ ..] = numbers.as_slice() else {
        return usage("syscall NUMBER [ARGUMENT…]");
    };
    let mut six = [0; 6];
    six.iter_mut().zip(arguments).for_each(|(to, from)| *to = *from);
    match raw(*call, six) {
        Ok(answer) => say(&format!("made: {answer}")),
        Err(error) => failed(&error),
    }
}

/// Decimal, or hexadecimal after `0x`.
fn number(word: &str) -> Option<c_long> {
    match word.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(digits, 16).ok(),
        None => word.parse().ok(),
    }
}

#[allow(unsafe_code, reason = "the calls under test have no safe form")]
fn raw(call: c_long, [a, b, c, d, e, f]: [c_long; 6]) -> io::Result<c_long> {
    // SAFETY: none is needed: whatever the call does to this process, it was asked for, and nothing
    // runs here afterwards but the report of its answer.
    let answer = unsafe { libc::syscall(call, a, b, c, d, e, f) };
    if answer == -1 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}

pub(crate) fn int80(words: &[&str]) -> ExitCode {
    let [call] = words else { return usage("int80 NUMBER") };
    let Ok(call) = call.parse::<u64>() else { return usage("int80 NUMBER") };
    let answer = raw_i386(call);
    match i32::try_from(answer) {
        Ok(error) if error < 0 => failed(&io::Error::from_raw_os_error(-error)),
        Ok(_) | Err(_) => say(&format!("made: {answer}")),
    }
}

#[allow(unsafe_code, reason = "the ABI under test has no safe form")]
fn raw_i386(call: u64) -> i64 {
    let answer;
    // SAFETY: the kernel changes no register but the answer's and those named as lost; the callers
    // ask for calls without arguments.
    unsafe {
        std::arch::asm!("int 0x80", inlateout("rax") call => answer,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _);
    }
    answer
}

pub(crate) fn setns(words: &[&str]) -> ExitCode {
    let [path] = words else { return usage("setns PATH") };
    let joined = File::open(path)
        .and_then(|namespace| raw(libc::SYS_setns, [namespace.as_raw_fd().into(), 0, 0, 0, 0, 0]));
    match joined {
        Ok(_) => say("joined"),
        Err(error) => failed(&error),
    }
}

#[allow(unsafe_code, reason = "the call under test has no safe form")]
pub(crate) fn real_time() -> ExitCode {
    let param = libc::sched_param { sched_priority: 1 };
    // SAFETY: the kernel reads the structure.
    match unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const param) } {
        0 => say("made"),
        _ => failed(&io::Error::last_os_error()),
    }
}

pub(crate) fn chroot_out(words: &[&str]) -> ExitCode {
    let [file] = words else { return usage("chroot-out FILE") };
    match leave_chroot() {
        Ok(()) if Path::new(file).exists() => say("found"),
        Ok(()) => failed(&io::Error::from_raw_os_error(libc::ENOENT)),
        Err(error) => failed(&error),
    }
}

/// Keeps a directory above the new root open, goes there, then up as far as it leads.
fn leave_chroot() -> io::Result<()> {
    std::fs::create_dir_all("/tmp/jail")?;
    let above = File::open("/")?;
    std::os::unix::fs::chroot("/tmp/jail")?;
    raw(libc::SYS_fchdir, [c_int::into(above.as_raw_fd()), 0, 0, 0, 0, 0])?;
    for _ in 0..UP_MAX {
        std::env::set_current_dir("..")?;
    }
    std::os::unix::fs::chroot(".")
}
