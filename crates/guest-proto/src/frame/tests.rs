//! Frames, cut, lost and forged.

use super::*;
use crate::message::{FromGuest, ToGuest};
use proptest::prelude::*;

/// A frame of a test: epoch, kind, payload.
type Given = (u32, FrameKind, Vec<u8>);

const LOG: FrameKind = FrameKind::Data { stream: StreamId::MAIN, channel: Channel::Stdout };

fn bytes_of(frames: &[Given]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (epoch, kind, payload) in frames {
        encode(*epoch, *kind, payload, &mut bytes).expect("a frame within its bound");
    }
    bytes
}

/// All frames of `bytes`, arriving in pieces; the error ends them.
fn decode(mut decoder: Decoder, bytes: &[u8], piece: usize) -> (Vec<Given>, bool) {
    let mut frames = Vec::new();
    for piece in bytes.chunks(piece.max(1)) {
        decoder.push(piece);
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => frames.push((frame.epoch, frame.kind, frame.payload.to_vec())),
                Ok(None) => break,
                Err(_) => return (frames, true),
            }
        }
    }
    (frames, false)
}

#[track_caller]
fn check_socket(bytes: &[u8], expected: &[Given], is_broken: bool) {
    for piece in [1, 7, bytes.len()] {
        assert_eq!(decode(Decoder::for_socket(), bytes, piece), (expected.to_vec(), is_broken));
    }
}

#[track_caller]
fn check_serial(bytes: &[u8], expected: &[Given]) {
    for piece in [1, 7, bytes.len()] {
        assert_eq!(decode(Decoder::for_serial(), bytes, piece), (expected.to_vec(), false));
    }
}

fn log(epoch: u32, text: &[u8]) -> Given {
    (epoch, LOG, text.to_vec())
}

#[test]
fn frames_come_out_as_they_went_in() {
    let frames = [log(0, b"a"), (1, FrameKind::Control, b"{}".to_vec()), log(1, b"")];
    check_socket(&bytes_of(&frames), &frames, false);
    check_serial(&bytes_of(&frames), &frames);
}

#[test]
fn garbage_breaks_a_socket_and_costs_a_serial_port_only_itself() {
    let (before, after) = ([log(1, b"before")], [log(1, b"after")]);
    for garbage in [&b"x"[..], b"DmF1DmF1DmF1DmF1DmF1DmF1DmF1", &[0; 100], b"DmF", &MAGIC] {
        let bytes = [bytes_of(&before), garbage.to_vec(), bytes_of(&after)].concat();
        check_serial(&bytes, &[log(1, b"before"), log(1, b"after")]);
        check_socket(&bytes, &before, true);
    }
}

#[test]
fn a_broken_socket_stays_broken() {
    let mut decoder = Decoder::for_socket();
    decoder.push(b"?");
    for _ in 0..3 {
        assert!(matches!(decoder.next_frame(), Err(FrameError::Broken { good_bytes: 0 })));
        decoder.push(&bytes_of(&[log(1, b"late")]));
    }
}

#[test]
fn each_bit_of_a_header_is_guarded() {
    let good = bytes_of(&[log(1, b"payload")]);
    for bit in 0..HEADER_BYTES * 8 {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        check_socket(&bytes, &[], true);
    }
}

#[test]
fn lengths_beyond_the_bound_are_no_header() {
    for (kind, len) in [(FrameKind::Control, CONTROL_MAX_BYTES + 1), (LOG, DATA_MAX_BYTES + 1)] {
        let len = u32::try_from(len).expect("a small number");
        check_socket(&Header { epoch: 1, kind, len }.to_bytes(), &[], true);
        let mut out = Vec::new();
        let payload = vec![0; len as usize];
        assert!(matches!(encode(1, kind, &payload, &mut out), Err(FrameError::TooLarge { .. })));
        assert!(out.is_empty(), "nothing has been appended");
        encode(1, kind, &payload[1..], &mut out).expect("the bound itself is allowed");
    }
}

#[test]
fn the_rest_of_a_frame_may_be_missing_for_ever() {
    let whole = bytes_of(&[log(1, b"a"), log(1, b"cut short")]);
    for cut in 1..HEADER_BYTES + 9 {
        let bytes = &whole[..whole.len() - cut];
        check_socket(bytes, &[log(1, b"a")], false);
        check_serial(bytes, &[log(1, b"a")]);
    }
}

#[test]
fn older_epochs_are_dropped() {
    let bytes = bytes_of(&[log(5, b"new"), log(4, b"old"), log(5, b"same"), log(6, b"next")]);
    let expected = [log(5, b"new"), log(5, b"same"), log(6, b"next")];
    check_socket(&bytes, &expected, false);
    check_serial(&bytes, &expected);
}

#[test]
fn a_serial_port_finds_the_next_epoch_inside_a_frame_that_never_gets_whole() {
    let cut = &bytes_of(&[log(1, &[b'x'; 1_000])])[..300];
    let next = [log(2, b"hello"), log(2, b"again")];
    let bytes = [cut, &bytes_of(&next)].concat();
    check_serial(&bytes, &next);
    check_socket(&bytes, &[], false);
}

#[test]
fn a_program_cannot_forge_a_frame_on_a_socket() {
    let forged = bytes_of(&[(9, FrameKind::Control, br#"{"type":"shutdown"}"#.to_vec())]);
    let output = [log(1, &forged), log(1, b"after")];
    check_socket(&bytes_of(&output), &output, false);
    let half =
        &bytes_of(&[log(1, &[&forged[..], &[0; 100]].concat())])[..HEADER_BYTES + forged.len()];
    check_socket(half, &[], false);
}

#[test]
fn messages_survive_the_way() {
    let mut bytes = Vec::new();
    encode_message(3, &ToGuest::Signal { signal: 15 }, &mut bytes).expect("a small message");
    let mut decoder = Decoder::for_socket();
    decoder.push(&bytes);
    let frame = decoder.next_frame().expect("a good header").expect("a whole frame");
    assert_eq!(frame.message::<ToGuest>().expect("its message"), ToGuest::Signal { signal: 15 });
    assert!(matches!(frame.message::<FromGuest>(), Err(FrameError::Message(_))));
}

fn any_frame() -> impl Strategy<Value = Given> {
    let channel = prop::sample::select(vec![Channel::Stdin, Channel::Stdout, Channel::Stderr]);
    let data = (any::<u32>(), channel)
        .prop_map(|(stream, channel)| FrameKind::Data { stream: StreamId(stream), channel });
    let kind = prop_oneof![Just(FrameKind::Control), data];
    (0..4_u32, kind, prop::collection::vec(any::<u8>(), 0..200))
}

/// The oracle: what a reader must make of whole frames.
fn of_newest_epochs(frames: Vec<Given>) -> Vec<Given> {
    let mut newest = 0;
    let is_kept = |(epoch, ..): &Given| {
        newest = newest.max(*epoch);
        *epoch == newest
    };
    let mut kept = frames;
    kept.retain(is_kept);
    kept
}

proptest! {
    #[test]
    fn any_split_decodes_the_same_frames(
        frames in prop::collection::vec(any_frame(), 0..8),
        piece in 1..300_usize,
    ) {
        let bytes = bytes_of(&frames);
        let expected = (of_newest_epochs(frames), false);
        prop_assert_eq!(decode(Decoder::for_socket(), &bytes, piece), expected.clone());
        prop_assert_eq!(decode(Decoder::for_serial(), &bytes, piece), expected);
    }

    #[test]
    fn a_serial_port_loses_no_frame_after_a_cut_one(
        payload in prop::collection::vec(any::<u8>(), HEADER_BYTES..300),
        missing in HEADER_BYTES..324_usize,
        piece in 1..300_usize,
    ) {
        let cut = bytes_of(&[log(1, &payload)]);
        let cut = &cut[..cut.len().saturating_sub(missing)];
        let next = vec![log(2, b"first"), log(2, b"second")];
        let bytes = [cut, &bytes_of(&next)].concat();
        prop_assert_eq!(decode(Decoder::for_serial(), &bytes, piece), (next, false));
    }

    #[test]
    fn a_serial_port_loses_one_frame_when_less_than_a_header_is_missing(
        payload in prop::collection::vec(any::<u8>(), HEADER_BYTES..300),
        missing in 1..HEADER_BYTES,
        piece in 1..300_usize,
    ) {
        let cut = bytes_of(&[log(1, &payload)]);
        let cut = &cut[..cut.len() - missing];
        let next = vec![log(2, b"hello"), log(2, b"hello again")];
        let bytes = [cut, &bytes_of(&next)].concat();
        let (frames, _) = decode(Decoder::for_serial(), &bytes, piece);
        prop_assert!(frames.ends_with(&next[1..]), "{:?}", frames);
    }

    #[test]
    fn any_bytes_keep_the_promises(
        bytes in prop::collection::vec(any::<u8>(), 0..2_000),
        cut in 1..100_usize,
    ) {
        check::decoder(&bytes, cut);
        check::messages(&bytes);
    }

    #[test]
    fn damaged_frames_keep_the_promises(
        frames in prop::collection::vec(any_frame(), 1..8),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        cut in 1..100_usize,
    ) {
        let mut bytes = bytes_of(&frames);
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        check::decoder(&bytes, cut);
    }
}
