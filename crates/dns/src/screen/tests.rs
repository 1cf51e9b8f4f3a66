//! What of an outside answer is passed on.

use super::*;
use hickory_proto::op::Query;
use hickory_proto::rr::rdata::svcb::{IpHint, SvcParamKey};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, HTTPS, SOA};

fn name(text: &str) -> Name {
    Name::from_ascii(text).expect("a name")
}

fn ask(text: &str, kind: RecordType) -> Ask {
    Ask { query: Query::query(name(text), kind), dnssec_ok: false, checking_disabled: false }
}

fn address(owner: &str, ttl: u32, text: &str) -> Record {
    let data = match text.parse().expect("an address") {
        IpAddr::V4(v4) => RData::A(A(v4)),
        IpAddr::V6(v6) => RData::AAAA(AAAA(v6)),
    };
    Record::from_rdata(name(owner), ttl, data)
}

fn alias(owner: &str, target: &str) -> Record {
    Record::from_rdata(name(owner), 300, RData::CNAME(CNAME(name(target))))
}

fn soa(owner: &str, ttl: u32, minimum: u32) -> Record {
    let data = SOA::new(name(owner), name(owner), 1, 1, 1, 1, minimum);
    Record::from_rdata(name(owner), ttl, RData::SOA(data))
}

fn message(code: ResponseCode, answers: Vec<Record>, authorities: Vec<Record>) -> Message {
    let mut message = Message::query().into_response();
    message.metadata.response_code = code;
    message.answers = answers;
    message.authorities = authorities;
    message
}

fn screened(ask: &Ask, answers: Vec<Record>, authorities: Vec<Record>) -> Resolved {
    let message = message(ResponseCode::NoError, answers, authorities);
    screen(ask, message, PrivateAnswers::Dropped).expect("an answer")
}

#[test]
fn only_the_chain_from_the_asked_name_is_passed_on() {
    let ask = ask("www.example.com.", RecordType::A);
    let chain = vec![
        alias("WWW.example.com.", "cdn.example.net."),
        alias("cdn.example.net.", "edge.example.org."),
        address("edge.example.org.", 30, "192.0.2.7"),
    ];
    let strays = vec![
        address("bank.example.", 30, "192.0.2.66"),
        address("example.com.", 30, "192.0.2.67"),
        alias("bank.example.", "evil.example."),
        address("edge.example.org.", 30, "2001:db8::1"),
    ];
    let all: Vec<Record> = strays.into_iter().chain(chain.clone()).collect();
    let resolved = screened(&ask, all, vec![soa("example.org.", 9, 9)]);
    assert_eq!(resolved.answers, chain);
    assert_eq!(resolved.authorities, []);
    assert_eq!(resolved.ttl_secs, 30);
    assert_eq!(resolved.addresses(), ["192.0.2.7".parse::<IpAddr>().expect("an address")]);
}

#[test]
fn circles_of_aliases_end() {
    let ask = ask("a.example.", RecordType::A);
    let circle = vec![alias("a.example.", "b.example."), alias("b.example.", "a.example.")];
    assert_eq!(screened(&ask, circle, Vec::new()).ttl_secs, 0);
    let long: Vec<Record> =
        (0..100).map(|n| alias(&format!("{n}.example."), &format!("{}.example.", n + 1))).collect();
    let start = self::ask("0.example.", RecordType::A);
    assert_eq!(screened(&start, long, Vec::new()).answers.len(), ALIASES_MAX + 1);
}

#[test]
fn times_are_bounded() {
    let ask = ask("a.example.", RecordType::A);
    let long = screened(&ask, vec![address("a.example.", 999_999, "192.0.2.1")], Vec::new());
    assert_eq!((long.ttl_secs, long.answers[0].ttl), (TTL_MAX_SECS, TTL_MAX_SECS));
    let none = screened(&ask, Vec::new(), vec![soa("example.", 7_200, 7_200)]);
    assert_eq!((none.ttl_secs, none.authorities[0].ttl), (NEGATIVE_TTL_MAX_SECS, 60));
    assert_eq!(screened(&ask, Vec::new(), vec![soa("example.", 7_200, 20)]).ttl_secs, 20);
    assert_eq!(screened(&ask, Vec::new(), Vec::new()).ttl_secs, 0, "no SOA, no memory");
    let foreign = screened(&ask, Vec::new(), vec![soa("other.", 50, 50)]);
    assert_eq!((foreign.ttl_secs, foreign.authorities.len()), (0, 0));
    let mut capped = long;
    capped.cap_ttl(7);
    assert_eq!((capped.ttl_secs, capped.answers[0].ttl), (7, 7));
}

#[test]
fn failures_are_no_answers() {
    let ask = ask("a.example.", RecordType::A);
    for code in [ResponseCode::ServFail, ResponseCode::Refused, ResponseCode::NotImp] {
        let message = message(code, Vec::new(), Vec::new());
        assert_eq!(screen(&ask, message, PrivateAnswers::Allowed), None);
    }
    let unknown = message(ResponseCode::NXDomain, Vec::new(), vec![soa("example.", 9, 9)]);
    let resolved = screen(&ask, unknown, PrivateAnswers::Dropped).expect("an answer");
    assert_eq!((resolved.code, resolved.ttl_secs), (ResponseCode::NXDomain, 9));
}

#[test]
fn private_addresses_do_not_come_from_outside() {
    let hidden = [
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "100.127.255.255",
        "127.0.0.53",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fdaa::3",
        "fc00::1",
        "fe80::1",
        "fec0::1",
        "ff02::1",
        "::ffff:10.0.0.1",
        "::127.0.0.1",
        "64:ff9b::10.0.0.1",
        "64:ff9b:1::8.8.8.8",
        "2002:a00:1::",
    ];
    let shown = [
        "8.8.8.8",
        "100.63.255.255",
        "100.128.0.1",
        "172.32.0.1",
        "192.0.2.1",
        "223.255.255.255",
        "2001:db8::1",
        "2a00::1",
        "64:ff9b::8.8.8.8",
        "2002:808:808::",
    ];
    for (texts, n_left) in [(&hidden[..], 0), (&shown[..], 1)] {
        for text in texts {
            let record = address("a.example.", 30, text);
            let ask = ask("a.example.", record.record_type());
            let left = screened(&ask, vec![record.clone()], Vec::new());
            assert_eq!(left.answers.len(), n_left, "{text}");
            assert_eq!(left.code, ResponseCode::NoError);
            let message = message(ResponseCode::NoError, vec![record], Vec::new());
            let allowed = screen(&ask, message, PrivateAnswers::Allowed).expect("an answer");
            assert_eq!(allowed.answers.len(), 1, "{text}, when it is allowed");
        }
    }
}

#[test]
fn hints_are_addresses_too() {
    let hint = |text: &str| {
        let hint = IpHint(vec![A(text.parse().expect("an address"))]);
        let params = vec![(SvcParamKey::Ipv4Hint, SvcParamValue::Ipv4Hint(hint))];
        let data = RData::HTTPS(HTTPS(SVCB::new(1, Name::root(), params)));
        Record::from_rdata(name("a.example."), 30, data)
    };
    let ask = ask("a.example.", RecordType::HTTPS);
    let resolved = screened(&ask, vec![hint("192.0.2.1"), hint("10.0.0.1")], Vec::new());
    assert_eq!(resolved.answers, [hint("192.0.2.1")]);
    assert_eq!(resolved.addresses(), ["192.0.2.1".parse::<IpAddr>().expect("an address")]);
}
