//! What is remembered, and for how long.

use super::*;
use hickory_proto::op::{Query, ResponseCode};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{Name, RData, Record, RecordType};

fn ask(name: &str) -> Ask {
    let query = Query::query(Name::from_ascii(name).expect("a name"), RecordType::A);
    Ask { query, dnssec_ok: false, checking_disabled: false }
}

fn resolved(ttl_secs: u32) -> Resolved {
    let name = Name::from_ascii("example.com.").expect("a name");
    let record = Record::from_rdata(name, ttl_secs, RData::A(A::new(192, 0, 2, 1)));
    Resolved {
        code: ResponseCode::NoError,
        answers: vec![record],
        authorities: Vec::new(),
        is_authentic: false,
        ttl_secs,
    }
}

#[test]
fn answers_age_and_end() {
    let (mut cache, start) = (Cache::default(), Instant::now());
    let after = |secs| start + Duration::from_secs(secs);
    cache.put(&ask("Example.com."), &resolved(10), 100, start);
    let aged = cache.get(&ask("eXAMPLE.COM."), after(4)).expect("remembered, in any case");
    assert_eq!((aged.ttl_secs, aged.answers[0].ttl), (6, 6));
    assert_eq!(cache.get(&ask("example.com."), after(10)), None);
    assert_eq!(cache.get(&ask("www.example.com."), start), None);
    let checking = Ask { checking_disabled: true, ..ask("example.com.") };
    assert_eq!(cache.get(&checking, start), None, "another question");
}

#[test]
fn what_allows_no_time_or_is_large_is_not_remembered() {
    let (mut cache, now) = (Cache::default(), Instant::now());
    let large = Resolved { answers: vec![resolved(9).answers[0].clone(); 65], ..resolved(9) };
    for (resolved, n_bytes) in
        [(resolved(0), 100), (large, 100), (resolved(9), ENTRY_MAX_BYTES + 1)]
    {
        cache.put(&ask("example.com."), &self::resolved(9), 100, now);
        cache.put(&ask("example.com."), &resolved, n_bytes, now);
        assert_eq!(cache.get(&ask("example.com."), now), None, "nor what was there before");
    }
    assert!(cache.by_end.is_empty());
}

#[test]
fn a_full_cache_forgets_what_would_end_first() {
    let (mut cache, now) = (Cache::default(), Instant::now());
    cache.put(&ask("short.example."), &resolved(5), 100, now);
    for number in 0..ENTRIES_MAX {
        cache.put(&ask(&format!("{number}.example.")), &resolved(50), 100, now);
        cache.put(&ask("again.example."), &resolved(60), 100, now);
    }
    assert_eq!(cache.get(&ask("short.example."), now), None);
    assert!(cache.get(&ask("again.example."), now).is_some());
    assert_eq!((cache.entries.len(), cache.by_end.len()), (ENTRIES_MAX, ENTRIES_MAX));
}
