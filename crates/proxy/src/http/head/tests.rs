//! Heads and what is said of them.

use super::{Framing, HEAD_MAX_BYTES, HEADERS_MAX, Refusal, Verdict, judge};

#[track_caller]
fn bad(head: &str, expected: Refusal) {
    assert_eq!(judge(head.as_bytes(), 80), Verdict::Bad(expected), "{head:?}");
}

#[track_caller]
fn good(head: &str, expected: Framing) {
    let expected = Verdict::Good { begin: 0, end: head.len(), framing: expected };
    assert_eq!(judge(head.as_bytes(), 80), expected, "{head:?}");
}

/// A request with these header lines beside a host.
fn with(lines: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n")
}

#[test]
fn ordinary_heads_pass() {
    good("GET / HTTP/1.1\r\nHost: a\r\n\r\n", Framing::Length(0));
    good("GET / HTTP/1.0\r\n\r\n", Framing::Length(0));
    good("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", Framing::Length(0));
    good(&with("Content-Length: 5\r\n"), Framing::Length(5));
    good(&with("content-length:\t5 \r\n"), Framing::Length(5));
    good(&with("Transfer-Encoding: Chunked\r\n"), Framing::Chunked);
    good(&with("X: caf\u{e9}\r\nY:\r\n"), Framing::Length(0));
    good("GET http://a/x?y HTTP/1.1\r\nHost: A:80\r\n\r\n", Framing::Length(0));
    good("GET / HTTP/1.1\r\nHost:\r\n\r\n", Framing::Length(0));
}

#[test]
fn each_prefix_is_incomplete_and_never_judged_early() {
    let head = with("Content-Length: 5\r\nX: y\r\n");
    for len in 0..head.len() {
        assert_eq!(judge(&head.as_bytes()[..len], 80), Verdict::Incomplete, "{len}");
    }
}

#[test]
fn empty_lines_before_a_request_are_skipped() {
    let verdict = judge(b"\r\nGET / HTTP/1.0\r\n\r\nrest", 80);
    assert_eq!(verdict, Verdict::Good { begin: 2, end: 20, framing: Framing::Length(0) });
    bad("\r\n\r\n\r\nGET / HTTP/1.0\r\n\r\n", Refusal::RequestLine);
}

#[test]
fn two_readings_of_the_length_are_refused() {
    bad(&with("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), Refusal::LengthAndEncoding);
    bad(&with("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"), Refusal::LengthAndEncoding);
    bad(&with("Content-Length: 5\r\nContent-Length: 5\r\n"), Refusal::TwoLengths);
    bad(&with("Content-Length: 5\r\nContent-Length: 6\r\n"), Refusal::TwoLengths);
    for value in ["5, 5", "+5", "-1", "0x5", "", "5 5", "99999999999999999999", "5;"] {
        bad(&with(&format!("Content-Length: {value}\r\n")), Refusal::BadLength);
    }
    for value in ["gzip", "gzip, chunked", "chunked, chunked", "xchunked", "", "chunked;q=1"] {
        bad(&with(&format!("Transfer-Encoding: {value}\r\n")), Refusal::BadEncoding);
    }
    bad(
        &with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
        Refusal::BadEncoding,
    );
    bad("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", Refusal::BadEncoding);
}

#[test]
fn lines_end_in_one_way() {
    bad("GET / HTTP/1.1\nHost: a\n\n", Refusal::BareLineFeed);
    bad(&with("X: y\nContent-Length: 5\r\n"), Refusal::BareLineFeed);
    bad(&with("X: y\rContent-Length: 5\r\n"), Refusal::BareCarriageReturn);
    bad(&with("X: y\r\n folded\r\n"), Refusal::FoldedLine);
    bad(&with("X: y\r\n\tfolded\r\n"), Refusal::FoldedLine);
    bad(&with("X: a\0b\r\n"), Refusal::ControlByte);
    bad(&with("X: a\u{1}b\r\n"), Refusal::ControlByte);
    bad(&with("X: a\u{7f}b\r\n"), Refusal::ControlByte);
}

#[test]
fn header_lines_have_a_name_and_a_colon_at_once() {
    for line in ["Content-Length : 5", "X", ": y", "X y: z", "\u{e9}: y", "(x): y"] {
        bad(&with(&format!("{line}\r\n")), Refusal::HeaderLine);
    }
}

#[test]
fn first_lines_are_strict() {
    for line in [
        "GET  / HTTP/1.1",
        "GET /",
        "GET / HTTP/1.2",
        "GET / HTTP/2.0",
        "GET / HTTP/1.1 ",
        "",
        " GET / HTTP/1.1",
    ] {
        bad(&format!("{line}\r\nHost: a\r\n\r\n"), Refusal::RequestLine);
    }
    for target in ["*", "a", "/a#b", "ftp://a/", "http:///", "/\u{e9}", "http://u@a/"] {
        bad(&format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"), Refusal::Target);
    }
    bad("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", Refusal::Connect);
}

#[test]
fn there_is_one_host() {
    bad("GET / HTTP/1.1\r\n\r\n", Refusal::NoHost);
    bad("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", Refusal::TwoHosts);
    bad("GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n", Refusal::TwoHosts);
    bad("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", Refusal::BadHost);
    bad("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", Refusal::BadHost);
    bad("GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", Refusal::OtherHost);
    bad("GET http://a:81/ HTTP/1.1\r\nHost: a\r\n\r\n", Refusal::OtherHost);
}

#[test]
fn heads_have_a_size() {
    bad(&with(&"X: y\r\n".repeat(HEADERS_MAX)), Refusal::TooManyHeaders);
    good(&with(&"X: y\r\n".repeat(HEADERS_MAX - 1)), Framing::Length(0));
    bad(&with(&format!("X: {}\r\n", "y".repeat(HEAD_MAX_BYTES))), Refusal::HeadTooLarge);
    let endless = format!("GET /{}", "a".repeat(HEAD_MAX_BYTES));
    bad(&endless, Refusal::HeadTooLarge);
}
