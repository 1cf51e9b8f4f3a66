//! The body of a request on its way to the program, kept while it may have to be sent again.
//!
//! Nothing is read before somebody asks for it: a visitor whose machine sleeps is held by the flow
//! control of its own connection. What has been read is kept, up to a bound, until the answer begins,
//! because an answer may be a replay to another machine.

use super::pulse::Pulse;
use bytes::Bytes;
use hyper::HeaderMap;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

/// Most bytes of one body that are kept. Source: machines-api 4.9.
pub(crate) const KEPT_MAX_BYTES: usize = 1024 * 1024;

/// Most bytes kept of all bodies.
const KEPT_ALL_MAX_BYTES: usize = 64 * 1024 * 1024;

/// How much all tapes keep.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    kept_bytes: AtomicUsize,
}

impl Budget {
    fn take(&self, n_bytes: usize) -> bool {
        let kept = self.kept_bytes.fetch_add(n_bytes, Ordering::Relaxed);
        let fits = kept + n_bytes <= KEPT_ALL_MAX_BYTES;
        if !fits {
            self.give(n_bytes);
        }
        fits
    }

    fn give(&self, n_bytes: usize) {
        self.kept_bytes.fetch_sub(n_bytes, Ordering::Relaxed);
    }
}

/// A visitor's body.
#[derive(Debug)]
pub(crate) struct Tape {
    budget: Arc<Budget>,
    pulse: Arc<Pulse>,
    reel: Mutex<Reel>,
}

#[derive(Debug)]
struct Reel {
    /// `None`: there is no body, whatever the request says.
    source: Option<Incoming>,
    /// Everything handed out so far, while it is kept.
    kept: Vec<Piece>,
    kept_bytes: usize,
    is_keeping: bool,
    /// Something was handed out that is not kept.
    is_torn: bool,
    n_handed_bytes: u64,
    is_done: bool,
    has_failed: bool,
    /// Number of the attempt that may read; earlier ones get nothing more.
    attempt: u64,
}

#[derive(Clone, Debug)]
enum Piece {
    Data(Bytes),
    Trailers(HeaderMap),
}

impl Tape {
    /// Of `source`; each piece that passes is a beat of `pulse`.
    pub(crate) fn new(
        source: Option<Incoming>,
        budget: &Arc<Budget>,
        pulse: &Arc<Pulse>,
    ) -> Arc<Self> {
        let is_done = source.as_ref().is_none_or(Body::is_end_stream);
        let reel = Reel {
            source,
            kept: Vec::new(),
            kept_bytes: 0,
            is_keeping: true,
            is_torn: false,
            n_handed_bytes: 0,
            is_done,
            has_failed: false,
            attempt: 0,
        };
        let (budget, pulse) = (Arc::clone(budget), Arc::clone(pulse));
        Arc::new(Self { budget, pulse, reel: Mutex::new(reel) })
    }

    fn reel(&self) -> MutexGuard<'_, Reel> {
        self.reel.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The body from its begin, for one more attempt; ends the earlier one's.
    pub(crate) fn play(self: &Arc<Self>) -> TapedBody {
        let mut reel = self.reel();
        reel.attempt += 1;
        TapedBody { attempt: reel.attempt, tape: Arc::clone(self), next_idx: 0 }
    }

    /// Whether all that was handed out can be handed out again.
    pub(crate) fn is_whole(&self) -> bool {
        !self.reel().is_torn
    }

    /// Whether a byte of it may have reached a program.
    pub(crate) fn is_touched(&self) -> bool {
        self.reel().n_handed_bytes > 0
    }

    /// Bytes that arrived and were handed on.
    pub(crate) fn n_handed_bytes(&self) -> u64 {
        self.reel().n_handed_bytes
    }

    /// Whether all of it has arrived.
    pub(crate) fn is_done(&self) -> bool {
        self.reel().is_done
    }

    /// Whether reading it from the visitor failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.reel().has_failed
    }

    /// It will not be needed again: nothing is kept from now on.
    pub(crate) fn stop_keeping(&self) {
        self.forget(&mut self.reel());
    }

    fn forget(&self, reel: &mut Reel) {
        reel.is_keeping = false;
        reel.kept = Vec::new();
        self.budget.give(std::mem::take(&mut reel.kept_bytes));
    }

    fn keep(&self, reel: &mut Reel, piece: Piece) {
        let n_bytes = match &piece {
            Piece::Data(data) => data.len(),
            Piece::Trailers(_) => 0,
        };
        reel.n_handed_bytes += n_bytes as u64;
        let fits = reel.kept_bytes + n_bytes <= KEPT_MAX_BYTES;
        if reel.is_keeping && fits && self.budget.take(n_bytes) {
            reel.kept_bytes += n_bytes;
            reel.kept.push(piece);
        } else {
            reel.is_torn = true;
            self.forget(reel);
        }
    }
}

impl Drop for Tape {
    fn drop(&mut self) {
        self.stop_keeping();
    }
}

/// The body as one attempt reads it.
#[derive(Debug)]
pub(crate) struct TapedBody {
    tape: Arc<Tape>,
    attempt: u64,
    next_idx: usize,
}

/// Why a body ends before its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TapeError {
    /// The visitor's side failed.
    #[error("the body could not be read from the visitor")]
    Visitor(#[source] hyper::Error),
    /// Another attempt reads it now.
    #[error("the request is sent to another machine")]
    Superseded,
}

impl Body for TapedBody {
    type Data = Bytes;
    type Error = TapeError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, TapeError>>> {
        let this = self.get_mut();
        let mut reel = this.tape.reel();
        if reel.attempt != this.attempt {
            return Poll::Ready(Some(Err(TapeError::Superseded)));
        }
        if let Some(piece) = reel.kept.get(this.next_idx).cloned() {
            this.next_idx += 1;
            return Poll::Ready(Some(Ok(piece.into_frame())));
        }
        let Some(source) = reel.source.as_mut().filter(|source| !source.is_end_stream()) else {
            reel.is_done = true;
            return Poll::Ready(None);
        };
        let polled = ready!(Pin::new(source).poll_frame(cx));
        this.tape.pulse.touch();
        let frame = match polled {
            None => {
                reel.is_done = true;
                return Poll::Ready(None);
            }
            Some(Err(error)) => {
                reel.has_failed = true;
                return Poll::Ready(Some(Err(TapeError::Visitor(error))));
            }
            Some(Ok(frame)) => frame,
        };
        reel.is_done = reel.source.as_ref().is_none_or(Body::is_end_stream);
        if let Some(piece) = Piece::of(&frame) {
            this.tape.keep(&mut reel, piece);
            this.next_idx += 1;
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        let reel = self.tape.reel();
        reel.kept.len() <= self.next_idx && reel.source.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let reel = self.tape.reel();
        let rest = reel.source.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint);
        let again: usize = reel.kept.iter().skip(self.next_idx).map(Piece::len).sum();
        match rest.exact() {
            Some(rest) => SizeHint::with_exact(rest + again as u64),
            None => SizeHint::new(),
        }
    }
}

impl Piece {
    fn of(frame: &Frame<Bytes>) -> Option<Self> {
        let data = frame.data_ref().cloned().map(Self::Data);
        data.or_else(|| frame.trailers_ref().cloned().map(Self::Trailers))
    }

    fn into_frame(self) -> Frame<Bytes> {
        match self {
            Self::Data(data) => Frame::data(data),
            Self::Trailers(trailers) => Frame::trailers(trailers),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Data(data) => data.len(),
            Self::Trailers(_) => 0,
        }
    }
}
