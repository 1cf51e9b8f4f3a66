//! The kernel's console: where init says what nobody else would hear.

use guest_root::place::DEV;
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use std::ffi::CStr;
use std::os::fd::{AsRawFd as _, IntoRawFd as _, OwnedFd};

/// Opens numbers 0 to 2 on something: where the kernel found no console at its start they are free, and
/// whatever came to lie there would be taken for the standard streams.
pub(super) fn reserve() -> Result<(), Errno> {
    loop {
        let opened = rustix::fs::open(c"/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        if opened.as_raw_fd() >= FIRST_FREE {
            return Ok(());
        }
        // It stays open until the console takes its place.
        let _reserved = opened.into_raw_fd();
    }
}

/// The first number that is no standard stream's.
const FIRST_FREE: i32 = 3;

/// Puts init's standard streams on the console, or on nothing where there is none, and takes its name
/// away: in the machine `/dev/console` is as in a container.
pub(super) fn take() -> Result<(), Errno> {
    let console = open(c"/dev/console").or_else(|_none| open(c"/dev/null"))?;
    dup2_stdin(&console)?;
    dup2_stdout(&console)?;
    dup2_stderr(&console)?;
    let dev = rustix::fs::open(DEV, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    match rustix::fs::unlinkat(dev, c"console", AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error),
    }
}

fn open(path: &CStr) -> Result<OwnedFd, Errno> {
    rustix::fs::open(path, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())
}
