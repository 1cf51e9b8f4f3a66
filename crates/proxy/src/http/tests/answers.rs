//! Ordinary requests and answers, and answers of programs that misbehave.

use super::house::{House, PORT, in_time};
use super::program::{Program, answer, mirror};
use super::raw::{Raw, heard};
use crate::fixture;
use http_body_util::BodyExt as _;
use hyper::{Request, Response};
use model::spec::service::{Counts, HttpOptions};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const GET: &str = "GET /a?b HTTP/1.1\r\nHost: web.localhost\r\n\r\n";

/// A program that reads a head, says `text`, and ends its connection.
async fn says(text: &'static str) -> Program {
    Program::raw(move |mut stream| async move {
        let mut head = [0; 4096];
        // What matters is what the visitor sees of it.
        drop(stream.read(&mut head).await);
        drop(stream.write_all(text.as_bytes()).await);
    })
    .await
}

#[tokio::test]
async fn programs_are_told_who_asks_and_visitors_who_answered() {
    let program = Program::mirror().await;
    let house = House::with_one(HttpOptions::default(), &program).await;
    let mut raw = Raw::to(&house).await;
    raw.say(
        "GET /a?b HTTP/1.1\r\nHost: web.localhost:1\r\nConnection: x-secret\r\nX-Secret: 1\r\n\r\n",
    )
    .await;
    let (head, body) = raw.hear_answer().await;
    assert!(body.starts_with("GET /a?b\n"), "{body}");
    for line in [
        "host: web.localhost:1",
        "fly-client-ip: 127.0.0.1",
        "x-forwarded-for: 127.0.0.1, 127.0.0.1",
        "x-forwarded-proto: http",
        "fly-forwarded-port: 8080",
        "fly-region: local",
        "via: 1.1 fly.io",
    ] {
        assert!(body.lines().any(|seen| seen == line), "{line} in {body}");
    }
    assert!(!body.contains("x-secret"), "{body}");
    let id = head.lines().find_map(|line| line.strip_prefix("fly-request-id: ")).expect("an id");
    assert!(body.to_ascii_lowercase().contains(id), "the same id on both sides");
    assert!(head.contains("server: fly/dormouse-") && head.contains("via: 1.1 fly.io"), "{head}");
}

#[tokio::test]
async fn programs_that_count_requests_share_connections_and_others_do_not() {
    for (counts, n_expected) in [(Counts::Requests, 1), (Counts::Connections, 5)] {
        let program = Program::mirror().await;
        let machine = program.counting(1, "web", HttpOptions::default(), counts);
        let house = House::of(vec![machine]).await;
        let mut raw = Raw::to(&house).await;
        for _ in 0..5 {
            raw.say(GET).await;
            raw.hear_answer().await;
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        assert_eq!(program.n_accepted(), n_expected, "{counts:?}");
        house.until_idle(1).await;
    }
}

#[tokio::test]
async fn connections_of_an_earlier_run_are_never_used_again() {
    let program = Program::mirror().await;
    let house = House::with_one(HttpOptions::default(), &program).await;
    let mut raw = Raw::to(&house).await;
    raw.say(GET).await;
    raw.hear_answer().await;
    let machine = program.machine(1, "web", HttpOptions::default());
    let next = proxy_proto::MachineRoute { generation: 2, state: fixture::up("run2"), ..machine };
    house.desk.with(|book, now| book.apply_machine(next, now));
    raw.say(GET).await;
    raw.hear_answer().await;
    assert_eq!(program.n_accepted(), 2);
}

#[tokio::test]
async fn a_connection_that_ended_while_it_rested_costs_no_request() {
    // Answers one request, then closes without a word of warning.
    let program = Program::raw(|mut stream| async move {
        let mut head = [0; 4096];
        drop(stream.read(&mut head).await);
        drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await);
        tokio::time::sleep(Duration::from_millis(3)).await;
    })
    .await;
    let house = House::with_one(HttpOptions::default(), &program).await;
    let mut raw = Raw::to(&house).await;
    for round in 0..40 {
        raw.say(GET).await;
        let (head, _) = raw.hear_answer().await;
        assert!(head.starts_with("http/1.1 200"), "{round}: {head}");
        tokio::time::sleep(Duration::from_micros(200 * round)).await;
    }
}

#[tokio::test]
async fn a_post_whose_body_was_sent_is_never_sent_twice() {
    // Rests well, and closes when a second request has been read.
    let program = Program::raw(|mut stream| async move {
        let mut head = [0; 4096];
        drop(stream.read(&mut head).await);
        drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await);
        drop(stream.read(&mut head).await);
    })
    .await;
    let house = House::with_one(HttpOptions::default(), &program).await;
    let mut raw = Raw::to(&house).await;
    raw.say(GET).await;
    raw.hear_answer().await;
    tokio::time::sleep(Duration::from_millis(10)).await;
    raw.say("POST / HTTP/1.1\r\nHost: web.localhost\r\nContent-Length: 2\r\n\r\nhi").await;
    let (head, body) = raw.hear_answer().await;
    assert!(head.starts_with("http/1.1 502"), "{head}");
    assert!(body.contains("backend_closed"), "{body}");
    assert_eq!(program.n_accepted(), 1, "it was not sent again");
}

#[tokio::test]
async fn programs_that_misbehave_are_answered_for() {
    for (text, code) in [
        ("", "backend_closed"),
        ("garbage\r\n\r\n", "backend_malformed"),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            "backend_malformed",
        ),
        (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
            "backend_",
        ),
    ] {
        let program = says(text).await;
        let house = House::with_one(HttpOptions::default(), &program).await;
        let mut raw = Raw::to(&house).await;
        raw.say(GET).await;
        let (head, body) = raw.hear_answer().await;
        assert!(head.starts_with("http/1.1 502"), "{text:?}: {head}");
        assert!(body.contains(code) && body.contains("\"retryable\":true"), "{text:?}: {body}");
        house.until_idle(1).await;
    }
}

#[tokio::test]
async fn a_program_that_dies_in_its_answer_leaves_it_broken() {
    for text in [
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ] {
        let program = says(text).await;
        let house = House::with_one(HttpOptions::default(), &program).await;
        let heard = heard(&house, GET).await;
        assert!(heard.contains("half"), "{heard}");
        assert!(!heard.contains("\r\n0\r\n"), "it must not look whole: {heard}");
        house.until_idle(1).await;
    }
}

#[tokio::test]
async fn an_answer_without_length_ends_with_its_connection() {
    let program = says("HTTP/1.1 200 OK\r\n\r\nall of it").await;
    let house = House::with_one(HttpOptions::default(), &program).await;
    let heard =
        heard(&house, "GET / HTTP/1.1\r\nHost: web.localhost\r\nConnection: close\r\n\r\n").await;
    assert!(heard.contains("all of it"), "{heard}");
    assert!(heard.ends_with("\r\n0\r\n\r\n"), "{heard}");
}

#[tokio::test]
async fn https_is_forced_by_a_redirect() {
    let program = Program::mirror().await;
    let mut machine = program.machine(1, "web", HttpOptions::default());
    machine.services[0].ports[0].is_https_forced = true;
    let house = House::of(vec![machine]).await;
    let mut raw = Raw::to(&house).await;
    raw.say("GET /a?b HTTP/1.1\r\nHost: Web.localhost:8080\r\n\r\n").await;
    let (head, _) = raw.hear_answer().await;
    assert!(head.starts_with("http/1.1 301"), "{head}");
    assert!(head.contains("location: https://web.localhost/a?b"), "{head}");
    assert_eq!(program.n_accepted(), 0);
}

#[tokio::test]
async fn rules_and_pristine_change_the_headers_of_answers() {
    let program = Program::http(|_request| async {
        let mut answer = answer("text");
        answer.headers_mut().insert("server", "mine".parse().expect("a value"));
        answer.headers_mut().insert("x-gone", "1".parse().expect("a value"));
        answer
    })
    .await;
    let rules = [("x-gone".to_owned(), vec![]), ("x-set".to_owned(), vec!["1".to_owned()])];
    let http =
        HttpOptions { is_pristine: true, response_headers: rules.into(), ..HttpOptions::default() };
    let house = House::with_one(http, &program).await;
    let mut raw = Raw::to(&house).await;
    raw.say(GET).await;
    let (head, _) = raw.hear_answer().await;
    assert!(head.contains("server: mine") && head.contains("x-set: 1"), "{head}");
    for ours in ["x-gone", "via", "fly-request-id"] {
        assert!(!head.contains(ours), "{ours} in {head}");
    }
}

#[tokio::test]
async fn texts_are_compressed_for_those_who_ask() {
    let text = "dormouse ".repeat(1000);
    let program = Program::http(move |_request| {
        let mut answer = answer(text.clone());
        answer.headers_mut().insert("content-type", "text/plain".parse().expect("a value"));
        async { answer }
    })
    .await;
    let http = HttpOptions { is_compressed: true, ..HttpOptions::default() };
    let house = House::with_one(http, &program).await;
    let mut raw = Raw::to(&house).await;
    raw.say(GET).await;
    let (_, plain) = raw.hear_answer().await;
    raw.say(
        "GET / HTTP/1.1\r\nHost: web.localhost\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n",
    )
    .await;
    let head = raw.hear_until("\r\n\r\n").await.to_ascii_lowercase();
    assert!(head.contains("content-encoding: gzip") && head.contains("vary: accept-encoding"));
    assert!(!head.contains("content-length"), "{head}");
    let mut sender = super::h2::sender(&house).await;
    let request = Request::get("http://web.localhost/").header("accept-encoding", "gzip");
    let request = request.body(super::h2::nothing()).expect("a request");
    let body = in_time(sender.send_request(request)).await.expect("an answer").into_body();
    let packed = in_time(body.collect()).await.expect("all of it").to_bytes();
    let mut unpacked = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&packed[..]), &mut unpacked)
        .expect("gzip");
    assert_eq!(unpacked, plain);
    assert!(packed.len() < plain.len() / 10);
}

#[tokio::test]
async fn forced_and_preferred_instances_are_followed() {
    let one = Program::http(|request| async move { named("one", &request) }).await;
    let two = Program::http(|request| async move { named("two", &request) }).await;
    let machines = vec![
        one.machine(1, "web", HttpOptions::default()),
        two.machine(2, "web", HttpOptions::default()),
    ];
    let house = House::of(machines).await;
    let mut raw = Raw::to(&house).await;
    for (header, id, expected) in [
        ("fly-force-instance-id", "00000000000001", "one -"),
        ("fly-force-instance-id", "00000000000002", "two -"),
        ("fly-prefer-instance-id", "00000000000002", "two -"),
        ("fly-prefer-instance-id", "00000000000009", "00000000000009"),
        ("fly-force-instance-id", "00000000000009", "machine_not_routed"),
        ("fly-force-instance-id", "nonsense", "machine_not_routed"),
    ] {
        for _ in 0..5 {
            raw.say(format!("GET / HTTP/1.1\r\nHost: web.localhost\r\n{header}: {id}\r\n\r\n"))
                .await;
            let (_, body) = raw.hear_answer().await;
            assert!(body.contains(expected), "{header}: {id}: {body}");
        }
    }
    raw.say("GET / HTTP/1.1\r\nHost: web.localhost\r\nfly-force-region: ams\r\n\r\n").await;
    let (head, _) = raw.hear_answer().await;
    assert!(!head.starts_with("http/1.1 200"), "nobody is in that region: {head}");
    raw.say("GET / HTTP/1.1\r\nHost: web.localhost\r\nfly-prefer-region: ams\r\n\r\n").await;
    let (head, _) = raw.hear_answer().await;
    assert!(head.starts_with("http/1.1 200"), "{head}");
}

/// Who answers, and which preferred instance was not to be had.
fn named(name: &str, request: &Request<hyper::body::Incoming>) -> super::program::Answer {
    let missing = request.headers().get("fly-preferred-instance-unavailable");
    let missing = missing.map_or("-", |value| value.to_str().expect("text"));
    answer(format!("{name} {missing}"))
}

#[tokio::test]
async fn hosts_that_nobody_has_get_a_404() {
    let program = Program::mirror().await;
    let house = House::with_one(HttpOptions::default(), &program).await;
    let mut raw = Raw::to(&house).await;
    raw.say("GET / HTTP/1.1\r\nHost: other.localhost\r\n\r\n").await;
    let (head, body) = raw.hear_answer().await;
    assert!(head.starts_with("http/1.1 404"), "{head}");
    assert!(body.contains("app_not_routed") && body.contains("hint"), "{body}");
}

#[tokio::test]
async fn heads_and_empty_answers_have_no_body() {
    let program = Program::http(|request| async move {
        if request.uri().path() == "/none" {
            return Response::builder().status(204).body(answer("").into_body()).expect("204");
        }
        mirror(request).await
    })
    .await;
    let house = House::with_one(HttpOptions::default(), &program).await;
    let mut raw = Raw::to(&house).await;
    raw.say("HEAD / HTTP/1.1\r\nHost: web.localhost\r\n\r\n").await;
    raw.say("GET /none HTTP/1.1\r\nHost: web.localhost\r\n\r\n").await;
    raw.say(GET).await;
    let head = raw.hear_until("\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("content-length"), "{head}");
    let none = raw.hear_until("\r\n\r\n").await;
    assert!(none.starts_with("HTTP/1.1 204"), "{none}");
    let (_, body) = raw.hear_answer().await;
    assert!(body.starts_with("GET /a?b"), "{body}");
    assert_eq!(PORT, 8080);
}
