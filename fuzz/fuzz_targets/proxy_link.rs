//! Any bytes as what control and proxy say to each other. The first byte chooses how they are cut.

#![no_main]

use guest_proto::frame::{self, Decoder, FrameKind, HEADER_BYTES};
use libfuzzer_sys::fuzz_target;
use proxy_proto::{FromProxy, ToProxy};
use serde::Serialize;
use serde::de::DeserializeOwned;

fuzz_target!(|bytes: &[u8]| {
    let Some((cut, bytes)) = bytes.split_first() else { return };
    let mut decoder = Decoder::for_socket();
    for piece in bytes.chunks(usize::from(*cut).max(1)) {
        decoder.push(piece);
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) if matches!(frame.kind, FrameKind::Control) => {
                    check::<ToProxy>(&frame);
                    check::<FromProxy>(&frame);
                }
                // Frames of streams are for others, and skipped.
                Ok(Some(_)) => {}
                Ok(None) => break,
                // The link is closed.
                Err(_) => return,
            }
        }
        assert!(decoder.pending_bytes() <= HEADER_BYTES + frame::CONTROL_MAX_BYTES);
    }
});

/// What can be read can be written and read again.
fn check<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(frame: &frame::Frame) {
    let Ok(message) = frame.message::<T>() else { return };
    let mut bytes = Vec::new();
    guest_proto::encode_message(1, &message, &mut bytes).expect("it was read");
    let mut decoder = Decoder::for_socket();
    decoder.push(&bytes);
    let again = decoder.next_frame().expect("a frame").expect("a whole one");
    assert_eq!(again.message::<T>().expect("it was written"), message);
}
