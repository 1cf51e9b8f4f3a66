//! Writing and reading the bytes of netlink messages.

use crate::uapi::{NLA_F_NESTED, NLA_FLAGS, NLM_F_ACK, NLM_F_CREATE, NLM_F_REQUEST};
use rustix::io::Errno;
use std::fmt;

/// Bytes of a message header: length, type, flags, sequence number, port.
const HEADER_BYTES: usize = 16;
/// Bytes of an attribute header: length, kind.
const ATTRIBUTE_BYTES: usize = 4;

/// Flag of a request that makes what is not there.
pub const CREATE: u16 = NLM_F_CREATE;

/// Requests that are sent together; the kernel carries them out in order.
#[derive(Debug, Default)]
pub struct Batch {
    pub(crate) bytes: Vec<u8>,
    pub(crate) requests: Vec<Request>,
}

/// What one message of a batch is for, and which refusal means that it was true already.
pub(crate) struct Request {
    /// In words, put together only when somebody wants to hear them.
    pub(crate) doing: Box<dyn fmt::Display + Send>,
    pub(crate) already: &'static [Errno],
    start: usize,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Request({})", self.doing)
    }
}

impl Batch {
    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a request; `body` writes what follows the message header.
    ///
    /// A refusal listed in `already` counts as success. `doing` is the attempt, as a verb phrase.
    ///
    /// # Panics
    /// What `body` writes is longer than 4 GiB.
    pub fn push(
        &mut self,
        kind: u16,
        flags: u16,
        already: &'static [Errno],
        doing: impl fmt::Display + Send + 'static,
        body: impl FnOnce(&mut Body<'_>),
    ) {
        let start = self.append(kind, flags, body);
        self.requests.push(Request { doing: Box::new(doing), already, start });
    }

    /// Appends a message that the kernel acts on without a word.
    pub fn push_unanswered(&mut self, kind: u16, body: impl FnOnce(&mut Body<'_>)) {
        self.append(kind, 0, body);
    }

    /// Appends a message; gives the place of its first byte.
    fn append(&mut self, kind: u16, flags: u16, body: impl FnOnce(&mut Body<'_>)) -> usize {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&0u32.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(&(flags | NLM_F_REQUEST).to_ne_bytes());
        self.bytes.extend_from_slice(&[0; 8]);
        body(&mut Body { bytes: &mut self.bytes });
        let len = self.bytes.len() - start;
        self.bytes[start..start + 4].copy_from_slice(&length32(len).to_ne_bytes());
        pad(&mut self.bytes);
        start
    }

    /// What the batch comes down to: its last request.
    pub(crate) fn doing(&self) -> &dyn fmt::Display {
        self.requests.last().map_or(&"", |request| &request.doing)
    }

    /// Numbers the requests from `first` on, so that answers find them, and asks for an answer to the last
    /// one; returns its number.
    ///
    /// The kernel takes them in order and tells of each that it refuses, so that answer is the end of all.
    pub(crate) fn number(&mut self, first: u32) -> u32 {
        let mut last = first;
        for (nth, request) in (0..).zip(&self.requests) {
            last = first.wrapping_add(nth);
            self.bytes[request.start + 8..][..4].copy_from_slice(&last.to_ne_bytes());
        }
        if let Some(request) = self.requests.last() {
            let flags = &mut self.bytes[request.start + 6..][..2];
            let asked = u16::from_ne_bytes([flags[0], flags[1]]) | NLM_F_ACK;
            flags.copy_from_slice(&asked.to_ne_bytes());
        }
        last
    }
}

/// The part of a message after its header.
#[derive(Debug)]
pub struct Body<'a> {
    bytes: &'a mut Vec<u8>,
}

impl Body<'_> {
    /// Appends plain bytes, such as the family's own header.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        pad(self.bytes);
    }

    /// Appends an attribute.
    ///
    /// # Panics
    /// It is longer than 64 KiB.
    pub fn attribute(&mut self, kind: u16, value: &[u8]) {
        self.wrap(kind, |body| body.bytes.extend_from_slice(value));
    }

    /// Appends an attribute that holds what `inner` writes.
    ///
    /// # Panics
    /// As [`Body::attribute`].
    pub fn nest(&mut self, kind: u16, inner: impl FnOnce(&mut Body<'_>)) {
        self.wrap(kind | NLA_F_NESTED, inner);
    }

    fn wrap(&mut self, kind: u16, inner: impl FnOnce(&mut Body<'_>)) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 2]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        inner(&mut Body { bytes: self.bytes });
        let len = u16::try_from(self.bytes.len() - start).expect("attributes here are short");
        self.bytes[start..start + 2].copy_from_slice(&len.to_ne_bytes());
        pad(self.bytes);
    }
}

fn length32(len: usize) -> u32 {
    u32::try_from(len).expect("messages here are short")
}

fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

/// One message of an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer<'a> {
    pub(crate) kind: u16,
    pub(crate) sequence: u32,
    pub(crate) body: &'a [u8],
}

/// Splits received bytes into messages; `None` at the first one that is cut short.
pub(crate) fn answers(mut bytes: &[u8]) -> impl Iterator<Item = Option<Answer<'_>>> {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let parsed = answer(bytes);
        bytes = parsed.map_or(&[], |(_, rest)| rest);
        Some(parsed.map(|(answer, _)| answer))
    })
}

fn answer(bytes: &[u8]) -> Option<(Answer<'_>, &[u8])> {
    let len = usize::try_from(u32_at(bytes, 0)?).ok()?;
    let body = bytes.get(HEADER_BYTES..len)?;
    let kind = u16_at(bytes, 4)?;
    let sequence = u32_at(bytes, 8)?;
    let rest = bytes.get(len.next_multiple_of(4)..).unwrap_or(&[]);
    Some((Answer { kind, sequence, body }, rest))
}

/// The value of the first attribute of `kind` in `attributes`.
#[must_use]
pub fn attribute(mut attributes: &[u8], kind: u16) -> Option<&[u8]> {
    loop {
        let len = usize::from(u16_at(attributes, 0)?);
        let value = attributes.get(ATTRIBUTE_BYTES..len)?;
        if u16_at(attributes, 2)? & !NLA_FLAGS == kind {
            return Some(value);
        }
        attributes = attributes.get(len.next_multiple_of(4)..)?;
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_ne_bytes)
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
}
