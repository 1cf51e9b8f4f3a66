//! Askers that mean no good.

use crate::client::{look_up, question, read, receive, tcp, udp, write};
use crate::upstream::Upstream;
use crate::{Running, start};
use dns::{HostSockets, Limits, Options, Unpinned, Upstreams};
use hickory_proto::op::{Message, OpCode, ResponseCode};
use hickory_proto::rr::{DNSClass, RecordType};
use model::bucket::Pace;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn start_with(limits: Limits, upstream: &Upstream) -> Running<Upstreams<HostSockets>, Unpinned> {
    let forward = Upstreams::new(HostSockets, vec![upstream.address]);
    Running::start(forward, Unpinned, Options { limits, ..Options::default() })
}

#[tokio::test]
async fn what_is_no_plain_question_gets_its_code() {
    let running = start(&[]);
    let plain = || question("web.internal.", RecordType::AAAA);
    let mut update = plain();
    update.metadata.op_code = OpCode::Update;
    let mut chaos = question("version.bind.", RecordType::TXT);
    chaos.queries[0].query_class = DNSClass::CH;
    let mut two = plain();
    two.queries = vec![two.queries[0].clone(); 2];
    let mut not_recursive = question("example.com.", RecordType::A);
    not_recursive.metadata.recursion_desired = false;
    let cases = [
        (update, ResponseCode::NotImp),
        (chaos, ResponseCode::Refused),
        (two, ResponseCode::FormErr),
        (question("web.internal.", RecordType::AXFR), ResponseCode::Refused),
        (question("example.com.", RecordType::IXFR), ResponseCode::Refused),
        (question("example.com.", RecordType::ANY), ResponseCode::NoError),
        (not_recursive, ResponseCode::Refused),
    ];
    let socket = udp(1, running.address).await;
    let mut stream = tcp(1, running.address).await;
    for (question, code) in cases {
        socket.send(&question.to_vec().expect("writable")).await.expect("sent");
        assert_eq!(receive(&socket).await.metadata.response_code, code);
        write(&mut stream, &question).await;
        let reply = read(&mut stream).await.expect("an answer");
        assert_eq!(reply.metadata.response_code, code);
    }
    running.stop().await;
}

#[tokio::test]
async fn noise_is_not_answered_and_does_no_harm() {
    let questions = Pace { burst: 1_000_000, per_second: 1_000_000 };
    let upstream = Upstream::silent();
    let running = start_with(Limits { questions, ..Limits::default() }, &upstream);
    let socket = udp(1, running.address).await;
    let mut random = TestRunner::deterministic();
    let noise = prop::collection::vec(any::<u8>(), 0..1_500);
    for sent in 1..=2_000 {
        let bytes = noise.new_tree(&mut random).expect("bytes").current();
        socket.send(&bytes).await.expect("sent");
        while running.server.counts().received < sent {
            tokio::task::yield_now().await;
        }
    }
    let answer = question("web.internal.", RecordType::A).into_response();
    socket.send(&answer.to_vec().expect("writable")).await.expect("sent");
    let asked = question("web.internal.", RecordType::A);
    socket.send(&asked.to_vec().expect("writable")).await.expect("sent");
    loop {
        let reply = receive(&socket).await;
        let is_ours = reply.queries.first() == asked.queries.first();
        if is_ours && reply.metadata.id == asked.metadata.id {
            break;
        }
        assert_ne!(reply.metadata.id, answer.metadata.id, "an answer is never answered");
    }
    running.stop().await;
}

#[tokio::test]
async fn a_flood_of_one_machine_leaves_the_others_their_answers() {
    let upstream = Upstream::with_address("192.0.2.1");
    let limits = Limits { questions: Pace { burst: 20, per_second: 1 }, ..Limits::default() };
    let running = start_with(limits, &upstream);
    let flood = udp(1, running.address).await;
    for sent in 1..=1_000 {
        let question = question("web.internal.", RecordType::A).to_vec().expect("writable");
        flood.send(&question).await.expect("sent");
        while running.server.counts().received < sent {
            tokio::task::yield_now().await;
        }
    }
    for number in [2, 3] {
        for name in ["web.internal.", "example.com."] {
            assert_eq!(look_up(number, running.address, name).await.0, ResponseCode::NoError);
        }
    }
    let mut n_refused = 0;
    let mut buffer = [0; 512];
    while let Ok(n_bytes) = flood.try_recv(&mut buffer) {
        let reply = Message::from_vec(&buffer[..n_bytes]).expect("readable");
        n_refused += u32::from(reply.metadata.response_code == ResponseCode::Refused);
    }
    assert!((1..=300).contains(&n_refused), "{n_refused} refusals, the rest in silence");
    let counts = running.server.counts();
    assert!(counts.over_limit >= 900, "{counts:?}");
    running.stop().await;
}

#[tokio::test]
async fn questions_that_nobody_answers_do_not_take_all_places() {
    let upstream = Upstream::silent();
    let limits = Limits { in_flight: 64, ..Limits::default() };
    let running = start_with(limits, &upstream);
    let socket = udp(1, running.address).await;
    for number in 0..200 {
        let question = question(&format!("{number}.example."), RecordType::A);
        socket.send(&question.to_vec().expect("writable")).await.expect("sent");
    }
    for _ in 0..192 {
        assert_eq!(receive(&socket).await.metadata.response_code, ResponseCode::Refused);
    }
    assert_eq!(running.server.counts().forwarded, 8, "an eighth of the free places");
    assert_eq!(look_up(1, running.address, "web.internal.").await.0, ResponseCode::NoError);
    assert_eq!(look_up(2, running.address, "a.example.").await.0, ResponseCode::ServFail);
    running.stop().await;
}

#[tokio::test]
async fn connections_of_one_machine_are_bounded() {
    let upstream = Upstream::silent();
    let running = start_with(Limits { connections: 16, ..Limits::default() }, &upstream);
    let mut open = Vec::new();
    for _ in 0..10 {
        let mut stream = tcp(1, running.address).await;
        // A reset may come before or after this is written.
        let bytes = question("web.internal.", RecordType::A).to_vec().expect("writable");
        let n_bytes = u16::try_from(bytes.len()).expect("short");
        let framed = [&n_bytes.to_be_bytes()[..], &bytes].concat();
        if stream.write_all(&framed).await.is_ok() && read(&mut stream).await.is_some() {
            open.push(stream);
        }
    }
    assert_eq!(open.len(), 2, "an eighth of the free places");
    let mut other = tcp(2, running.address).await;
    write(&mut other, &question("web.internal.", RecordType::A)).await;
    assert!(read(&mut other).await.is_some());
    running.stop().await;
}

#[tokio::test]
async fn streams_that_are_silent_broken_or_too_long_are_closed() {
    let upstream = Upstream::silent();
    let connection_idle = Duration::from_millis(500);
    let running = start_with(Limits { connection_idle, ..Limits::default() }, &upstream);
    let mut silent = tcp(1, running.address).await;
    let mut slow = tcp(1, running.address).await;
    slow.write_all(&[0, 40, 1, 2, 3]).await.expect("sent");
    for bytes in [&[0xff, 0xff, 1, 2, 3][..], &[0, 3, 1, 2, 3], &[0, 0]] {
        let mut stream = tcp(1, running.address).await;
        stream.write_all(bytes).await.expect("sent");
        assert_eq!(read(&mut stream).await.map(|reply| reply.metadata.id), None, "{bytes:?}");
    }
    for stream in [&mut silent, &mut slow] {
        let wait = tokio::time::timeout(crate::client::PATIENCE, stream.read_u8());
        assert!(wait.await.expect("in time").is_err(), "closed");
    }
    running.stop().await;
}
