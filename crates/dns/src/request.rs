//! Reading what a stranger sent: a question to answer, a reason to turn it down, or noise.

use hickory_proto::op::{
    Edns, Header, Message, MessageType, Metadata, OpCode, Query, ResponseCode,
};
use hickory_proto::rr::{DNSClass, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};

#[cfg(test)]
mod tests;

/// Longest query that is read, in bytes: one name of 255 bytes and options, many times over.
pub(crate) const QUERY_MAX_BYTES: usize = 4_096;

/// The version of EDNS that exists.
const EDNS_VERSION: u8 = 0;

/// Types from here up to 255 are no types of records; what they ask for is not done here.
const META_TYPES_FROM: u16 = 128;

/// A question of class `IN` for one type of record, or for `ANY`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) metadata: Metadata,
    pub(crate) query: Query,
    pub(crate) edns: Option<Edns>,
}

/// What became of the bytes.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// To be answered.
    Request(Box<Request>),
    /// Not a question for us: this is to be said.
    Turned(Box<Message>),
    /// Not even that: an answer, or less than a header. Saying something could go on for ever.
    Noise,
}

/// Reads one message.
pub(crate) fn read(bytes: &[u8]) -> Incoming {
    let Some(header) = read_header(bytes) else { return Incoming::Noise };
    let turned = |code| Incoming::Turned(Box::new(bare(&header.metadata, code)));
    if header.metadata.op_code != OpCode::Query {
        return turned(ResponseCode::NotImp);
    }
    // Counted before the rest is read: the reader makes room for as many as the header says.
    if header.counts.queries != 1 || bytes.len() > QUERY_MAX_BYTES {
        return turned(ResponseCode::FormErr);
    }
    let Ok(mut message) = Message::from_vec(bytes) else {
        return turned(ResponseCode::FormErr);
    };
    let Some(query) = message.queries.pop() else { return turned(ResponseCode::FormErr) };
    let request = Request { metadata: header.metadata, query, edns: message.edns };
    match refusal(&request) {
        None => Incoming::Request(Box::new(request)),
        Some(code) => Incoming::Turned(Box::new(request.reply(code))),
    }
}

/// Says `code` to whatever `bytes` ask, without reading more than their header.
pub(crate) fn turn_down(bytes: &[u8], code: ResponseCode) -> Option<Message> {
    read_header(bytes).map(|header| bare(&header.metadata, code))
}

/// Header of a query; `None` for an answer, or less than a header.
fn read_header(bytes: &[u8]) -> Option<Header> {
    let header = Header::read(&mut BinDecoder::new(bytes)).ok()?;
    (header.metadata.message_type == MessageType::Query).then_some(header)
}

/// A reply of a header alone.
fn bare(query: &Metadata, code: ResponseCode) -> Message {
    let mut message = Message::error_msg(query.id, query.op_code, code);
    message.metadata.recursion_desired = query.recursion_desired;
    message
}

fn refusal(request: &Request) -> Option<ResponseCode> {
    if request.edns.as_ref().is_some_and(|edns| edns.version() != EDNS_VERSION) {
        return Some(ResponseCode::BADVERS);
    }
    if request.query.query_class != DNSClass::IN {
        return Some(ResponseCode::Refused);
    }
    match request.query.query_type {
        RecordType::ANY => None,
        RecordType::AXFR | RecordType::IXFR => Some(ResponseCode::Refused),
        RecordType::OPT | RecordType::ZERO => Some(ResponseCode::FormErr),
        other => (META_TYPES_FROM..=u16::from(u8::MAX))
            .contains(&u16::from(other))
            .then_some(ResponseCode::NotImp),
    }
}
