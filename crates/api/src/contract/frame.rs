//! The protocol `dormouse-exec`: frames on a connection after `exec/attach` was answered with `101`.
//!
//! ```text
//!  0      1          5
//!  +------+----------+---------------------+
//!  | kind | length   | payload             |
//!  | u8   | u32 BE   | `length` bytes      |
//!  +------+----------+---------------------+
//!
//!  kind   direction   payload
//!  0      to server   bytes of the command's input
//!  1      to server   end of input; empty
//!  2      to server   new terminal size: rows u16 BE, columns u16 BE
//!  16     to client   bytes of its output (or of its terminal)
//!  17     to client   bytes of its error output
//!  18     to client   it ended: exit code i32 BE; last frame
//!  19     to client   it failed: an error body as JSON; last frame
//! ```

use super::error::ErrorBody;
use super::exec::TerminalSize;

/// Word of the `Upgrade` header.
pub const PROTOCOL: &str = "dormouse-exec";

/// Largest payload: one read of a pipe or terminal.
pub const PAYLOAD_MAX_BYTES: usize = 64 * 1024;

/// Bytes before the payload.
pub const HEADER_BYTES: usize = 5;

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Bytes of the command's input.
    Stdin(Vec<u8>),
    /// End of its input.
    StdinEnd,
    /// New terminal size.
    Resize(TerminalSize),
    /// Bytes of its output.
    Stdout(Vec<u8>),
    /// Bytes of its error output.
    Stderr(Vec<u8>),
    /// It ended with this exit code.
    Ended(i32),
    /// It could not be run to its end.
    Failed(ErrorBody),
}

/// Why bytes are not a frame; the connection is of no use after it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFrame {
    /// No such kind.
    #[error("frame of unknown kind {0}")]
    Kind(u8),
    /// Larger than [`PAYLOAD_MAX_BYTES`].
    #[error("frame of {0} bytes")]
    TooLong(u32),
    /// Not what its kind carries.
    #[error("frame of kind {0} with a malformed payload")]
    Payload(u8),
}

impl Frame {
    /// The frame as bytes. Payloads beyond [`PAYLOAD_MAX_BYTES`] must be split by the caller.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Stdin(bytes) => framed(0, bytes),
            Self::StdinEnd => framed(1, &[]),
            Self::Resize(size) => {
                let [r0, r1] = size.rows.to_be_bytes();
                let [c0, c1] = size.cols.to_be_bytes();
                framed(2, &[r0, r1, c0, c1])
            }
            Self::Stdout(bytes) => framed(16, bytes),
            Self::Stderr(bytes) => framed(17, bytes),
            Self::Ended(code) => framed(18, &code.to_be_bytes()),
            Self::Failed(body) => framed(19, &serde_json::to_vec(body).unwrap_or_default()),
        }
    }

    /// Kind and payload length of a header.
    ///
    /// # Errors
    /// [`InvalidFrame::TooLong`].
    pub fn header(bytes: [u8; HEADER_BYTES]) -> Result<(u8, usize), InvalidFrame> {
        let [kind, a, b, c, d] = bytes;
        let length = u32::from_be_bytes([a, b, c, d]);
        match usize::try_from(length) {
            Ok(payload) if payload <= PAYLOAD_MAX_BYTES => Ok((kind, payload)),
            Ok(_) | Err(_) => Err(InvalidFrame::TooLong(length)),
        }
    }

    /// The frame of this kind and payload.
    ///
    /// # Errors
    /// [`InvalidFrame::Kind`], [`InvalidFrame::Payload`].
    pub fn decode(kind: u8, payload: Vec<u8>) -> Result<Self, InvalidFrame> {
        let malformed = InvalidFrame::Payload(kind);
        match kind {
            0 => Ok(Self::Stdin(payload)),
            1 if payload.is_empty() => Ok(Self::StdinEnd),
            1 => Err(malformed),
            2 => match payload.as_slice() {
                &[r0, r1, c0, c1] => Ok(Self::Resize(TerminalSize {
                    rows: u16::from_be_bytes([r0, r1]),
                    cols: u16::from_be_bytes([c0, c1]),
                })),
                _ => Err(malformed),
            },
            16 => Ok(Self::Stdout(payload)),
            17 => Ok(Self::Stderr(payload)),
            18 => match payload.as_slice().try_into() {
                Ok(code) => Ok(Self::Ended(i32::from_be_bytes(code))),
                Err(_wrong_length) => Err(malformed),
            },
            19 => serde_json::from_slice(&payload).map(Self::Failed).map_err(|_json| malformed),
            unknown => Err(InvalidFrame::Kind(unknown)),
        }
    }
}

fn framed(kind: u8, payload: &[u8]) -> Vec<u8> {
    assert!(payload.len() <= PAYLOAD_MAX_BYTES, "payloads are split before they are framed");
    let length = u32::try_from(payload.len()).expect("at most PAYLOAD_MAX_BYTES");
    let mut bytes = Vec::with_capacity(HEADER_BYTES + payload.len());
    bytes.push(kind);
    bytes.extend(length.to_be_bytes());
    bytes.extend(payload);
    bytes
}

#[cfg(test)]
mod tests {
    use super::{ErrorBody, Frame, HEADER_BYTES, InvalidFrame, TerminalSize};

    #[track_caller]
    fn check(frame: Frame) {
        let bytes = frame.encode();
        let header = bytes[..HEADER_BYTES].try_into().expect("a header");
        let (kind, length) = Frame::header(header).expect("valid");
        assert_eq!(length, bytes.len() - HEADER_BYTES);
        assert_eq!(Frame::decode(kind, bytes[HEADER_BYTES..].to_vec()), Ok(frame));
    }

    #[test]
    fn frames_survive_the_wire() {
        check(Frame::Stdin(b"ls\n".to_vec()));
        check(Frame::StdinEnd);
        check(Frame::Resize(TerminalSize { rows: 50, cols: 132 }));
        check(Frame::Stdout(vec![0; 65_536]));
        check(Frame::Stderr(Vec::new()));
        check(Frame::Ended(-1));
        check(Frame::Failed(ErrorBody { error: "gone".to_owned(), ..ErrorBody::default() }));
    }

    #[test]
    fn nonsense_is_refused() {
        assert_eq!(Frame::header([0, 0, 1, 0, 1]), Err(InvalidFrame::TooLong(65_537)));
        assert_eq!(Frame::decode(3, Vec::new()), Err(InvalidFrame::Kind(3)));
        for (kind, payload) in [(1, 1), (2, 3), (18, 5), (19, 2)] {
            assert_eq!(Frame::decode(kind, vec![0; payload]), Err(InvalidFrame::Payload(kind)));
        }
    }
}
