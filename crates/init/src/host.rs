//! Init's end of the channel to the host.

use guest_proto::{
    Channel, Decoder, Frame, FrameError, FrameKind, FromGuest, StreamId, ToGuest, encode,
    encode_message,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

/// Output of programs is read only while fewer bytes than this wait for the host: the log of a
/// flooding program costs this much RAM and one frame.
const OUTPUT_QUEUE_BYTES: usize = 256 * 1024;

/// Messages of the host are handled only while fewer bytes than this wait for it: each costs one
/// answer at most.
const ANSWER_QUEUE_BYTES: usize = 2 * 1024 * 1024;

/// Frames that are put aside while init waits for a certain one: the orders, and what somebody who is in
/// a hurry sends behind them.
const ASIDE_MAX: usize = 64;

/// Bytes read at once while init waits for a certain frame.
const AWAITED_BYTES: usize = 4096;

/// Init's end of the channel.
#[derive(Debug)]
pub(crate) struct HostChannel {
    fd: OwnedFd,
    decoder: Decoder,
    /// Frames that were put aside, in order.
    aside: VecDeque<Frame>,
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
    /// The host is there, but does not do its part.
    #[error("the host does not answer")]
    Silent,
}

impl HostChannel {
    /// The socket that the launcher passed.
    pub(crate) fn socket(fd: OwnedFd) -> Result<Self, Lost> {
        crate::stdio::set_nonblocking(&fd).map_err(Lost::Failed)?;
        Ok(Self::new(fd, Decoder::for_socket()))
    }

    /// The serial port of a virtual machine, from which `word` goes first: waits until the host has its
    /// end open.
    pub(crate) fn serial_from(port: OwnedFd, word: &FromGuest) -> Result<Self, Lost> {
        let mut channel = Self::new(port, Decoder::for_serial());
        channel.send(word);
        channel.flush()?;
        crate::stdio::set_nonblocking(&channel.fd).map_err(Lost::Failed)?;
        Ok(channel)
    }

    fn new(fd: OwnedFd, decoder: Decoder) -> Self {
        Self { fd, decoder, aside: VecDeque::new(), queue: Vec::new(), n_sent: 0 }
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
        match self.aside.pop_front() {
            Some(frame) => Ok(Some(frame)),
            None => self.decoder.next_frame().map_err(Lost::Broken),
        }
    }

    /// Waits until `deadline` for the message that `take` takes; all others are heard afterwards.
    pub(crate) fn wait_for<T>(
        &mut self,
        deadline: Instant,
        take: impl Fn(ToGuest) -> Option<T>,
    ) -> Result<T, Lost> {
        let mut buffer = [0; AWAITED_BYTES];
        loop {
            while let Some(frame) = self.decoder.next_frame().map_err(Lost::Broken)? {
                if frame.kind == FrameKind::Control
                    && let Some(taken) = frame.message().ok().and_then(&take)
                {
                    return Ok(taken);
                }
                if self.aside.len() == ASIDE_MAX {
                    return Err(Lost::Silent);
                }
                self.aside.push_back(frame);
            }
            self.flush()?;
            self.wait_until(PollFlags::IN, deadline)?;
            self.receive(&mut buffer)?;
        }
    }

    /// Writes all that is queued, and waits until the host has it.
    pub(crate) fn drain(&mut self, deadline: Instant) -> Result<(), Lost> {
        loop {
            self.flush()?;
            // The port can be written to when the host has taken what was written before.
            self.wait_until(PollFlags::OUT, deadline)?;
            if self.is_flushed() {
                return Ok(());
            }
        }
    }

    fn wait_until(&self, flags: PollFlags, deadline: Instant) -> Result<(), Lost> {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).map_err(|_too_long| Lost::Silent)?;
        let mut fds = [PollFd::new(&self.fd, flags)];
        match poll(&mut fds, Some(&timeout)) {
            Ok(0) => Err(Lost::Silent),
            // Without what was asked for it is the end.
            Ok(_) if !fds[0].revents().intersects(flags) => Err(Lost::Closed),
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(Lost::Failed(error)),
        }
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
