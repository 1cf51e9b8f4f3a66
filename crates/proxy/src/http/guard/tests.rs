//! Bytes in, bytes out, however they arrive.

use super::{Guard, Limits, Notes};
use bytes::BytesMut;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

const LIMITS: Limits = Limits { head_timeout: Duration::from_secs(10), default_port: 80 };

/// What passes of `stream`, written in pieces of `piece` bytes.
async fn passed(stream: &[u8], piece: usize) -> Vec<u8> {
    let (ours, mut theirs) = duplex(64 * 1024);
    let mut guard = Guard::http1(ours, BytesMut::new(), Notes::new(), &LIMITS);
    let written = async {
        for piece in stream.chunks(piece) {
            theirs.write_all(piece).await.expect("room");
            tokio::task::yield_now().await;
        }
        drop(theirs);
    };
    let mut seen = Vec::new();
    let read = async {
        let mut bytes = [0; 100];
        loop {
            let n_read = guard.read(&mut bytes).await.unwrap_or(0);
            seen.extend_from_slice(&bytes[..n_read]);
            if n_read == 0 || seen.ends_with(b"refused.invalid\r\n\r\n") {
                return;
            }
        }
    };
    tokio::join!(written, read);
    seen
}

#[tokio::test]
async fn good_messages_pass_unchanged() {
    let stream = b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello\
                   POST /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
                   5\r\nworld\r\n0\r\nX: y\r\n\r\nGET /c HTTP/1.1\r\nHost: a\r\n\r\n";
    for piece in [1, 2, 3, 7, 50, 1000] {
        assert_eq!(passed(stream, piece).await, stream, "in pieces of {piece}");
    }
}

#[tokio::test]
async fn a_refused_head_and_all_behind_it_are_replaced() {
    let good = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
    let stream = format!("{good}GET /b HTTP/1.1\nHost: a\n\n{good}");
    for piece in [1, 5, 1000] {
        let seen = passed(stream.as_bytes(), piece).await;
        let expected = format!("{good}{}", String::from_utf8_lossy(super::STAND_IN));
        assert_eq!(String::from_utf8_lossy(&seen), expected, "in pieces of {piece}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_that_does_not_end_is_replaced_in_time() {
    let (ours, mut theirs) = duplex(1024);
    let notes = Notes::new();
    let mut guard = Guard::http1(ours, BytesMut::new(), Arc::clone(&notes), &LIMITS);
    theirs.write_all(b"GET / HTT").await.expect("room");
    let mut bytes = [0; 1024];
    let begun = tokio::time::Instant::now();
    let n_read = guard.read(&mut bytes).await.expect("a stand-in");
    assert_eq!(&bytes[..n_read], super::STAND_IN);
    assert_eq!(begun.elapsed().as_secs(), 10);
    let (_under_way, refused) = notes.begin();
    assert_eq!(refused, Some(super::Refusal::HeadTimeout));
}
