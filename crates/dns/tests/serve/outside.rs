//! Names of others.

use crate::client::{
    addresses, ask, ip, look_up, question, question_with_room, read, receive, tcp, udp, write,
};
use crate::start;
use crate::upstream::{Upstream, Way, answer, bare, unknown};
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, RecordType};
use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

#[tokio::test]
async fn answers_of_others_are_passed_on_and_remembered() {
    let upstream = Upstream::with_address("192.0.2.1");
    let running = start(&[upstream.address]);
    let first = ask(1, running.address, &question("Example.com.", RecordType::A)).await;
    assert!(!first.metadata.authoritative && first.metadata.recursion_available);
    assert!(first.answers[0].name.eq_case(&Name::from_ascii("Example.com.").expect("a name")));
    let again = ask(2, running.address, &question("eXample.com.", RecordType::A)).await;
    assert!(again.answers[0].name.eq_case(&Name::from_ascii("eXample.com.").expect("a name")));
    for answer in [&first, &again] {
        assert_eq!(addresses(answer), [ip("192.0.2.1")]);
    }
    assert!(again.answers[0].ttl <= 300);
    assert_eq!(upstream.n_asked(), 1);
    let counts = running.server.counts();
    assert_eq!((counts.forwarded, counts.from_cache, counts.failed), (1, 1, 0));
    running.stop().await;
}

#[tokio::test]
async fn our_own_zones_are_never_asked_of_others() {
    let upstream = Upstream::with_address("192.0.2.1");
    let running = start(&[upstream.address]);
    for name in ["nobody.internal.", "x.flycast.", "2.0.0.0.a.a.d.f.ip6.arpa."] {
        assert_eq!(look_up(1, running.address, name).await.0, ResponseCode::NXDomain, "{name}");
    }
    assert_eq!(upstream.n_asked(), 0);
    running.stop().await;
}

#[tokio::test]
async fn names_that_do_not_exist_are_remembered_briefly() {
    let upstream = Upstream::start(|question, _| vec![unknown(question)]);
    let running = start(&[upstream.address]);
    for _ in 0..3 {
        let answer = ask(1, running.address, &question("no.example.", RecordType::A)).await;
        assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain);
        assert!(answer.authorities[0].ttl <= 60);
    }
    assert_eq!(upstream.n_asked(), 1);
    running.stop().await;
}

#[tokio::test]
async fn each_question_has_an_id_and_a_case_of_its_own() {
    let upstream = Upstream::start(|question, _| vec![answer(question, &["192.0.2.1"], 0)]);
    let running = start(&[upstream.address]);
    for _ in 0..20 {
        look_up(1, running.address, "a-rather-long-name.example.com.").await;
    }
    let asked = upstream.asked();
    let ids: HashSet<u16> = asked.iter().map(|(_, question)| question.metadata.id).collect();
    let cases: HashSet<String> =
        asked.iter().map(|(_, question)| question.queries[0].name.to_string()).collect();
    assert_eq!(asked.len(), 20, "a time of zero is not remembered");
    assert!(ids.len() >= 19 && cases.len() >= 19, "{} ids, {} cases", ids.len(), cases.len());
    running.stop().await;
}

#[tokio::test]
async fn equal_questions_at_once_are_asked_once() {
    let upstream = Upstream::start_closed(|question, _| vec![answer(question, &["192.0.2.1"], 0)]);
    let running = start(&[upstream.address]);
    let question = question("held.example.", RecordType::A);
    let mut sockets = Vec::new();
    for number in [1, 2, 3].repeat(5) {
        let socket = udp(number, running.address).await;
        socket.send(&question.to_vec().expect("writable")).await.expect("sent");
        sockets.push(socket);
    }
    let mut stream = tcp(1, running.address).await;
    write(&mut stream, &question).await;
    while running.server.counts().received < 16 || upstream.n_asked() == 0 {
        tokio::task::yield_now().await;
    }
    upstream.open();
    for socket in &sockets {
        assert_eq!(addresses(&receive(socket).await), [ip("192.0.2.1")]);
    }
    assert_eq!(addresses(&read(&mut stream).await.expect("an answer")), [ip("192.0.2.1")]);
    assert_eq!(upstream.n_asked(), 1);
    running.stop().await;
}

#[tokio::test]
async fn forged_answers_are_not_believed() {
    let upstream = Upstream::start(|question, way| {
        assert_eq!(way, Way::Udp);
        let mut other_id = answer(question, &["192.0.2.66"], 300);
        other_id.metadata.id ^= 1;
        let mut other_name = answer(question, &["192.0.2.67"], 300);
        other_name.queries[0].name = Name::from_ascii("other.example.").expect("a name");
        let mut other_type = answer(question, &["192.0.2.68"], 300);
        other_type.queries[0].query_type = RecordType::AAAA;
        let mut no_answer = answer(question, &["192.0.2.69"], 300);
        no_answer.metadata.message_type = hickory_proto::op::MessageType::Query;
        let good = answer(question, &["192.0.2.1"], 300);
        vec![other_id, other_name, other_type, no_answer, good]
    });
    let running = start(&[upstream.address]);
    let found = look_up(1, running.address, "bank.example.").await;
    assert_eq!(found, (ResponseCode::NoError, vec![ip("192.0.2.1")]));
    running.stop().await;
}

#[tokio::test]
async fn an_answer_in_another_case_or_cut_off_is_asked_for_over_tcp() {
    for is_cut in [false, true] {
        let upstream = Upstream::start(move |question, way| {
            let mut reply = answer(question, &["192.0.2.66"], 300);
            match (way, is_cut) {
                (Way::Tcp, _) => reply = answer(question, &["192.0.2.1"], 300),
                (Way::Udp, true) => reply.metadata.truncation = true,
                (Way::Udp, false) => {
                    let plain = Name::from_ascii("a-rather-long-name-in-plain-letters.example.");
                    reply.queries[0].name = plain.expect("a name");
                }
            }
            vec![reply]
        });
        let running = start(&[upstream.address]);
        let name = "a-rather-long-name-in-plain-letters.example.";
        let found = look_up(1, running.address, name).await;
        assert_eq!(found, (ResponseCode::NoError, vec![ip("192.0.2.1")]));
        let ways: Vec<Way> = upstream.asked().into_iter().map(|(way, _)| way).collect();
        assert_eq!(ways, [Way::Udp, Way::Tcp]);
        running.stop().await;
    }
}

#[tokio::test]
async fn a_flood_of_strays_ends_over_tcp() {
    let upstream = Upstream::start(|question, way| match way {
        Way::Tcp => vec![answer(question, &["192.0.2.1"], 300)],
        Way::Udp => (1..=40)
            .map(|guess| {
                let mut forged = answer(question, &["192.0.2.66"], 300);
                forged.metadata.id ^= guess;
                forged
            })
            .collect(),
    });
    let running = start(&[upstream.address]);
    assert_eq!(look_up(1, running.address, "bank.example.").await.1, [ip("192.0.2.1")]);
    running.stop().await;
}

#[tokio::test]
async fn the_next_server_is_asked_and_then_preferred() {
    let silent = Upstream::silent();
    let good = Upstream::with_address("192.0.2.1");
    let running = start(&[silent.address, good.address]);
    assert_eq!(look_up(1, running.address, "a.example.").await.1, [ip("192.0.2.1")]);
    assert_eq!(look_up(1, running.address, "b.example.").await.1, [ip("192.0.2.1")]);
    assert_eq!((silent.n_asked(), good.n_asked()), (1, 2), "the silent one is not asked again");
    running.stop().await;
}

#[tokio::test]
async fn a_server_that_cannot_tell_or_is_down_is_passed_over_at_once() {
    let failing = Upstream::start(|question, _| vec![bare(question, ResponseCode::ServFail)]);
    let good = Upstream::with_address("192.0.2.1");
    let down: SocketAddr = "127.0.0.1:1".parse().expect("an address");
    for bad in [&[failing.address][..], &[down], &[down, failing.address]] {
        let running = start(&[bad, &[good.address]].concat());
        let started = Instant::now();
        assert_eq!(look_up(1, running.address, "a.example.").await.1, [ip("192.0.2.1")]);
        assert!(started.elapsed() < dns::ATTEMPT_TIMEOUT);
        running.stop().await;
    }
}

#[tokio::test]
async fn a_third_server_is_found_by_the_next_question() {
    let (first, second) = (Upstream::silent(), Upstream::silent());
    let good = Upstream::with_address("192.0.2.1");
    let running = start(&[first.address, second.address, good.address]);
    assert_eq!(look_up(1, running.address, "a.example.").await.0, ResponseCode::ServFail);
    assert_eq!(look_up(1, running.address, "a.example.").await.0, ResponseCode::NoError);
    assert_eq!((first.n_asked(), second.n_asked()), (1, 1));
    running.stop().await;
}

#[tokio::test]
async fn when_nobody_answers_the_asker_is_told_in_time() {
    const C_LIBRARY_ASKS_AGAIN: Duration = Duration::from_secs(5);
    assert!(dns::ATTEMPT_TIMEOUT * dns::ATTEMPTS < C_LIBRARY_ASKS_AGAIN);
    let silent = Upstream::silent();
    let running = start(&[silent.address]);
    let found = look_up(1, running.address, "a.example.").await;
    assert_eq!(found, (ResponseCode::ServFail, Vec::new()));
    assert_eq!(silent.n_asked(), 2);
    running.stop().await;
    let running = start(&[]);
    assert_eq!(look_up(1, running.address, "a.example.").await.0, ResponseCode::ServFail);
    running.server.forward().set_servers(vec![Upstream::silent().address]);
    running.stop().await;
}

#[tokio::test]
async fn failures_are_not_remembered() {
    let n_asked = AtomicU32::new(0);
    let upstream = Upstream::start(move |question, _| {
        let is_first = n_asked.fetch_add(1, Ordering::SeqCst) < 2;
        let failure = bare(question, ResponseCode::ServFail);
        vec![if is_first { failure } else { answer(question, &["192.0.2.1"], 300) }]
    });
    let running = start(&[upstream.address]);
    assert_eq!(look_up(1, running.address, "a.example.").await.0, ResponseCode::ServFail);
    assert_eq!(look_up(1, running.address, "a.example.").await.0, ResponseCode::NoError);
    running.stop().await;
}

#[tokio::test]
async fn private_addresses_from_outside_are_left_out() {
    let upstream = Upstream::start(|question, _| {
        vec![answer(question, &["127.0.0.1", "192.0.2.1", "169.254.169.254", "10.0.0.1"], 300)]
    });
    let running = start(&[upstream.address]);
    assert_eq!(look_up(1, running.address, "rebind.example.").await.1, [ip("192.0.2.1")]);
    running.stop().await;
}

#[tokio::test]
async fn large_answers_pass_both_ways() {
    let upstream = Upstream::start(|question, way| {
        let addresses: Vec<String> = (1..=200).map(|last| format!("192.0.2.{last}")).collect();
        let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
        let mut reply = answer(question, &addresses, 300);
        if way == Way::Udp {
            reply = reply.truncate();
        }
        vec![reply]
    });
    let running = start(&[upstream.address]);
    let question = question_with_room("many.example.", RecordType::A, 1_232);
    let part = ask(1, running.address, &question).await;
    assert!(part.metadata.truncation && part.answers.len() > 50);
    let mut stream = tcp(1, running.address).await;
    write(&mut stream, &question).await;
    assert_eq!(read(&mut stream).await.expect("an answer").answers.len(), 200);
    running.stop().await;
}

#[tokio::test]
async fn questions_under_way_are_answered_when_it_stops() {
    let upstream =
        Upstream::start_closed(|question, _| vec![answer(question, &["192.0.2.1"], 300)]);
    let running = start(&[upstream.address]);
    let socket = udp(1, running.address).await;
    let question = question("a.example.", RecordType::A).to_vec().expect("writable");
    socket.send(&question).await.expect("sent");
    while running.server.counts().forwarded == 0 {
        tokio::task::yield_now().await;
    }
    let stopping = tokio::spawn(running.stop());
    tokio::task::yield_now().await;
    upstream.open();
    stopping.await.expect("no panic");
    assert_eq!(addresses(&receive(&socket).await), [ip("192.0.2.1")]);
}
