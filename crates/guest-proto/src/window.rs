//! Credit accounting of one direction of one stream.

use crate::stream::STREAM_WINDOW_BYTES;

/// What a sender may still send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendWindow {
    left: u32,
}

/// What a receiver has promised to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiveWindow {
    /// Bytes the peer may still send.
    open: u32,
    /// Bytes consumed and not yet granted again.
    consumed: u32,
}

/// The peer sent more than it was allowed to: reset the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the peer sent {excess} bytes more than its credit")]
pub struct Overrun {
    /// Bytes beyond the window.
    pub excess: usize,
}

/// Credit is given back in grains of this many bytes, so that one message pays for many frames.
const GRAIN_BYTES: u32 = STREAM_WINDOW_BYTES / 4;

impl SendWindow {
    /// The window of a new stream.
    #[must_use]
    pub const fn new() -> Self {
        Self { left: STREAM_WINDOW_BYTES }
    }

    /// Bytes that may be sent now.
    #[must_use]
    pub const fn left_bytes(&self) -> usize {
        self.left as usize
    }

    /// Counts `n_bytes` as sent.
    ///
    /// # Panics
    /// When that is more than [`left_bytes`](Self::left_bytes): the caller's mistake.
    pub fn spend(&mut self, n_bytes: usize) {
        let spent = u32::try_from(n_bytes).ok().and_then(|n| self.left.checked_sub(n));
        self.left = spent.expect("never more is sent than the window allows");
    }

    /// Adds credit from the peer. A window never holds more than [`STREAM_WINDOW_BYTES`], whatever
    /// the peer says.
    pub fn grant(&mut self, n_bytes: u32) {
        self.left = self.left.saturating_add(n_bytes).min(STREAM_WINDOW_BYTES);
    }
}

impl Default for SendWindow {
    fn default() -> Self {
        Self::new()
    }
}

impl ReceiveWindow {
    /// The window of a new stream.
    #[must_use]
    pub const fn new() -> Self {
        Self { open: STREAM_WINDOW_BYTES, consumed: 0 }
    }

    /// Counts `n_bytes` as received. They must be held until [`consume`](Self::consume).
    ///
    /// # Errors
    /// [`Overrun`] when the peer was not allowed to send that much; nothing has been counted.
    pub fn receive(&mut self, n_bytes: usize) -> Result<(), Overrun> {
        match u32::try_from(n_bytes).ok().and_then(|n| self.open.checked_sub(n)) {
            Some(open) => {
                self.open = open;
                Ok(())
            }
            None => Err(Overrun { excess: n_bytes.saturating_sub(self.open as usize) }),
        }
    }

    /// Counts `n_bytes` as passed on; returns the credit to give back now, if it is worth a message.
    pub fn consume(&mut self, n_bytes: usize) -> Option<u32> {
        let n_bytes = u32::try_from(n_bytes).unwrap_or(u32::MAX);
        self.consumed = self.consumed.saturating_add(n_bytes).min(STREAM_WINDOW_BYTES - self.open);
        if self.consumed < GRAIN_BYTES {
            return None;
        }
        self.open += self.consumed;
        Some(std::mem::take(&mut self.consumed))
    }
}

impl Default for ReceiveWindow {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_that_is_consumed_never_stalls() {
        let mut sender = SendWindow::new();
        let mut receiver = ReceiveWindow::new();
        for n_bytes in (1..2_000).cycle().take(20_000) {
            let n_bytes = sender.left_bytes().min(n_bytes);
            assert!(n_bytes > 0, "credit came back in time");
            sender.spend(n_bytes);
            receiver.receive(n_bytes).expect("within the window");
            if let Some(credit) = receiver.consume(n_bytes) {
                sender.grant(credit);
            }
        }
    }

    #[test]
    fn more_than_the_window_is_refused() {
        let mut receiver = ReceiveWindow::new();
        receiver.receive(STREAM_WINDOW_BYTES as usize).expect("the whole window");
        assert_eq!(receiver.receive(1), Err(Overrun { excess: 1 }));
        assert_eq!(receiver.consume(usize::MAX), Some(STREAM_WINDOW_BYTES));
    }

    #[test]
    fn generous_credit_opens_no_more_than_the_window() {
        let mut sender = SendWindow::new();
        sender.grant(u32::MAX);
        assert_eq!(sender.left_bytes(), STREAM_WINDOW_BYTES as usize);
    }
}
