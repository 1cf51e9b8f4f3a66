//! Writing an answer: header, EDNS, and what fits.

use crate::request::Request;
use hickory_proto::op::{Edns, Message, Metadata, ResponseCode};
use hickory_proto::rr::rdata::opt::EdnsOption;

#[cfg(test)]
mod tests;

/// Longest message over UDP in bytes, both ways: it passes any path unfragmented.
///
/// Source: DNS Flag Day 2020.
pub(crate) const UDP_MAX_BYTES: u16 = 1_232;

/// Longest message over UDP for who does not say more, in bytes (RFC 1035, 4.2.1).
const PLAIN_UDP_MAX_BYTES: u16 = 512;

/// Longest message over TCP, in bytes: its length is told in 16 bits.
pub(crate) const TCP_MAX_BYTES: u16 = u16::MAX;

/// Code of the option that says why there is no answer, in words (RFC 8914, 2).
const EXTENDED_ERROR: u16 = 15;

/// What such an option says first: the policy of whoever runs the server is against it (RFC 8914,
/// 4.16).
const BLOCKED: u16 = 15;

/// The way by which a question came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// In a datagram.
    Udp,
    /// In a stream.
    Tcp,
}

impl Request {
    /// The frame of a reply: everything but records.
    pub(crate) fn reply(&self, code: ResponseCode) -> Message {
        let mut message = Message::response(self.metadata.id, self.metadata.op_code);
        message.metadata = Metadata::response_from_request(&self.metadata);
        message.metadata.recursion_available = true;
        message.metadata.response_code = code;
        message.add_query(self.query.clone());
        message.edns = self.edns.as_ref().map(|theirs| {
            let mut ours = Edns::new();
            ours.set_max_payload(UDP_MAX_BYTES).set_dnssec_ok(theirs.flags().dnssec_ok);
            ours
        });
        message
    }

    /// A refusal that is meant for good, with its reason for who can read one.
    pub(crate) fn blocked(&self, reason: &str) -> Message {
        let mut message = self.reply(ResponseCode::Refused);
        if let Some(edns) = &mut message.edns {
            let said = [&BLOCKED.to_be_bytes()[..], reason.as_bytes()].concat();
            edns.options_mut().insert(EdnsOption::Unknown(EXTENDED_ERROR, said));
        }
        message
    }

    /// Bytes that a reply may have by the way the question came.
    pub(crate) fn room(&self, way: Way) -> u16 {
        match (way, &self.edns) {
            (Way::Tcp, _) => TCP_MAX_BYTES,
            (Way::Udp, None) => PLAIN_UDP_MAX_BYTES,
            (Way::Udp, Some(edns)) => edns.max_payload().clamp(PLAIN_UDP_MAX_BYTES, UDP_MAX_BYTES),
        }
    }
}

/// Writes `message` into at most `room` bytes.
///
/// What does not fit is cut off, and the message says so. As many answers as fit stay in it: some
/// C libraries take what is there and never ask again over TCP. `None`: it cannot be written.
pub(crate) fn write(message: &Message, room: u16) -> Option<Vec<u8>> {
    let fits = |bytes: &Vec<u8>| bytes.len() <= usize::from(room);
    let whole = message.to_vec().inspect_err(|error| {
        tracing::debug!(%error, "an answer cannot be written");
    });
    if let Some(bytes) = whole.ok().filter(fits) {
        return Some(bytes);
    }
    let cut = |n_answers: usize| {
        let mut part = message.truncate();
        part.answers = message.answers.iter().take(n_answers).cloned().collect();
        part.to_vec().ok().filter(fits)
    };
    // Bisection: `best` is always the longest part known to fit.
    let mut best = cut(0)?;
    let (mut fitting, mut too_many) = (0, message.answers.len() + 1);
    while too_many - fitting > 1 {
        let middle = fitting.midpoint(too_many);
        match cut(middle) {
            Some(bytes) => (best, fitting) = (bytes, middle),
            None => too_many = middle,
        }
    }
    Some(best)
}
