//! One output of a program: read when there is room for it, and to the last byte when it ended.

use guest_proto::Channel;
use rustix::io::Errno;
use std::os::fd::OwnedFd;

/// Most bytes read of one output after its program ended: the largest pipe that a program can make
/// without privileges. A process it left behind may write for ever.
const DRAIN_MAX_BYTES: usize = 1024 * 1024;

/// One output of a program.
#[derive(Debug)]
pub(crate) struct Output {
    /// Which one.
    pub(crate) channel: Channel,
    fd: Option<OwnedFd>,
    /// Bytes that may still be read, once the program has ended.
    drain_left: Option<usize>,
    is_drained: bool,
}

/// What a read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pumped {
    /// This many bytes.
    Bytes(usize),
    /// Nothing now.
    Nothing,
    /// Nobody will write any more.
    Closed,
}

impl Output {
    pub(crate) const fn new(channel: Channel, fd: OwnedFd) -> Self {
        Self { channel, fd: Some(fd), drain_left: None, is_drained: false }
    }

    /// The descriptor, while it may bring something.
    pub(crate) const fn fd(&self) -> Option<&OwnedFd> {
        self.fd.as_ref()
    }

    /// The program has ended: what is in the pipe now counts, what comes later may be lost.
    pub(crate) const fn start_draining(&mut self) {
        self.drain_left = Some(DRAIN_MAX_BYTES);
    }

    /// Everything that the program wrote has been read.
    pub(crate) const fn is_drained(&self) -> bool {
        self.fd.is_none() || self.is_drained
    }

    /// Nobody will write any more.
    pub(crate) const fn is_closed(&self) -> bool {
        self.fd.is_none()
    }

    /// Reads into `buffer`.
    pub(crate) fn pump(&mut self, buffer: &mut [u8]) -> Pumped {
        let Some(fd) = &self.fd else { return Pumped::Closed };
        match rustix::io::read(fd, buffer) {
            Ok(n_bytes) if n_bytes > 0 => {
                if let Some(left) = &mut self.drain_left {
                    *left = left.saturating_sub(n_bytes);
                    self.is_drained |= *left == 0;
                }
                Pumped::Bytes(n_bytes)
            }
            Err(Errno::AGAIN | Errno::INTR) => {
                self.is_drained |= self.drain_left.is_some();
                Pumped::Nothing
            }
            // A terminal says EIO when its last user has gone.
            Ok(_) | Err(_) => {
                self.fd = None;
                Pumped::Closed
            }
        }
    }
}
