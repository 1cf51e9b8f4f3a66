//! One end of a framed unix stream socket, for programs that wait with `poll`.
//!
//! Nothing here blocks: [`Connection::fill`] and [`Connection::flush`] do what is possible now, and
//! the caller polls for the rest. What waits to be sent is bounded by the caller, who sees it in
//! [`Connection::queued_bytes`].

use guest_proto::{Decoder, Frame, FrameError, FrameKind, encode, encode_message};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use serde::Serialize;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Instant;

/// Bytes read at a time. On the stack, and small, because a shim has to stay below 2 MiB.
const READ_BYTES: usize = 16 * 1024;

/// Capacity that the send queue keeps when it is empty.
const IDLE_QUEUE_BYTES: usize = 16 * 1024;

/// A socket with its unread and unsent frames.
#[derive(Debug)]
pub struct Connection {
    stream: UnixStream,
    decoder: Decoder,
    epoch: u32,
    out: Vec<u8>,
    n_sent: usize,
}

/// What [`Connection::fill`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filled {
    /// Bytes arrived: take the frames, then fill again.
    Some,
    /// Nothing more now.
    Empty,
    /// The peer has closed its end; frames may still wait in the decoder.
    Closed,
}

impl Connection {
    /// Takes over `stream`; all frames sent carry `epoch`.
    ///
    /// # Errors
    /// When the socket cannot be made nonblocking.
    pub fn new(stream: UnixStream, epoch: u32) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        let decoder = Decoder::for_socket();
        Ok(Self { stream, decoder, epoch, out: Vec::new(), n_sent: 0 })
    }

    /// Takes over `stream`, on which the peer goes on behind `unread`: the first part of a frame, which
    /// came in an earlier connection.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn carried_on(stream: UnixStream, epoch: u32, unread: &[u8]) -> io::Result<Self> {
        let mut connection = Self::new(stream, epoch)?;
        connection.decoder.push(unread);
        Ok(connection)
    }

    /// The epoch of all frames sent.
    #[must_use]
    pub const fn epoch(&self) -> u32 {
        self.epoch
    }

    /// The first part of a frame whose rest has not been read.
    #[must_use]
    pub fn unread(&self) -> &[u8] {
        self.decoder.pending()
    }

    /// Queues `message` as a control frame and sends what the socket takes now.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] when the message is too large, else as [`Self::flush`].
    pub fn send<T: Serialize>(&mut self, message: &T) -> io::Result<()> {
        encode_message(self.epoch, message, &mut self.out).map_err(invalid)?;
        self.flush()
    }

    /// Queues bytes as one frame of `kind` and sends what the socket takes now.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub fn send_frame(&mut self, kind: FrameKind, payload: &[u8]) -> io::Result<()> {
        encode(self.epoch, kind, payload, &mut self.out).map_err(invalid)?;
        self.flush()
    }

    /// Sends as much of the queue as the socket takes now.
    ///
    /// # Errors
    /// When the peer is gone.
    pub fn flush(&mut self) -> io::Result<()> {
        while self.n_sent < self.out.len() {
            match self.stream.write(&self.out[self.n_sent..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => self.n_sent += n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.drop_sent();
        Ok(())
    }

    /// Forgets sent bytes once they are at least half of the queue, so that moving the rest is paid
    /// for by what was sent.
    fn drop_sent(&mut self) {
        if self.n_sent * 2 < self.out.len() {
            return;
        }
        self.out.drain(..self.n_sent);
        self.n_sent = 0;
        if self.out.is_empty() {
            self.out.shrink_to(IDLE_QUEUE_BYTES);
        }
    }

    /// Bytes that wait for the peer to read.
    #[must_use]
    pub const fn queued_bytes(&self) -> usize {
        self.out.len() - self.n_sent
    }

    /// Reads once. Take all frames with [`Self::next_frame`] before filling again.
    ///
    /// # Errors
    /// When the socket fails; a reset by the peer is [`Filled::Closed`].
    pub fn fill(&mut self) -> io::Result<Filled> {
        let mut bytes = [0; READ_BYTES];
        loop {
            match self.stream.read(&mut bytes) {
                Ok(0) => return Ok(Filled::Closed),
                Ok(n) => {
                    self.decoder.push(&bytes[..n]);
                    return Ok(Filled::Some);
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return Ok(Filled::Empty),
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::ConnectionReset => return Ok(Filled::Closed),
                    _ => return Err(error),
                },
            }
        }
    }

    /// Waits until there is something to read, for programs that wait for nothing else.
    ///
    /// # Errors
    /// [`io::ErrorKind::TimedOut`] at the deadline.
    pub fn wait_readable(&self, deadline: Instant) -> io::Result<()> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = Timespec::try_from(left).ok();
            match poll(&mut [PollFd::new(&self.stream, PollFlags::IN)], timeout.as_ref()) {
                Ok(0) if left.is_zero() => return Err(io::ErrorKind::TimedOut.into()),
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The next whole frame that has been read.
    ///
    /// # Errors
    /// [`FrameError::Broken`]: the peer speaks something else; close the connection.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        self.decoder.next_frame()
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

fn invalid(error: FrameError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::ToShim;

    #[test]
    fn a_queue_larger_than_the_socket_arrives_whole() {
        let (a, b) = UnixStream::pair().expect("a pair");
        let mut sender = Connection::new(a, 1).expect("sender");
        let mut receiver = Connection::new(b, 1).expect("receiver");
        let n_messages = 50_000_u64;
        for id in 0..n_messages {
            sender.send(&ToShim::Usage { id }).expect("queued");
        }
        assert!(sender.queued_bytes() > 0, "the socket cannot hold all of it");
        let mut expected = 0;
        while expected < n_messages {
            sender.flush().expect("flushed");
            receiver.fill().expect("read");
            while let Some(frame) = receiver.next_frame().expect("well formed") {
                let message: ToShim = frame.message().expect("a message");
                assert_eq!(message, ToShim::Usage { id: expected });
                expected += 1;
            }
        }
        assert_eq!(sender.queued_bytes(), 0);
        drop(sender);
        assert_eq!(receiver.fill().expect("end"), Filled::Closed);
    }
}
