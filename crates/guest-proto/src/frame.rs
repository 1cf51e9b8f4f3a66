//! Frames: how messages and bytes lie on the channel.
//!
//! ```text
//! offset 0  magic    4 bytes  "DmF1"
//!        4  epoch    u32 LE   grows with each (re)connect and restore
//!        8  stream   u32 LE   0 for control frames
//!       12  kind     u8       0 control, 1 data
//!       13  channel  u8       of data frames: 0 stdin, 1 stdout, 2 stderr
//!       14  reserved u16 LE   0
//!       16  length   u32 LE   bytes of payload
//!       20  checksum u32 LE   CRC-32 of the 20 bytes before
//!       24  payload
//! ```
//!
//! A reader that has seen epoch `n` drops frames of older epochs. What it does with bytes that are
//! no valid header depends on the channel, see [`Decoder`].

use crate::stream::{Channel, StreamId};
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub mod check;
mod crc;
mod decoder;

pub use decoder::Decoder;

/// First bytes of each frame.
pub const MAGIC: [u8; 4] = *b"DmF1";

/// Length of a header in bytes.
pub const HEADER_BYTES: usize = 24;

/// Largest payload of a control frame: orders of 3 MiB and room to grow.
pub const CONTROL_MAX_BYTES: usize = 4 * 1024 * 1024;

/// Largest payload of a data frame: one full pipe buffer.
pub const DATA_MAX_BYTES: usize = 64 * 1024;

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Epoch of the sender.
    pub epoch: u32,
    /// What the payload is.
    pub kind: FrameKind,
    /// The payload.
    pub payload: Bytes,
}

/// What a payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// One JSON message.
    Control,
    /// Bytes of a stream.
    Data {
        /// The stream.
        stream: StreamId,
        /// Its pipe.
        channel: Channel,
    },
}

/// Why a frame cannot be written or a message not be read.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The payload is larger than its kind allows.
    #[error("a payload of {len} bytes is over the limit of {max}")]
    TooLarge {
        /// Its length.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// The payload of a control frame is not the message that was expected.
    #[error("a control frame holds no known message")]
    Message(#[source] serde_json::Error),
    /// The peer of a socket sent bytes that are no frame. Nothing after them can be trusted: close
    /// the channel.
    #[error("the peer broke the channel: no valid frame header after {good_bytes} good bytes")]
    Broken {
        /// Bytes of valid frames before.
        good_bytes: u64,
    },
}

impl FrameKind {
    /// Largest payload of this kind.
    #[must_use]
    pub const fn max_bytes(self) -> usize {
        match self {
            Self::Control => CONTROL_MAX_BYTES,
            Self::Data { .. } => DATA_MAX_BYTES,
        }
    }
}

impl Frame {
    /// The message of a control frame.
    ///
    /// # Errors
    /// [`FrameError::Message`] when the payload is not a `T`.
    pub fn message<T: DeserializeOwned>(&self) -> Result<T, FrameError> {
        serde_json::from_slice(&self.payload).map_err(FrameError::Message)
    }
}

/// Appends one frame to `out`.
///
/// # Errors
/// [`FrameError::TooLarge`]; nothing has been appended.
pub fn encode(
    epoch: u32,
    kind: FrameKind,
    payload: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), FrameError> {
    let max = kind.max_bytes();
    let len = u32::try_from(payload.len())
        .ok()
        .filter(|_| payload.len() <= max)
        .ok_or(FrameError::TooLarge { len: payload.len(), max })?;
    out.reserve(HEADER_BYTES + payload.len());
    out.extend_from_slice(&Header { epoch, kind, len }.to_bytes());
    out.extend_from_slice(payload);
    Ok(())
}

/// Appends one control frame with `message` to `out`.
///
/// # Errors
/// [`FrameError::TooLarge`]; nothing has been appended.
pub fn encode_message<T: Serialize>(
    epoch: u32,
    message: &T,
    out: &mut Vec<u8>,
) -> Result<(), FrameError> {
    let payload = serde_json::to_vec(message).map_err(FrameError::Message)?;
    encode(epoch, FrameKind::Control, &payload, out)
}

/// The fixed part of a frame.
struct Header {
    epoch: u32,
    kind: FrameKind,
    len: u32,
}

impl Header {
    fn to_bytes(&self) -> [u8; HEADER_BYTES] {
        let (stream, kind, channel) = match self.kind {
            FrameKind::Control => (0, 0, 0),
            FrameKind::Data { stream, channel } => (stream.0, 1, channel as u8),
        };
        let mut bytes = [0; HEADER_BYTES];
        bytes[0..4].copy_from_slice(&MAGIC);
        bytes[4..8].copy_from_slice(&self.epoch.to_le_bytes());
        bytes[8..12].copy_from_slice(&stream.to_le_bytes());
        bytes[12] = kind;
        bytes[13] = channel;
        bytes[16..20].copy_from_slice(&self.len.to_le_bytes());
        let checksum = crc::crc32(&bytes[0..20]);
        bytes[20..24].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// `None` when the bytes are no header, or one with a length that its kind forbids.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let word =
            |at: usize| bytes.get(at..at + 4).map(|w| u32::from_le_bytes([w[0], w[1], w[2], w[3]]));
        if bytes.get(0..4)? != MAGIC || word(20)? != crc::crc32(bytes.get(0..20)?) {
            return None;
        }
        let kind = match (bytes[12], bytes[13]) {
            (0, 0) => FrameKind::Control,
            (1, channel @ 0..=2) => FrameKind::Data {
                stream: StreamId(word(8)?),
                channel: [Channel::Stdin, Channel::Stdout, Channel::Stderr][usize::from(channel)],
            },
            _ => return None,
        };
        let len = word(16)?;
        let fits = usize::try_from(len).is_ok_and(|len| len <= kind.max_bytes());
        fits.then_some(Self { epoch: word(4)?, kind, len })
    }

    const fn payload_bytes(&self) -> usize {
        self.len as usize
    }
}

#[cfg(test)]
mod tests;
