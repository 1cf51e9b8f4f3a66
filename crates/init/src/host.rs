//! Init's end of the channel to the host.

use guest_proto::{
    Channel, Decoder, Frame, FrameError, FrameKind, FromGuest, StreamId, encode, encode_message,
};
use rustix::event::PollFlags;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// Output of programs is read only while fewer bytes than this wait for the host: the log of a
/// flooding program costs this much RAM and one frame.
const OUTPUT_QUEUE_BYTES: usize = 256 * 1024;

/// Messages of the host are handled only while fewer bytes than this wait for it: each costs one
/// answer at most.
const ANSWER_QUEUE_BYTES: usize = 2 * 1024 * 1024;

/// Init's end of the channel.
#[derive(Debug)]
pub(crate) struct HostChannel {
    fd: OwnedFd,
    decoder: Decoder,
    queue: Vec<u8>,
    n_sent: usize,
}

/// The channel is of no more use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Lost {
    /// The host closed it.
    #[error("the host closed the channel")]
    Closed,
    /// The system says so.
    #[error("the channel failed")]
    Failed(#[source] Errno),
    /// The host sent something that is no frame.
    #[error("the host broke the channel")]
    Broken(#[source] FrameError),
}

impl HostChannel {
    /// The socket that the launcher passed.
    pub(crate) fn socket(fd: OwnedFd) -> Result<Self, Lost> {
        crate::stdio::set_nonblocking(&fd).map_err(Lost::Failed)?;
        Ok(Self { fd, decoder: Decoder::for_socket(), queue: Vec::new(), n_sent: 0 })
    }

    /// The serial port of a virtual machine.
    pub(crate) fn serial(path: &Path) -> Result<Self, Lost> {
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
        let fd = rustix::fs::open(path, flags, Mode::empty()).map_err(Lost::Failed)?;
        Ok(Self { fd, decoder: Decoder::for_serial(), queue: Vec::new(), n_sent: 0 })
    }

    /// Reads once; frames come out of [`next_frame`](Self::next_frame).
    pub(crate) fn receive(&mut self, buffer: &mut [u8]) -> Result<(), Lost> {
        match rustix::io::read(&self.fd, &mut *buffer) {
            Ok(0) => Err(Lost::Closed),
            Ok(n_bytes) => {
                self.decoder.push(&buffer[..n_bytes]);
                Ok(())
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(()),
            Err(error) => Err(Lost::Failed(error)),
        }
    }

    /// The next whole frame, when there is room for an answer.
    pub(crate) fn next_frame(&mut self) -> Result<Option<Frame>, Lost> {
        if !self.takes_messages() {
            return Ok(None);
        }
        self.decoder.next_frame().map_err(Lost::Broken)
    }

    /// The newest epoch that the host has used; init sends with the same.
    pub(crate) const fn epoch(&self) -> u32 {
        self.decoder.epoch()
    }

    /// Queues a message.
    pub(crate) fn send(&mut self, message: &FromGuest) {
        encode_message(self.epoch(), message, &mut self.queue)
            .expect("init bounds its messages below the limit of a frame");
    }

    /// Queues bytes of a stream, at most one frame's.
    pub(crate) fn send_data(&mut self, stream: StreamId, channel: Channel, bytes: &[u8]) {
        encode(self.epoch(), FrameKind::Data { stream, channel }, bytes, &mut self.queue)
            .expect("init reads no more than a frame holds");
    }

    /// Writes what the host takes now.
    pub(crate) fn flush(&mut self) -> Result<(), Lost> {
        while self.n_sent < self.queue.len() {
            match rustix::io::write(&self.fd, &self.queue[self.n_sent..]) {
                Ok(n_bytes) => self.n_sent += n_bytes,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(error) => return Err(Lost::Failed(error)),
            }
        }
        if self.n_sent == self.queue.len() {
            self.queue.clear();
            self.n_sent = 0;
        } else if self.n_sent > self.queue.len() / 2 {
            self.queue.drain(..self.n_sent);
            self.n_sent = 0;
        }
        self.queue.shrink_to(OUTPUT_QUEUE_BYTES * 2);
        Ok(())
    }

    const fn queued_bytes(&self) -> usize {
        self.queue.len() - self.n_sent
    }

    /// Everything has been written.
    pub(crate) const fn is_flushed(&self) -> bool {
        self.queued_bytes() == 0
    }

    /// There is room for output of programs.
    pub(crate) const fn takes_output(&self) -> bool {
        self.queued_bytes() < OUTPUT_QUEUE_BYTES
    }

    const fn takes_messages(&self) -> bool {
        self.queued_bytes() < ANSWER_QUEUE_BYTES
    }

    /// What to wait for.
    pub(crate) fn interest(&self) -> (BorrowedFd<'_>, PollFlags) {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, self.takes_messages());
        flags.set(PollFlags::OUT, !self.is_flushed());
        (self.fd.as_fd(), flags)
    }
}
