//! `/.fly/api`: what the guest says to its own host.
//!
//! Init listens on a unix socket in the guest (`/.dormouse` is another name of its directory) and
//! relays each connection as a stream; who speaks is told by the channel it comes from.

use crate::inbox::Inbox;
use crate::start_error::text;
use guest_proto::SendWindow;
use rustix::fs::{AtFlags, CWD, FileType, Mode};
use rustix::io::Errno;
use rustix::net::{AddressFamily, Shutdown, SocketAddrUnix, SocketFlags, SocketType};
use std::os::fd::OwnedFd;

/// Directory of the socket.
const DIR: &str = "/.fly";

/// The socket.
const PATH: &str = "/.fly/api";

/// The same directory under our own name.
const ALIAS: &str = "/.dormouse";

/// Connections that wait to be accepted: as many as there are streams.
const BACKLOG: i32 = 64;

/// Opens the socket.
///
/// # Errors
/// A sentence for the log.
pub(crate) fn listen() -> Result<OwnedFd, String> {
    listen_on().map_err(|error| format!("cannot listen on {PATH}: {}", text(error)))
}

fn listen_on() -> Result<OwnedFd, Errno> {
    make_own_dir()?;
    match rustix::fs::unlink(PATH) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => return Err(error),
    }
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    bind_for_all(&socket)?;
    rustix::net::listen(&socket, BACKLOG)?;
    match rustix::fs::symlink(DIR, ALIAS) {
        Ok(()) | Err(Errno::EXIST) => Ok(socket),
        Err(error) => Err(error),
    }
}

/// Everybody in the machine may connect. Made with that mode, it need not be changed once more on
/// the disk.
fn bind_for_all(socket: &OwnedFd) -> Result<(), Errno> {
    let own = rustix::process::umask(Mode::from_raw_mode(0o111));
    let bound = rustix::net::bind(socket, &SocketAddrUnix::new(PATH)?);
    rustix::process::umask(own);
    bound
}

/// A directory of root's that nobody else writes to. Something else in its place is the image's
/// business and no place for the socket.
fn make_own_dir() -> Result<(), Errno> {
    match rustix::fs::mkdir(DIR, Mode::from_raw_mode(0o755)) {
        Ok(()) => return Ok(()),
        Err(Errno::EXIST) => {}
        Err(error) => return Err(error),
    }
    let stat = rustix::fs::statat(CWD, DIR, AtFlags::SYMLINK_NOFOLLOW)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory if stat.st_uid == 0 => Ok(()),
        _ => Err(Errno::NOTDIR),
    }
}

/// Accepts one waiting connection.
pub(crate) fn accept(listener: &OwnedFd) -> Option<OwnedFd> {
    rustix::net::accept_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK).ok()
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: OwnedFd,
    /// Bytes of the host on their way to the guest.
    pub(crate) inbox: Inbox,
    /// What may still be sent to the host.
    pub(crate) window: SendWindow,
    has_guest_ended: bool,
    has_host_ended: bool,
}

/// What a read of a connection brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// This many bytes.
    Bytes(usize),
    /// Nothing now.
    Nothing,
    /// The guest sends no more.
    End,
    /// The connection is broken.
    Broken,
}

impl Connection {
    pub(crate) const fn new(socket: OwnedFd) -> Self {
        Self {
            socket,
            inbox: Inbox::new(),
            window: SendWindow::new(),
            has_guest_ended: false,
            has_host_ended: false,
        }
    }

    /// The socket, and whether it is to be read and written now. `None` when there is nothing to
    /// wait for but credit.
    pub(crate) fn interest(&self, host_takes_output: bool) -> Option<(&OwnedFd, bool, bool)> {
        let reads = !self.has_guest_ended && host_takes_output && self.window.left_bytes() > 0;
        let writes = self.inbox.is_waiting();
        (reads || writes || self.has_guest_ended).then_some((&self.socket, reads, writes))
    }

    /// Both sides have said all they had to say.
    pub(crate) const fn is_over(&self) -> bool {
        self.has_guest_ended && self.has_host_ended
    }

    /// Reads into `buffer` as far as the window allows.
    pub(crate) fn hear(&mut self, buffer: &mut [u8]) -> Heard {
        let room = self.window.left_bytes().min(buffer.len());
        if room == 0 || self.has_guest_ended {
            return Heard::Nothing;
        }
        match rustix::io::read(&self.socket, &mut buffer[..room]) {
            Ok(0) => {
                self.has_guest_ended = true;
                Heard::End
            }
            Ok(n_bytes) => {
                self.window.spend(n_bytes);
                Heard::Bytes(n_bytes)
            }
            Err(Errno::AGAIN | Errno::INTR) => Heard::Nothing,
            Err(_) => Heard::Broken,
        }
    }

    /// Writes what the guest takes now; returns credit to give back.
    ///
    /// # Errors
    /// The connection is broken.
    pub(crate) fn tell(&mut self) -> Result<Option<u32>, Errno> {
        let credit = self.inbox.write_to(&self.socket)?;
        if self.inbox.is_over() && !self.has_host_ended {
            self.has_host_ended = true;
            rustix::net::shutdown(&self.socket, Shutdown::Write)?;
        }
        Ok(credit)
    }
}
