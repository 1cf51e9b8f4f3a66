//! Replies as bytes.

use super::*;
use hickory_proto::op::Query;
use hickory_proto::rr::rdata::AAAA;
use hickory_proto::rr::rdata::opt::EdnsCode;
use hickory_proto::rr::{Name, RData, Record, RecordType};

fn request(payload: Option<u16>) -> Request {
    let name = Name::from_ascii("Many.internal.").expect("a name");
    let edns = payload.map(|bytes| {
        let mut edns = Edns::new();
        edns.set_max_payload(bytes);
        edns
    });
    let metadata = Message::query().metadata;
    Request { metadata, query: Query::query(name, RecordType::AAAA), edns }
}

fn reply(request: &Request, n_answers: u16) -> Message {
    let mut message = request.reply(ResponseCode::NoError);
    for number in 0..n_answers {
        let data = RData::AAAA(AAAA::new(0xfdaa, 0, 0, 0, 0, 0, number, 2));
        message.add_answer(Record::from_rdata(request.query.name.clone(), 5, data));
    }
    message
}

#[track_caller]
fn check(payload: Option<u16>, way: Way, n_answers: u16, n_sent: usize) {
    let request = request(payload);
    let room = request.room(way);
    let bytes = write(&reply(&request, n_answers), room).expect("written");
    assert!(bytes.len() <= usize::from(room));
    let read = Message::from_vec(&bytes).expect("readable");
    assert_eq!(read.answers.len(), n_sent);
    assert_eq!(read.metadata.truncation, n_sent < usize::from(n_answers));
    assert_eq!(read.edns.is_some(), payload.is_some(), "EDNS for who has sent it");
    assert_eq!(read.queries, [request.query]);
}

#[test]
fn as_much_as_fits_is_sent_and_the_cut_is_told() {
    check(None, Way::Udp, 10, 10);
    check(None, Way::Udp, 17, 17);
    check(None, Way::Udp, 18, 17);
    check(None, Way::Udp, 2_000, 17);
    check(Some(0), Way::Udp, 2_000, 16);
    check(Some(1_232), Way::Udp, 40, 40);
    check(Some(1_232), Way::Udp, 2_000, 42);
    check(Some(65_535), Way::Udp, 2_000, 42);
    check(None, Way::Tcp, 1_000, 1_000);
    check(Some(512), Way::Tcp, 1_000, 1_000);
}

#[test]
fn a_refusal_says_why_to_who_can_read_it() {
    let code = EdnsOption::Unknown(EXTENDED_ERROR, [&[0, 15][..], b"not for you"].concat());
    let told = request(Some(1_232)).blocked("not for you");
    assert_eq!(told.metadata.response_code, ResponseCode::Refused);
    let edns = told.edns.expect("as it was asked");
    assert_eq!(edns.options().get(EdnsCode::Unknown(EXTENDED_ERROR)), Some(&code));
    let plain = request(None).blocked("not for you");
    assert_eq!((plain.metadata.response_code, plain.edns), (ResponseCode::Refused, None));
}
