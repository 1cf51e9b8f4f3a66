//! The port that leads to the host.

use super::Failure;
use crate::host::HostChannel;
use guest_proto::FromGuest;
use guest_root::place::DEV;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Dir, Mode, OFlags, inotify};
use rustix::io::Errno;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// Names of the first port of a serial device: the number between is the device's among all that the
/// kernel has found, and there is one serial device.
const NAME_BEGINS: &[u8] = b"vport";
const NAME_ENDS: &[u8] = b"p1";

/// Longest wait for the port, once the modules are loaded. It takes milliseconds; without hardware help
/// and on a busy host, much longer.
const APPEARS_WITHIN: Duration = Duration::from_secs(60);

/// Tells the host that this kernel waits, and returns the channel when the host has its end open.
pub(super) fn wait_for_host() -> Result<HostChannel, Failure> {
    let port = wait_for_port().map_err(Failure::of("open the port that leads to the host"))?;
    HostChannel::serial_from(port, &waiting())
        .map_err(|lost| Failure(format!("cannot reach the host: {lost}")))
}

/// The word that this kernel waits.
pub(super) fn waiting() -> FromGuest {
    let kernel = rustix::system::uname().release().to_string_lossy().into_owned();
    FromGuest::Waiting { kernel }
}

/// Opens the port when it appears. Its first write waits for the host.
fn wait_for_port() -> Result<OwnedFd, Errno> {
    let news = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
    inotify::add_watch(&news, DEV, inotify::WatchFlags::CREATE)?;
    let deadline = Instant::now() + APPEARS_WITHIN;
    loop {
        if let Some(port) = open_port()? {
            return Ok(port);
        }
        wait_until_readable(&news, deadline)?;
        drain(&news)?;
    }
}

/// The port, if it is there.
fn open_port() -> Result<Option<OwnedFd>, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dev = rustix::fs::open(DEV, flags, Mode::empty())?;
    for entry in Dir::read_from(&dev)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name.starts_with(NAME_BEGINS) && name.ends_with(NAME_ENDS) {
            let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOCTTY;
            return rustix::fs::openat(&dev, entry.file_name(), flags, Mode::empty()).map(Some);
        }
    }
    Ok(None)
}

/// Waits for news on a descriptor.
///
/// # Errors
/// [`Errno::TIMEDOUT`] at the deadline.
pub(super) fn wait_until_readable(news: &OwnedFd, deadline: Instant) -> Result<(), Errno> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).map_err(|_too_long| Errno::INVAL)?;
        match poll(&mut [PollFd::new(news, PollFlags::IN)], Some(&timeout)) {
            Ok(0) if left.is_zero() => return Err(Errno::TIMEDOUT),
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

/// Reads all news: that there are some is all that counts.
fn drain(news: &OwnedFd) -> Result<(), Errno> {
    let mut buffer = [0; 4096];
    loop {
        match rustix::io::read(news, &mut buffer) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}
