//! The few system calls that need raw pointers, or change the thread that makes them.

#![allow(unsafe_code, reason = "libc calls without a safe wrapper")]

use anyhow::Context as _;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, IntoRawFd as _};
use std::path::Path;
use std::sync::atomic::{AtomicI32, Ordering};

const ENDING_SIGNALS: [libc::c_int; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

/// Where [`note_signal`] writes.
static SIGNAL_PIPE: AtomicI32 = AtomicI32::new(-1);

/// Turns the signals that end the run into bytes, their numbers, that can be read from the pipe
/// which is returned.
///
/// A handler, not a mask: children would inherit the mask and could not be told to end.
pub(crate) fn ending_signals() -> io::Result<File> {
    let (input, output) = pipe_with(PipeFlags::CLOEXEC)?;
    SIGNAL_PIPE.store(output.into_raw_fd(), Ordering::SeqCst);
    for signal in ENDING_SIGNALS {
        handle(signal)?;
    }
    Ok(File::from(input))
}

fn handle(signal: libc::c_int) -> io::Result<()> {
    // SAFETY: all zeros is a valid `sigaction`: no flags, an empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = note_signal as *const () as usize;
    action.sa_flags = libc::SA_RESTART;
    // SAFETY: `note_signal` has the type of a handler without `SA_SIGINFO` and does only what a
    // handler may; the old action is not asked for.
    let result = unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

extern "C" fn note_signal(signal: libc::c_int) {
    let [number, ..] = signal.to_le_bytes();
    // SAFETY: write is allowed in a handler; it reads one byte that lives here. Its failure would
    // mean a full pipe: then the end is under way already.
    unsafe { libc::write(SIGNAL_PIPE.load(Ordering::SeqCst), (&raw const number).cast(), 1) };
}

/// CPU time that process `pid` has used in all its threads, ended ones too, in nanoseconds; `None`
/// when it is gone. Unlike `/proc/<pid>/stat`, which counts in ticks of 10 ms.
pub(crate) fn cpu_ns(pid: u32) -> Option<u64> {
    let pid = libc::pid_t::try_from(pid).ok()?;
    let mut clock = 0;
    // SAFETY: `clock` is a place for one clock id.
    if unsafe { libc::clock_getcpuclockid(pid, &raw mut clock) } != 0 {
        return None;
    }
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a place for one time.
    if unsafe { libc::clock_gettime(clock, &raw mut time) } != 0 {
        return None;
    }
    let s = u64::try_from(time.tv_sec).ok()?;
    Some(s * 1_000_000_000 + u64::try_from(time.tv_nsec).ok()?)
}

/// Lets this thread, and no other, enter the network namespace that the file `namespace` stands for.
pub(crate) fn enter_network(namespace: &Path) -> anyhow::Result<()> {
    let file =
        File::open(namespace).with_context(|| format!("cannot open {}", namespace.display()))?;
    move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
        .with_context(|| format!("cannot enter {}", namespace.display()))
}

#[cfg(test)]
mod tests {
    #[test]
    fn this_process_has_used_time_and_an_impossible_one_has_not() {
        assert!(super::cpu_ns(std::process::id()).is_some_and(|ns| ns > 0));
        assert_eq!(super::cpu_ns(u32::MAX), None);
    }
}
