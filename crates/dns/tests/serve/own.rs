//! Names of the machines themselves.

use crate::client::{addresses, ask, ip, look_up, question, question_with_room, read, tcp, write};
use crate::{machine, source, start};
use dns::Machine;
use hickory_proto::op::{Edns, ResponseCode};
use hickory_proto::rr::{RData, RecordType};
use std::collections::HashSet;

#[tokio::test]
async fn names_of_machines_are_answered_by_udp_and_tcp() {
    let running = start(&[]);
    let all: Vec<_> = (1..=3).map(|number| ip(&machine(number).v6.to_string())).collect();
    let question = question_with_room("WEB.internal.", RecordType::AAAA, 4_096);
    let by_udp = ask(1, running.address, &question).await;
    let mut stream = tcp(1, running.address).await;
    write(&mut stream, &question).await;
    let by_tcp = read(&mut stream).await.expect("an answer");
    for answer in [by_udp, by_tcp] {
        let mut found = addresses(&answer);
        found.sort_unstable();
        assert_eq!(found, all);
        assert!(answer.metadata.authoritative && answer.metadata.recursion_available);
        assert!(answer.metadata.recursion_desired && !answer.metadata.truncation);
        assert_eq!(answer.edns.as_ref().map(Edns::max_payload), Some(1_232));
        assert_eq!(answer.answers[0].ttl, 5);
    }
    running.stop().await;
}

#[tokio::test]
async fn negative_answers_carry_the_soa() {
    let running = start(&[]);
    for (name, code) in [
        ("nobody.internal.", ResponseCode::NXDomain),
        ("web.flycast.", ResponseCode::NXDomain),
        ("web.internal.", ResponseCode::NoError),
    ] {
        let answer = ask(1, running.address, &question(name, RecordType::A)).await;
        assert_eq!(answer.metadata.response_code, code, "{name}");
        assert_eq!(answer.answers, [], "{name}");
        let RData::SOA(soa) = &answer.authorities[0].data else { panic!("an SOA") };
        assert_eq!((soa.minimum, answer.authorities[0].ttl), (5, 5));
    }
    running.stop().await;
}

#[tokio::test]
async fn changes_of_the_zone_are_seen_by_the_next_question() {
    let running = start(&[]);
    let question = question("web.internal.", RecordType::AAAA);
    running.zone.update(|zone| {
        zone.upsert_machine(Machine { is_up: false, ..machine(2) });
        zone.remove_machine(&machine(3).id);
    });
    let answer = ask(1, running.address, &question).await;
    assert_eq!(addresses(&answer), [ip(&machine(1).v6.to_string())]);
    running.stop().await;
}

#[tokio::test]
async fn who_is_no_machine_is_refused() {
    let running = start(&[]);
    for name in ["web.internal.", "example.com."] {
        assert_eq!(look_up(99, running.address, name).await.0, ResponseCode::Refused);
    }
    assert_eq!(running.server.counts().turned_down, 2);
    running.zone.update(|zone| zone.upsert_machine(Machine { v4: source(99), ..machine(4) }));
    assert_eq!(look_up(99, running.address, "web.internal.").await.0, ResponseCode::NoError);
    running.stop().await;
}

#[tokio::test]
async fn an_answer_that_does_not_fit_is_cut_and_whole_over_tcp() {
    let running = start(&[]);
    running.zone.update(|zone| {
        for number in 0..500_u16 {
            let mut many = machine(9);
            many.id = format!("{:014x}", 0x1_0000 + u32::from(number)).parse().expect("an id");
            many.v6 = format!("fdaa:0:1:a7b:1::{number:x}:2").parse().expect("an address");
            many.app = "many".to_owned();
            zone.upsert_machine(many);
        }
    });
    let question = question_with_room("many.internal.", RecordType::AAAA, 4_096);
    let part = ask(1, running.address, &question).await;
    assert!(part.metadata.truncation);
    assert_eq!(part.answers.len(), 42);
    let mut stream = tcp(1, running.address).await;
    write(&mut stream, &question).await;
    let whole = read(&mut stream).await.expect("an answer");
    assert!(!whole.metadata.truncation);
    assert_eq!(whole.answers.len(), 500);
    running.stop().await;
}

#[tokio::test]
async fn each_machine_comes_first_at_times_but_the_nearest_always() {
    let running = start(&[]);
    let mut first = HashSet::new();
    let ranked = question("top3.nearest.of.web.internal.", RecordType::AAAA);
    let nearest = addresses(&ask(1, running.address, &ranked).await);
    for id in 0..3 {
        let mut question = question("web.internal.", RecordType::AAAA);
        question.metadata.id = id;
        first.insert(addresses(&ask(1, running.address, &question).await)[0]);
        let mut ranked = ranked.clone();
        ranked.metadata.id = id;
        assert_eq!(addresses(&ask(1, running.address, &ranked).await), nearest);
    }
    assert_eq!(first.len(), 3);
    running.stop().await;
}

#[tokio::test]
async fn one_connection_carries_many_questions_in_order() {
    let running = start(&[]);
    let mut stream = tcp(1, running.address).await;
    let questions: Vec<_> =
        (0..50).map(|_| question("vms.web.internal.", RecordType::TXT)).collect();
    for question in &questions {
        write(&mut stream, question).await;
    }
    for question in &questions {
        let answer = read(&mut stream).await.expect("an answer");
        assert_eq!(answer.metadata.id, question.metadata.id);
        assert_eq!(answer.answers.len(), 1);
    }
    running.stop().await;
}
