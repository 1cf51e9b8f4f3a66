//! Bytes from the host on their way into a pipe, a terminal or a socket of the guest.

use guest_proto::ReceiveWindow;
use guest_proto::window::Overrun;
use rustix::io::Errno;
use std::collections::VecDeque;
use std::os::fd::AsFd;

/// Bytes from the host on their way into the guest. Holds at most one stream window.
#[derive(Debug)]
pub(crate) struct Inbox {
    queue: VecDeque<u8>,
    window: ReceiveWindow,
    has_ended: bool,
    is_deaf: bool,
}

impl Inbox {
    pub(crate) const fn new() -> Self {
        Self {
            queue: VecDeque::new(),
            window: ReceiveWindow::new(),
            has_ended: false,
            is_deaf: false,
        }
    }

    /// Takes bytes of the host.
    ///
    /// # Errors
    /// [`Overrun`] when the host was not allowed to send that much.
    pub(crate) fn receive(&mut self, bytes: &[u8]) -> Result<(), Overrun> {
        self.window.receive(bytes.len())?;
        self.queue.extend(bytes);
        Ok(())
    }

    /// The host sends no more.
    pub(crate) const fn end(&mut self) {
        self.has_ended = true;
    }

    /// There is something to write.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.queue.is_empty()
    }

    /// The host sends no more and everything has been written.
    pub(crate) fn is_over(&self) -> bool {
        self.has_ended && self.queue.is_empty()
    }

    /// Nobody reads in the guest any more: from now on bytes are thrown away, and credit still
    /// flows, so that the host is not left waiting.
    pub(crate) const fn deafen(&mut self) {
        self.is_deaf = true;
    }

    /// Writes what fits; returns credit to give back.
    ///
    /// # Errors
    /// The receiver's error: nobody reads any more.
    pub(crate) fn write_to(&mut self, fd: impl AsFd) -> Result<Option<u32>, Errno> {
        let mut written = 0;
        while !self.is_deaf && !self.queue.is_empty() {
            match rustix::io::write(&fd, self.queue.as_slices().0) {
                Ok(n_bytes) => {
                    self.queue.drain(..n_bytes);
                    written += n_bytes;
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(self.window.consume(written))
    }

    /// Throws away what a deaf receiver will not read; returns credit to give back.
    pub(crate) fn discard(&mut self) -> Option<u32> {
        let n_bytes = self.queue.len();
        self.queue.clear();
        self.window.consume(n_bytes)
    }
}
