//! Collecting children that have ended.

use guest_proto::message::Ended;
use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions};
use std::os::fd::OwnedFd;

/// Takes the news from a descriptor of [`watch_children`](crate::sys::watch_children). It only says
/// that there is somebody to collect; one may stand for many.
pub(crate) fn hear(news: &OwnedFd) -> Result<(), Errno> {
    let mut buffer = [0; 128];
    match rustix::io::read(news, &mut buffer) {
        Ok(_) | Err(Errno::AGAIN | Errno::INTR) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Collects one child that has ended: of ours, or an orphan of the machine.
pub(crate) fn next_ended() -> Result<Option<(Pid, Ended)>, Errno> {
    loop {
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) => {
                let ended =
                    Ended { code: status.exit_status(), signal: status.terminating_signal() };
                return Ok(Some((pid, ended)));
            }
            Ok(None) | Err(Errno::CHILD) => return Ok(None),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
}
