//! What the parts of one visitor's connection tell each other.

use super::flow::Flow;
use super::pulse::Pulse;
use super::refusal::Refusal;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::time::Instant;

/// One connection's notes.
#[derive(Debug)]
pub(crate) struct Notes {
    begun: Instant,
    /// Bytes at the visitor's socket.
    pulse: Pulse,
    /// The stream is no longer HTTP/1 messages.
    is_open: AtomicBool,
    /// A body was not made of chunks.
    is_body_bad: AtomicBool,
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    n_heads: u64,
    n_calls: u64,
    refused: Option<(u64, Refusal)>,
    n_under_way: usize,
    /// When the last request ended.
    quiet_since: Option<Instant>,
    /// Answers under way.
    flows: HashMap<u64, Weak<Flow>>,
}

impl Notes {
    /// Of a connection that begins now.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            begun: Instant::now(),
            pulse: Pulse::new(),
            is_open: AtomicBool::new(false),
            is_body_bad: AtomicBool::new(false),
            book: Mutex::default(),
        })
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes moved at the visitor's socket.
    pub(crate) fn touch(&self) {
        self.pulse.touch();
    }

    /// For how long no byte has moved.
    pub(crate) fn silence(&self) -> Duration {
        self.pulse.silence()
    }

    /// A good head goes to the library.
    pub(crate) fn head_passed(&self) {
        self.book().n_heads += 1;
    }

    /// A stand-in goes to the library.
    pub(crate) fn head_refused(&self, refusal: Refusal) {
        let mut book = self.book();
        book.refused = Some((book.n_heads, refusal));
        book.n_heads += 1;
    }

    /// A body ends in something that is no chunk.
    pub(crate) fn body_is_bad(&self) {
        self.is_body_bad.store(true, Ordering::Release);
    }

    /// Whether a body ended in something that is no chunk.
    pub(crate) fn is_body_bad(&self) -> bool {
        self.is_body_bad.load(Ordering::Acquire)
    }

    /// From now on every byte passes: the visitor has a tunnel.
    pub(crate) fn open(&self) {
        self.is_open.store(true, Ordering::Release);
    }

    /// Whether every byte passes.
    pub(crate) fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Acquire)
    }

    /// A request begins: `Some` if it is the stand-in of a refused one.
    pub(crate) fn begin(self: &Arc<Self>) -> (UnderWay, Option<Refusal>) {
        let mut book = self.book();
        let number = book.n_calls;
        book.n_calls += 1;
        book.n_under_way += 1;
        let refused = book.refused.filter(|(at, _)| *at == number).map(|(_, refusal)| refusal);
        (UnderWay { notes: Arc::clone(self), number }, refused)
    }

    /// Since when nothing is under way; `None` while something is.
    pub(crate) fn quiet_since(&self) -> Option<Instant> {
        let book = self.book();
        (book.n_under_way == 0).then(|| book.quiet_since.unwrap_or(self.begun))
    }

    /// Whether a request has ever come.
    pub(crate) fn has_served(&self) -> bool {
        let book = self.book();
        book.n_heads > 0 || book.n_calls > 0
    }

    /// Cuts answers that have been silent for too long; returns whether one was.
    pub(crate) fn cut_silent(&self) -> bool {
        let flows: Vec<_> = self.book().flows.values().filter_map(Weak::upgrade).collect();
        let n_cut = flows.iter().filter(|flow| flow.cut_if_silent()).count();
        n_cut > 0
    }
}

/// A request under way; ended when dropped.
#[derive(Debug)]
pub(crate) struct UnderWay {
    notes: Arc<Notes>,
    number: u64,
}

impl UnderWay {
    /// Its answer is `flow`.
    pub(crate) fn watch(&self, flow: &Arc<Flow>) {
        self.notes.book().flows.insert(self.number, Arc::downgrade(flow));
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut book = self.notes.book();
        book.flows.remove(&self.number);
        book.n_under_way -= 1;
        if book.n_under_way == 0 {
            book.quiet_since = Some(Instant::now());
        }
    }
}
