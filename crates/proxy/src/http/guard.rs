//! Between the socket of a visitor and the HTTP/1 library: only whole, well-formed heads pass.
//!
//! It follows the framing of every message itself ([`super::head`], [`super::chunk`]), so that the
//! library sees exactly the bytes that were looked at. A request that is refused is replaced by a
//! stand-in, which the service knows by its number and answers with the refusal: so answers stay in
//! order, and nothing behind the refused one is ever read.

use super::chunk::Chunks;
use super::head::{self, Framing, Verdict};
use super::notes::Notes;
use super::refusal::Refusal;
use bytes::{Buf as _, BytesMut};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// Bytes read at a time while a head or chunks are looked at.
const READ_BYTES: usize = 16 * 1024;

/// What the library sees in the place of a refused request.
const STAND_IN: &[u8] = b"GET / HTTP/1.1\r\nhost: refused.invalid\r\n\r\n";

/// How long the rest of what a refused visitor sends is taken in before the connection is closed:
/// closed at once, the kernel would reset it, and the answer would be lost on its way.
const LINGER: Duration = Duration::from_millis(500);

/// Most bytes taken in meanwhile.
const LINGER_MAX_BYTES: usize = 1024 * 1024;

/// A visitor's connection.
pub(crate) struct Guard<S> {
    io: S,
    /// Read and not yet passed on.
    held: BytesMut,
    /// So many bytes of `held` may be passed on.
    n_free: usize,
    phase: Phase,
    head_timeout: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    /// How much of `held` has been judged without an end.
    n_judged: usize,
    linger: Option<(Pin<Box<Sleep>>, usize)>,
    notes: Arc<Notes>,
    default_port: u16,
}

/// Where in the stream of messages the held bytes are.
enum Phase {
    /// Before or in a head.
    Head,
    /// In a body with so many bytes left.
    Length(u64),
    /// In a body of chunks.
    Chunked(Chunks),
    /// Everything passes: h2, or a WebSocket.
    Open,
    /// A request was refused: nothing more is read.
    Refused,
}

impl<S> Guard<S> {
    /// Of HTTP/1. `held` are bytes that were read before.
    pub(crate) fn http1(io: S, held: BytesMut, notes: Arc<Notes>, limits: &Limits) -> Self {
        let Limits { head_timeout, default_port } = *limits;
        Self {
            io,
            held,
            n_free: 0,
            phase: Phase::Head,
            head_timeout,
            timer: None,
            n_judged: 0,
            linger: None,
            notes,
            default_port,
        }
    }

    /// Of h2: it only passes bytes on.
    pub(crate) fn open(io: S, held: BytesMut, notes: Arc<Notes>) -> Self {
        let limits = Limits { head_timeout: Duration::ZERO, default_port: 0 };
        let n_free = held.len();
        Self { phase: Phase::Open, n_free, ..Self::http1(io, held, notes, &limits) }
    }

    /// Judges what is held. Returns whether more must be read.
    fn judge(&mut self) -> Result<bool, io::Error> {
        match &mut self.phase {
            Phase::Head => Ok(self.judge_head()),
            Phase::Length(left) => {
                let wanted = usize::try_from(*left).unwrap_or(usize::MAX);
                self.n_free = self.held.len().min(wanted);
                *left -= self.n_free as u64;
                if *left == 0 {
                    self.phase = Phase::Head;
                }
                Ok(self.n_free == 0)
            }
            Phase::Chunked(chunks) => {
                let followed = chunks.follow(&self.held);
                let Ok(n_free) = followed else {
                    self.phase = Phase::Refused;
                    self.notes.body_is_bad();
                    return Err(io::ErrorKind::InvalidData.into());
                };
                self.n_free = n_free;
                if chunks.is_done() {
                    self.phase = Phase::Head;
                }
                Ok(n_free == 0)
            }
            Phase::Open => {
                self.n_free = self.held.len();
                Ok(self.n_free == 0)
            }
            Phase::Refused => Ok(true),
        }
    }

    fn judge_head(&mut self) -> bool {
        if self.held.is_empty() {
            return true;
        }
        // Only a line's end can end a head: a visitor that sends byte by byte costs no more.
        let is_worth_it = self.held.len() > head::HEAD_MAX_BYTES
            || self.held[self.n_judged..].iter().any(|b| matches!(b, b'\n' | b'\r' | 0));
        self.n_judged = self.held.len();
        if !is_worth_it {
            return true;
        }
        match head::judge(&self.held, self.default_port) {
            Verdict::Incomplete => return true,
            Verdict::Good { begin, end, framing } => {
                self.held.advance(begin);
                self.n_free = end - begin;
                self.phase = match framing {
                    Framing::Length(0) => Phase::Head,
                    Framing::Length(left) => Phase::Length(left),
                    Framing::Chunked => Phase::Chunked(Chunks::new()),
                };
                self.notes.head_passed();
            }
            Verdict::Bad(refusal) => self.refuse(refusal),
        }
        (self.timer, self.n_judged) = (None, 0);
        false
    }

    fn refuse(&mut self, refusal: Refusal) {
        self.held.clear();
        self.held.extend_from_slice(STAND_IN);
        self.n_free = STAND_IN.len();
        self.phase = Phase::Refused;
        self.notes.head_refused(refusal);
    }

    /// Refuses when a head that has begun does not end in time.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let is_in_head = matches!(self.phase, Phase::Head) && !self.held.is_empty();
        if !is_in_head {
            return Poll::Pending;
        }
        let wait = self.head_timeout;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(wait)));
        ready!(timer.as_mut().poll(cx));
        self.timer = None;
        self.refuse(Refusal::HeadTimeout);
        Poll::Ready(())
    }

    /// Whether something of the visitor's is or may be unread, so that closing would reset.
    fn is_mid_message(&self) -> bool {
        match self.phase {
            Phase::Open => false,
            Phase::Head => !self.held.is_empty(),
            Phase::Length(_) | Phase::Chunked(_) | Phase::Refused => true,
        }
    }
}

/// Limits of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Longest time from the first byte of a head to its last.
    pub(crate) head_timeout: Duration,
    /// Port of a host that names none.
    pub(crate) default_port: u16,
}

impl<S: AsyncRead + Unpin> Guard<S> {
    /// Reads more into `held`; ready with whether there was any.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut bytes = [std::mem::MaybeUninit::uninit(); READ_BYTES];
        let mut read = ReadBuf::uninit(&mut bytes);
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut read))?;
        self.held.extend_from_slice(read.filled());
        if !read.filled().is_empty() {
            self.notes.touch();
        }
        Poll::Ready(Ok(!read.filled().is_empty()))
    }

    /// Reads bytes of a body, or of what is open, straight into `out`.
    fn poll_straight(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
        most: u64,
    ) -> Poll<io::Result<u64>> {
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(out.remaining());
        let mut part = ReadBuf::new(out.initialize_unfilled_to(most));
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut part))?;
        let n_read = part.filled().len();
        out.advance(n_read);
        if n_read > 0 {
            self.notes.touch();
        }
        Poll::Ready(Ok(n_read as u64))
    }

    fn pass_on(&mut self, out: &mut ReadBuf<'_>) {
        let n_passed = self.n_free.min(out.remaining());
        out.put_slice(&self.held[..n_passed]);
        self.held.advance(n_passed);
        self.n_free -= n_passed;
    }

    /// Takes in what a visitor still sends, so that the answer reaches it before the end.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.is_mid_message() {
            return Poll::Ready(());
        }
        let until = || (Box::pin(tokio::time::sleep_until(Instant::now() + LINGER)), 0);
        loop {
            let (timer, n_taken) = self.linger.get_or_insert_with(until);
            if timer.as_mut().poll(cx).is_ready() || *n_taken > LINGER_MAX_BYTES {
                return Poll::Ready(());
            }
            self.held.clear();
            let Ok(true) = ready!(self.poll_more(cx)) else { return Poll::Ready(()) };
            if let Some((_, n_taken)) = &mut self.linger {
                *n_taken += self.held.len();
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guard<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.notes.is_open() {
            this.phase = Phase::Open;
        }
        if out.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            if this.n_free > 0 {
                this.pass_on(out);
                return Poll::Ready(Ok(()));
            }
            match &this.phase {
                Phase::Refused => return Poll::Pending,
                Phase::Open if this.held.is_empty() => {
                    return this.poll_straight(cx, out, u64::MAX).map_ok(|_n_read| ());
                }
                Phase::Length(left) if this.held.is_empty() => {
                    let left = *left;
                    let n_read = ready!(this.poll_straight(cx, out, left))?;
                    this.phase = match left - n_read {
                        0 => Phase::Head,
                        left => Phase::Length(left),
                    };
                    return Poll::Ready(Ok(()));
                }
                _ => {}
            }
            if !this.judge()? {
                continue;
            }
            if this.poll_timer(cx).is_ready() {
                continue;
            }
            if !ready!(this.poll_more(cx))? {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guard<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let n_written = ready!(Pin::new(&mut this.io).poll_write(cx, bytes))?;
        this.notes.touch();
        Poll::Ready(Ok(n_written))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let n_written = ready!(Pin::new(&mut this.io).poll_write_vectored(cx, parts))?;
        this.notes.touch();
        Poll::Ready(Ok(n_written))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.linger.is_none() {
            ready!(Pin::new(&mut this.io).poll_shutdown(cx))?;
        }
        this.poll_linger(cx).map(Ok)
    }
}

#[cfg(test)]
mod tests;
