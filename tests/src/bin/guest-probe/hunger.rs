//! Takes all it can get.
//!
//! * `fork N`: makes up to `N` children that wait; prints how many there were and why no more.
//! * `eat-ram`: touches ever more RAM; ends when the kernel ends it.

use crate::say::{failed, say, usage};
use std::io::{self, Write as _};
use std::process::ExitCode;

/// RAM taken at a time.
const BITE_BYTES: usize = 4 * 1024 * 1024;

pub(crate) fn fork(words: &[&str]) -> ExitCode {
    let [wanted] = words else { return usage("fork N") };
    let Ok(wanted) = wanted.parse::<usize>() else { return usage("fork N") };
    let mut children = Vec::new();
    let end = loop {
        if children.len() == wanted {
            break None;
        }
        match fork_waiting() {
            Ok(pid) => children.push(pid),
            Err(error) => break Some(error),
        }
    };
    let n_children = children.len();
    children.into_iter().for_each(end_child);
    let said = say(&format!("children: {n_children}"));
    end.map_or(said, |error| failed(&error))
}

#[allow(unsafe_code, reason = "forks")]
fn fork_waiting() -> io::Result<libc::pid_t> {
    // SAFETY: this process has one thread; the child only waits for a signal.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => loop {
            // SAFETY: it takes nothing and changes nothing.
            unsafe { libc::pause() };
        },
        pid => Ok(pid),
    }
}

#[allow(unsafe_code, reason = "signals and reaps")]
fn end_child(pid: libc::pid_t) {
    // SAFETY: the pid is a child's that has not been reaped; a null status is allowed.
    unsafe {
        libc::kill(pid, libc::SIGKILL);
        libc::waitpid(pid, std::ptr::null_mut(), 0);
    }
}

pub(crate) fn eat_ram() -> ExitCode {
    let mut eaten: Vec<Vec<u8>> = Vec::new();
    loop {
        // Not zeroes: those need no page.
        eaten.push(vec![0xAA; BITE_BYTES]);
        let eaten_mib = eaten.len() * BITE_BYTES / (1024 * 1024);
        if writeln!(io::stdout(), "eaten: {eaten_mib} MiB").is_err() {
            return ExitCode::FAILURE;
        }
    }
}
