//! Any bytes as what a guest sends over its channel, heard as the host hears it: frames, messages in
//! them, and bytes of streams within their windows. The first byte chooses how they are cut.

#![no_main]

use guest_proto::frame::{Decoder, FrameKind, HEADER_BYTES};
use guest_proto::message::FromGuest;
use guest_proto::stream::{STREAM_WINDOW_BYTES, STREAMS_MAX};
use guest_proto::window::ReceiveWindow;
use guest_proto::{StreamId, frame};
use libfuzzer_sys::fuzz_target;
use std::collections::BTreeMap;

fuzz_target!(|bytes: &[u8]| {
    let Some((cut, bytes)) = bytes.split_first() else { return };
    let (mut decoder, mut host) = (Decoder::for_socket(), Host::default());
    for piece in bytes.chunks(usize::from(*cut).max(1)) {
        decoder.push(piece);
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => host.hear(&frame),
                Ok(None) => break,
                // The channel is closed, and the machine ends with it.
                Err(_) => return,
            }
        }
        assert!(decoder.pending_bytes() <= HEADER_BYTES + frame::CONTROL_MAX_BYTES);
    }
});

/// What a host keeps of a guest that says anything.
#[derive(Default)]
struct Host {
    streams: BTreeMap<StreamId, (ReceiveWindow, u64)>,
}

impl Host {
    fn hear(&mut self, frame: &frame::Frame) {
        match frame.kind {
            FrameKind::Control => {
                if let Ok(message) = frame.message::<FromGuest>() {
                    let text = serde_json::to_vec(&message).expect("it was read");
                    let again: FromGuest = serde_json::from_slice(&text).expect("it was written");
                    assert_eq!(again, message);
                }
            }
            FrameKind::Data { stream, .. } => self.hear_data(stream, frame.payload.len()),
        }
    }

    /// Takes what fits, and passes half of it on.
    fn hear_data(&mut self, stream: StreamId, n_bytes: usize) {
        if !self.streams.contains_key(&stream) && self.streams.len() == STREAMS_MAX {
            return;
        }
        let (window, held) = self.streams.entry(stream).or_default();
        if window.receive(n_bytes).is_err() {
            self.streams.remove(&stream);
            return;
        }
        *held += n_bytes as u64;
        assert!(*held <= u64::from(STREAM_WINDOW_BYTES), "no more is held than was allowed");
        let passed_on = *held / 2;
        let granted = window.consume(usize::try_from(passed_on).expect("a small number"));
        assert!(granted.is_none_or(|n| n <= STREAM_WINDOW_BYTES));
        *held -= passed_on;
    }
}
