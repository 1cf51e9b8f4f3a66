//! Ways in for what looks for input that breaks a promise.

use super::guard::{Guard, Limits};
use super::head::{self, Framing, Verdict};
use super::notes::Notes;
use bytes::BytesMut;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::io::{AsyncRead, ReadBuf};

/// What is known of the bytes of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// It has not ended.
    Incomplete,
    /// A good one.
    Good {
        /// Where it begins and ends.
        range: (usize, usize),
        /// Bytes of its body; `None` for chunks.
        length: Option<u64>,
    },
    /// It is refused, with this code.
    Bad(&'static str),
}

/// Looks at the head at the begin of `bytes`.
#[must_use]
pub fn judge(bytes: &[u8]) -> Head {
    match head::judge(bytes, 80) {
        Verdict::Incomplete => Head::Incomplete,
        Verdict::Good { begin, end, framing: Framing::Length(length) } => {
            Head::Good { range: (begin, end), length: Some(length) }
        }
        Verdict::Good { begin, end, framing: Framing::Chunked } => {
            Head::Good { range: (begin, end), length: None }
        }
        Verdict::Bad(refusal) => Head::Bad(refusal.code()),
    }
}

/// What the HTTP library sees of a connection on which `bytes` arrive in pieces of at most `piece`
/// bytes. Needs a runtime with time.
///
/// # Errors
/// A body that was none.
pub fn pass_on(bytes: &[u8], piece: usize) -> io::Result<Vec<u8>> {
    let limits = Limits { head_timeout: Duration::from_secs(3600), default_port: 80 };
    let mut guard =
        Guard::http1(Pieces { rest: bytes, piece }, BytesMut::new(), Notes::new(), &limits);
    let mut context = Context::from_waker(Waker::noop());
    let mut passed = Vec::new();
    loop {
        let mut part = [0; 512];
        let mut read = ReadBuf::new(&mut part);
        match Pin::new(&mut guard).poll_read(&mut context, &mut read) {
            // It reads nothing behind what it has refused.
            Poll::Pending => return Ok(passed),
            Poll::Ready(Err(error)) => return Err(error),
            Poll::Ready(Ok(())) if read.filled().is_empty() => return Ok(passed),
            Poll::Ready(Ok(())) => passed.extend_from_slice(read.filled()),
        }
    }
}

struct Pieces<'a> {
    rest: &'a [u8],
    piece: usize,
}

impl AsyncRead for Pieces<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let n_bytes = self.rest.len().min(self.piece).min(out.remaining());
        let (piece, rest) = self.rest.split_at(n_bytes);
        out.put_slice(piece);
        self.rest = rest;
        Poll::Ready(Ok(()))
    }
}
