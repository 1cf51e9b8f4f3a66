//! Lines over a unix socket, each with descriptors if wanted.

use super::error::QmpError;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use std::io::{self, IoSlice, Read as _};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Instant;

/// Longest line that is read, in bytes. The longest answer of the commands that we use has a few
/// thousand.
const LINE_MAX_BYTES: usize = 256 * 1024;

/// Bytes read at a time.
const READ_BYTES: usize = 4096;

/// Descriptors that one command takes at most.
const FDS_MAX: usize = 1;

/// The socket with what has been read and not been taken.
#[derive(Debug)]
pub(super) struct Lines {
    stream: UnixStream,
    unread: Vec<u8>,
    /// Bytes at the beginning of `unread` without an end of line.
    n_searched: usize,
}

impl Lines {
    pub(super) fn new(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self { stream, unread: Vec::new(), n_searched: 0 })
    }

    /// Sends a line, `fds` with its first byte. After half a line nothing more can be said: then the
    /// socket is shut.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub(super) fn send(
        &self,
        what: &'static str,
        line: &str,
        fds: &[BorrowedFd<'_>],
        deadline: Instant,
    ) -> Result<(), QmpError> {
        assert!(fds.len() <= FDS_MAX, "a command has at most {FDS_MAX} descriptor");
        let bytes = format!("{line}\n").into_bytes();
        let mut n_sent = 0;
        let sent = loop {
            let fds = if n_sent == 0 { fds } else { &[] };
            match self.send_some(&bytes[n_sent..], fds) {
                Ok(n) => n_sent += n,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => match self.wait(PollFlags::OUT, what, deadline) {
                    Ok(()) => {}
                    failed => break failed,
                },
                Err(Errno::PIPE | Errno::CONNRESET) => break Err(QmpError::Closed),
                Err(errno) => break Err(io::Error::from(errno).into()),
            }
            if n_sent == bytes.len() {
                return Ok(());
            }
        };
        if n_sent > 0 {
            self.stream.shutdown(Shutdown::Both).ok();
        }
        sent
    }

    fn send_some(&self, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> Result<usize, Errno> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() {
            let has_room = control.push(SendAncillaryMessage::ScmRights(fds));
            assert!(has_room, "the space is that of {FDS_MAX} descriptors");
        }
        sendmsg(&self.stream, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)
    }

    /// Waits for the next line; without its end.
    ///
    /// # Errors
    /// [`QmpError::Deadline`] in the name of `what`.
    pub(super) fn next(
        &mut self,
        what: &'static str,
        deadline: Instant,
    ) -> Result<Vec<u8>, QmpError> {
        loop {
            if let Some(line) = self.next_if_there()? {
                return Ok(line);
            }
            self.wait(PollFlags::IN, what, deadline)?;
        }
    }

    /// The next line, if it has come.
    ///
    /// # Errors
    /// [`QmpError::Closed`] after the last line.
    pub(super) fn next_if_there(&mut self) -> Result<Option<Vec<u8>>, QmpError> {
        loop {
            if let Some(line) = self.take_line() {
                return Ok(Some(line));
            }
            if self.unread.len() > LINE_MAX_BYTES {
                let what = format!("a line of more than {LINE_MAX_BYTES} bytes");
                return Err(QmpError::Garbage { what });
            }
            if !self.fill()? {
                return Ok(None);
            }
        }
    }

    fn take_line(&mut self) -> Option<Vec<u8>> {
        let found = self.unread[self.n_searched..].iter().position(|byte| *byte == b'\n');
        let Some(end) = found.map(|n| self.n_searched + n) else {
            self.n_searched = self.unread.len();
            return None;
        };
        let mut line: Vec<u8> = self.unread.drain(..=end).collect();
        line.truncate(line.trim_ascii_end().len());
        self.n_searched = 0;
        Some(line)
    }

    /// Reads once; whether there was something.
    fn fill(&mut self) -> Result<bool, QmpError> {
        let mut bytes = [0; READ_BYTES];
        loop {
            match self.stream.read(&mut bytes) {
                Ok(0) => return Err(QmpError::Closed),
                Ok(n) => {
                    self.unread.extend_from_slice(&bytes[..n]);
                    return Ok(true);
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return Ok(false),
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::ConnectionReset => return Err(QmpError::Closed),
                    _ => return Err(error.into()),
                },
            }
        }
    }

    fn wait(
        &self,
        readiness: PollFlags,
        what: &'static str,
        deadline: Instant,
    ) -> Result<(), QmpError> {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).ok();
        match poll(&mut [PollFd::new(&self.stream, readiness)], timeout.as_ref()) {
            Ok(0) => Err(QmpError::Deadline { what }),
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(io::Error::from(errno).into()),
        }
    }
}

impl AsFd for Lines {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
