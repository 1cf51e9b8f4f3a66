//! What must hold for any bytes: driven by the fuzz targets and by the property tests.
//!
//! Each function panics when a promise of this crate is broken.

use super::{Decoder, Frame, HEADER_BYTES, encode};
use crate::message::{FromGuest, ToGuest};

/// Decodes `bytes` on both kinds of channel, in one piece and cut at every multiple of `cut`.
///
/// # Panics
/// When the pieces decode differently on a socket, a frame breaks its bound, epochs go back, or
/// bytes are not accounted for. (On a serial port a header inside an incomplete frame may be found
/// before that frame gets whole, so there the pieces may differ.)
pub fn decoder(bytes: &[u8], cut: usize) {
    let whole = decode(Decoder::for_socket(), bytes, bytes.len().max(1));
    let pieces = decode(Decoder::for_socket(), bytes, cut.max(1));
    assert_eq!(whole.is_broken, pieces.is_broken, "the same channel breaks, however it is cut");
    assert_eq!(whole.frames, pieces.frames, "the same frames, however they are cut");
    for piece in [bytes.len().max(1), cut.max(1)] {
        let serial = decode(Decoder::for_serial(), bytes, piece);
        assert!(!serial.is_broken, "a serial port always finds its way back");
    }
}

/// Reads `bytes` as a message of either direction; what can be read can be written and read again.
///
/// # Panics
/// When a message that was read cannot be written, or what was written not be read.
pub fn messages(bytes: &[u8]) {
    if let Ok(message) = serde_json::from_slice::<ToGuest>(bytes) {
        let text = serde_json::to_vec(&message).expect("a message that was read can be written");
        serde_json::from_slice::<ToGuest>(&text).expect("what was written can be read");
    }
    if let Ok(message) = serde_json::from_slice::<FromGuest>(bytes) {
        let text = serde_json::to_vec(&message).expect("a message that was read can be written");
        serde_json::from_slice::<FromGuest>(&text).expect("what was written can be read");
    }
}

struct Decoded {
    frames: Vec<Frame>,
    is_broken: bool,
}

fn decode(mut decoder: Decoder, bytes: &[u8], piece: usize) -> Decoded {
    let mut frames = Vec::new();
    let mut is_broken = false;
    for piece in bytes.chunks(piece) {
        decoder.push(piece);
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(_) => {
                    is_broken = true;
                    break;
                }
            }
        }
    }
    let mut kept = 0;
    let mut epoch = 0;
    for frame in &frames {
        assert!(frame.payload.len() <= frame.kind.max_bytes(), "a frame within its bound");
        assert!(frame.epoch >= epoch, "epochs never go back");
        epoch = frame.epoch;
        let mut again = Vec::new();
        encode(frame.epoch, frame.kind, &frame.payload, &mut again)
            .expect("a decoded frame can be encoded");
        kept += HEADER_BYTES + frame.payload.len();
    }
    let accounted = kept as u64 + decoder.dropped_bytes() + decoder.pending_bytes() as u64;
    assert_eq!(accounted, bytes.len() as u64, "each byte is in a frame, dropped or pending");
    Decoded { frames, is_broken }
}
