//! Signals: most are ignored, SIGTERM becomes a readable descriptor.

#![allow(unsafe_code, reason = "signal masks have no safe wrapper")]

use std::io;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd as _, OwnedFd};

/// Readable when somebody has asked this process to terminate.
#[derive(Debug)]
pub(crate) struct TermSignal {
    fd: OwnedFd,
}

impl TermSignal {
    /// Ignores SIGPIPE, SIGHUP and SIGINT, and takes SIGTERM as an event. Children get the defaults
    /// back before they execute anything.
    pub(crate) fn listen() -> io::Result<Self> {
        // SAFETY: the set is initialised by `sigemptyset` before use; ignoring runs no code; the
        // descriptor is new and owned by nobody else.
        unsafe {
            for signal in [libc::SIGPIPE, libc::SIGHUP, libc::SIGINT] {
                libc::signal(signal, libc::SIG_IGN);
            }
            let mut set: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&raw mut set);
            libc::sigaddset(&raw mut set, libc::SIGTERM);
            if libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) != 0 {
                return Err(io::Error::last_os_error());
            }
            let fd = libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            Ok(Self { fd: OwnedFd::from_raw_fd(fd) })
        }
    }

    /// Takes one pending signal; `false` when there is none.
    pub(crate) fn take(&self) -> bool {
        let mut info = [0; size_of::<libc::signalfd_siginfo>()];
        rustix::io::read(&self.fd, &mut info).is_ok()
    }
}

impl AsFd for TermSignal {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
