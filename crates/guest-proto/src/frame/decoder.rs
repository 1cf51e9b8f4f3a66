//! Turns bytes as they arrive into frames.

use super::{Frame, FrameError, HEADER_BYTES, Header, MAGIC};
use bytes::{Buf as _, BytesMut};

/// Turns bytes as they arrive into frames.
///
/// There are two kinds, because the two channels fail in different ways:
///
/// - A **socket** ([`Decoder::for_socket`]) delivers every byte or ends. Bytes that are no header
///   are an error of the peer ([`FrameError::Broken`]), and a payload is never searched for
///   headers: it may be a program's output, and a program must not be able to forge a frame.
/// - A **serial port** of a virtual machine ([`Decoder::for_serial`]) loses bytes when the machine
///   is restored in the middle of a frame. Its reader looks for the next magic number, and for a
///   header of a newer epoch in the place of a payload. So a cut frame costs that frame and nothing
///   after it; only when less than a header is missing, the frame behind it may be lost too, so the
///   first message of an epoch is repeated until it is answered. The price is that who writes
///   payloads there can forge frames: never read a program's output from such a port.
#[derive(Debug)]
pub struct Decoder {
    buffer: BytesMut,
    kind: ChannelKind,
    epoch: u32,
    good_bytes: u64,
    dropped_bytes: u64,
    /// Bytes at the front of the buffer in which no newer header starts (serial ports only).
    searched: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ChannelKind {
    Socket,
    Serial,
}

impl Decoder {
    /// A decoder for a channel that delivers every byte in order or ends.
    #[must_use]
    pub fn for_socket() -> Self {
        Self::new(ChannelKind::Socket)
    }

    /// A decoder for a channel that may lose bytes in the middle of a frame.
    #[must_use]
    pub fn for_serial() -> Self {
        Self::new(ChannelKind::Serial)
    }

    fn new(kind: ChannelKind) -> Self {
        Self {
            buffer: BytesMut::new(),
            kind,
            epoch: 0,
            good_bytes: 0,
            dropped_bytes: 0,
            searched: 0,
        }
    }

    /// Adds bytes read from the channel. Take all frames before reading more: then the buffer holds
    /// at most one incomplete frame and one read.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The newest epoch seen.
    #[must_use]
    pub const fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Bytes dropped so far: of older epochs, or of no frame at all.
    #[must_use]
    pub const fn dropped_bytes(&self) -> u64 {
        self.dropped_bytes
    }

    /// Bytes that wait for the rest of their frame.
    #[must_use]
    pub fn pending_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Those bytes.
    #[must_use]
    pub fn pending(&self) -> &[u8] {
        &self.buffer
    }

    /// The next whole frame of the newest epoch, or `None` until more bytes arrive.
    ///
    /// # Errors
    /// [`FrameError::Broken`] on a socket whose peer sent something else; again at each further
    /// call. Never on a serial port.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        while let Some(header) = self.front_header()? {
            let whole = HEADER_BYTES + header.payload_bytes();
            if self.kind == ChannelKind::Serial && self.skip_to_newer_epoch(header.epoch, whole) {
                continue;
            }
            if self.buffer.len() < whole {
                return Ok(None);
            }
            self.searched = 0;
            self.buffer.advance(HEADER_BYTES);
            let payload = self.buffer.split_to(header.payload_bytes()).freeze();
            self.good_bytes += whole as u64;
            if header.epoch < self.epoch {
                self.dropped_bytes += whole as u64;
                continue;
            }
            self.epoch = header.epoch;
            return Ok(Some(Frame { epoch: header.epoch, kind: header.kind, payload }));
        }
        Ok(None)
    }

    /// The header at the front of the buffer; `None` until more bytes arrive.
    fn front_header(&mut self) -> Result<Option<Header>, FrameError> {
        match self.kind {
            ChannelKind::Socket => self.strict_header(),
            ChannelKind::Serial => Ok(self.find_header()),
        }
    }

    fn strict_header(&self) -> Result<Option<Header>, FrameError> {
        let broken = || FrameError::Broken { good_bytes: self.good_bytes };
        let magic_part = self.buffer.len().min(MAGIC.len());
        if self.buffer[..magic_part] != MAGIC[..magic_part] {
            return Err(broken());
        }
        match self.buffer.get(..HEADER_BYTES) {
            None => Ok(None),
            Some(bytes) => Header::parse(bytes).map(Some).ok_or_else(broken),
        }
    }

    /// Drops bytes until the buffer starts with a valid header.
    fn find_header(&mut self) -> Option<Header> {
        loop {
            let found = find_magic(&self.buffer, 0);
            self.drop_front(found.unwrap_or_else(|| unfinished_magic_at(&self.buffer)));
            found?;
            if self.buffer.len() < HEADER_BYTES {
                return None;
            }
            if let Some(header) = Header::parse(&self.buffer[..HEADER_BYTES]) {
                return Some(header);
            }
            self.drop_front(1);
        }
    }

    /// Looks inside the frame of `whole` bytes at the front for a header of a newer epoch.
    fn skip_to_newer_epoch(&mut self, epoch: u32, whole: usize) -> bool {
        let mut from = self.searched.max(1);
        while let Some(at) = find_magic(&self.buffer, from).filter(|at| *at < whole) {
            let Some(bytes) = self.buffer.get(at..at + HEADER_BYTES) else {
                self.searched = at;
                return false;
            };
            if Header::parse(bytes).is_some_and(|header| header.epoch > epoch) {
                self.drop_front(at);
                return true;
            }
            from = at + 1;
        }
        self.searched = unfinished_magic_at(&self.buffer).max(1);
        false
    }

    fn drop_front(&mut self, n_bytes: usize) {
        if n_bytes > 0 {
            self.buffer.advance(n_bytes);
            self.dropped_bytes += n_bytes as u64;
            self.searched = 0;
        }
    }
}

fn find_magic(bytes: &[u8], from: usize) -> Option<usize> {
    bytes.get(from..)?.windows(MAGIC.len()).position(|w| w == MAGIC).map(|at| at + from)
}

/// Where a magic number may start whose end has not arrived yet.
fn unfinished_magic_at(bytes: &[u8]) -> usize {
    bytes.len().saturating_sub(MAGIC.len() - 1)
}
