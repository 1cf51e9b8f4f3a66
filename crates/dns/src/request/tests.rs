//! Requests as bytes, any bytes.

use super::*;
use hickory_proto::rr::Name;
use proptest::prelude::*;

fn question(name: &str, kind: RecordType) -> Message {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).expect("a name"), kind));
    message
}

/// The code with which `bytes` are turned down; `None` for a request, a panic for noise.
fn code_of(bytes: &[u8]) -> Option<ResponseCode> {
    match read(bytes) {
        Incoming::Request(_) => None,
        Incoming::Turned(message) => {
            assert_eq!(message.metadata.message_type, MessageType::Response);
            assert_eq!(message.metadata.id.to_be_bytes(), bytes[..2]);
            message.to_vec().expect("what is said can be written");
            Some(message.metadata.response_code)
        }
        Incoming::Noise => panic!("noise"),
    }
}

#[track_caller]
fn check(message: &Message, expected: Option<ResponseCode>) {
    assert_eq!(code_of(&message.to_vec().expect("writable")), expected);
}

#[test]
fn questions_are_read_and_others_get_their_codes() {
    check(&question("example.com.", RecordType::AAAA), None);
    check(&question("example.com.", RecordType::ANY), None);
    check(&question("example.com.", RecordType::Unknown(65_300)), None);
    check(&question("example.com.", RecordType::AXFR), Some(ResponseCode::Refused));
    check(&question("example.com.", RecordType::IXFR), Some(ResponseCode::Refused));
    check(&question("example.com.", RecordType::OPT), Some(ResponseCode::FormErr));
    check(&question("example.com.", RecordType::from(249)), Some(ResponseCode::NotImp));
    check(&question("example.com.", RecordType::from(254)), Some(ResponseCode::NotImp));
    for class in [DNSClass::CH, DNSClass::HS, DNSClass::NONE, DNSClass::ANY] {
        let mut message = question("version.bind.", RecordType::TXT);
        message.queries[0].query_class = class;
        check(&message, Some(ResponseCode::Refused));
    }
    for op_code in [OpCode::Update, OpCode::Notify, OpCode::Status] {
        let mut message = question("example.com.", RecordType::SOA);
        message.metadata.op_code = op_code;
        check(&message, Some(ResponseCode::NotImp));
    }
}

#[test]
fn one_question_each() {
    let mut message = question("example.com.", RecordType::A);
    message.queries.clear();
    check(&message, Some(ResponseCode::FormErr));
    let mut message = question("example.com.", RecordType::A);
    message.queries = vec![message.queries[0].clone(); 2];
    check(&message, Some(ResponseCode::FormErr));
    let mut header = question("example.com.", RecordType::A).to_vec().expect("writable");
    header.truncate(12);
    for n_questions in [[0xff, 0xff], [0, 1]] {
        header[4..6].copy_from_slice(&n_questions);
        assert_eq!(code_of(&header), Some(ResponseCode::FormErr));
    }
}

#[test]
fn an_unknown_version_of_edns_is_told_so() {
    let mut message = question("example.com.", RecordType::A);
    let mut edns = Edns::new();
    edns.set_version(1);
    message.set_edns(edns);
    let Incoming::Turned(reply) = read(&message.to_vec().expect("writable")) else {
        panic!("turned down")
    };
    let reply = Message::from_vec(&reply.to_vec().expect("writable")).expect("readable");
    assert_eq!(u16::from(reply.metadata.response_code), u16::from(ResponseCode::BADVERS));
    assert_eq!(reply.edns.map(|edns| edns.version()), Some(0));
}

#[test]
fn answers_and_scraps_are_noise() {
    let answer = question("example.com.", RecordType::A).into_response();
    for bytes in [&answer.to_vec().expect("writable")[..], &[], &[0; 11]] {
        assert!(matches!(read(bytes), Incoming::Noise));
        assert_eq!(turn_down(bytes, ResponseCode::Refused), None);
    }
}

#[test]
fn names_that_never_end_are_malformed() {
    let header = [0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    let to_itself = [0xc0, 12, 0, 28, 0, 1];
    let to_and_fro = [0xc0, 14, 0xc0, 12, 0, 28, 0, 1];
    let forward = [0xc0, 16, 0, 28, 0, 1, 0];
    let reserved_label = [0x80, 1, 0, 0, 28, 0, 1];
    let mut too_long: Vec<u8> = [&[63][..], &[b'a'; 63]].concat().repeat(5);
    too_long.extend([0, 0, 28, 0, 1]);
    let names = [&to_itself[..], &to_and_fro, &forward, &reserved_label, &too_long];
    for name in names {
        let bytes = [&header[..], name].concat();
        assert_eq!(code_of(&bytes), Some(ResponseCode::FormErr), "{name:?}");
    }
    let huge = [&header[..], &[0; QUERY_MAX_BYTES]].concat();
    assert_eq!(code_of(&huge), Some(ResponseCode::FormErr));
}

/// Queries with some bytes changed, cut or added: nearer to what is read than random bytes are.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let damage = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8);
    (damage, any::<prop::sample::Index>(), prop::collection::vec(any::<u8>(), 0..64)).prop_map(
        |(damage, end, tail)| {
            let mut message = question("a.kv._metadata.web.internal.", RecordType::TXT);
            message.set_edns(Edns::new());
            let mut bytes = message.to_vec().expect("writable");
            for (at, byte) in damage {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            bytes.truncate(end.index(bytes.len() * 2));
            bytes.extend(tail);
            bytes
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_096))]

    #[test]
    fn whatever_comes_is_read_without_a_panic_and_answered_in_writing(
        bytes in prop_oneof![prop::collection::vec(any::<u8>(), 0..600), damaged()]
    ) {
        match read(&bytes) {
            Incoming::Noise => {}
            Incoming::Turned(message) => {
                let reply = message.to_vec().expect("writable");
                prop_assert!(reply.len() <= bytes.len() + 16, "no amplification");
            }
            Incoming::Request(request) => {
                let reply = request.reply(ResponseCode::NoError).to_vec().expect("writable");
                prop_assert_eq!(&reply[..2], &bytes[..2]);
            }
        }
    }
}
