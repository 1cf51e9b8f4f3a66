//! Any bytes as what a visitor sends over HTTP/1. The first byte chooses how they are cut.

#![no_main]

use fuzz::runtime;
use libfuzzer_sys::fuzz_target;
use proxy::fuzzing::{Head, judge, pass_on};

/// Most header lines. Source: `proxy::http::head`.
const HEADERS_MAX: usize = 128;

fuzz_target!(|bytes: &[u8]| {
    let Some((piece, bytes)) = bytes.split_first() else { return };
    if let Head::Good { range: (begin, end), length } = judge(bytes) {
        read_alike(&bytes[begin..end], length);
    }
    let _entered = runtime().enter();
    let (whole, in_pieces) =
        (pass_on(bytes, bytes.len().max(1)), pass_on(bytes, usize::from(*piece).max(1)));
    let (Ok(whole), Ok(in_pieces)) = (whole, in_pieces) else { return };
    // A refusal may wait for the end of the next line.
    assert!(whole.starts_with(&in_pieces), "what passes does not depend on how it arrives");
    if let Head::Good { range: (begin, _), .. } = judge(bytes) {
        let n_same = whole.iter().zip(&bytes[begin..]).take_while(|(a, b)| a == b).count();
        assert!(n_same > 0, "a good head passes as it is");
    }
});

/// What passes is read by another as it is here.
fn read_alike(head: &[u8], length: Option<u64>) {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    let read = request.parse(head);
    assert_eq!(read, Ok(httparse::Status::Complete(head.len())), "{}", head.escape_ascii());
    let values = |name: &str| {
        let of_name =
            request.headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name));
        of_name.map(|header| header.value.trim_ascii()).collect::<Vec<_>>()
    };
    let (lengths, encodings) = (values("content-length"), values("transfer-encoding"));
    match length {
        None => {
            assert!(lengths.is_empty() && encodings.len() == 1);
            assert!(encodings[0].eq_ignore_ascii_case(b"chunked"));
        }
        Some(length) => {
            assert!(encodings.is_empty() && lengths.len() <= 1);
            let told = lengths.first().map(|text| std::str::from_utf8(text).expect("digits"));
            assert_eq!(told.map_or(Ok(0), str::parse), Ok(length));
        }
    }
    assert!(values("host").len() <= 1);
}
