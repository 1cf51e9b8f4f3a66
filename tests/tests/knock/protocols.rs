//! Every protocol of HTTP wakes, and streams both ways.

use crate::client::{connect, curl_text, soon, tls_of_app};
use crate::house::{
    HOST, HTTP, TLS, expect_from, house, http, http_port, service, sleeper, starts, with,
};
use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use std::io;
use testkit::Asked;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

fn https() -> serde_json::Value {
    service(TLS, &["tls", "http"])
}

#[test]
fn h2_over_tls_wakes() {
    let instance = house();
    let id = sleeper(&instance, "http 80", &[https()]);
    let said = curl_text(
        &instance,
        &format!("https://{HOST}:{TLS}/secret"),
        &["--insecure", "--http2", "--include"],
    );
    assert!(said.starts_with("HTTP/2 200"), "{said}");
    assert!(said.contains("\r\nserver-timing: admission;dur="), "{said}");
    assert!(said.contains(&format!("\r\nx-machine: {id}\r\n")), "{said}");
    assert!(said.contains("HTTP/1.1 GET /secret\n"), "the program speaks HTTP/1.1: {said}");
    assert!(said.contains("\nx-forwarded-proto: https\n"), "{said}");
    assert!(said.contains("\nvia: 2 fly.io\n"), "{said}");
    let old = curl_text(
        &instance,
        &format!("https://{HOST}:{TLS}/"),
        &["--insecure", "--http1.1", "--include"],
    );
    assert!(old.starts_with("HTTP/1.1 200"), "{old}");
    assert_eq!(starts(&instance, &id).len(), 1);
}

#[test]
fn h2_without_tls_wakes_and_reaches_a_program_that_speaks_it() {
    let instance = house();
    let service = http_port(&json!({"http_options": {"h2_backend": true}}));
    let id = sleeper(&instance, "http 80", &[service]);
    let url = format!("http://{HOST}:{HTTP}/two");
    let said = curl_text(&instance, &url, &["--http2-prior-knowledge", "--include"]);
    assert!(said.starts_with("HTTP/2 200"), "{said}");
    assert!(said.contains("HTTP/2.0 GET http://"), "the program speaks h2: {said}");
    assert!(said.contains(&format!("\r\nx-machine: {id}\r\n")), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_streams_of_one_h2_connection_are_one_knock() {
    let instance = house();
    let id = sleeper(&instance, "http 80 after=100", &[https()]);
    let stream = tls_of_app(&instance, TLS, &["h2"]).await;
    let builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    let (sender, connection) = soon(builder.handshake(TokioIo::new(stream))).await.expect("h2");
    let connection = tokio::spawn(connection);
    let streams = (0..50).map(|n| {
        let mut sender = sender.clone();
        let uri = format!("https://{HOST}/{n}");
        let request = Request::get(uri).body(http_body_util::Empty::<Bytes>::new());
        let request = request.expect("a request");
        tokio::spawn(
            async move { text(soon(sender.send_request(request)).await.expect("sent")).await },
        )
    });
    for (n, stream) in streams.collect::<Vec<_>>().into_iter().enumerate() {
        let said = stream.await.expect("an answer");
        assert!(said.contains(&format!("GET /{n}\n")), "{said}");
    }
    assert_eq!(starts(&instance, &id).len(), 1);
    connection.abort();
}

async fn text(response: Response<Incoming>) -> String {
    let body = soon(response.into_body().collect()).await.expect("a body").to_bytes();
    String::from_utf8_lossy(&body).into_owned()
}

async fn chat<S>(mut socket: WebSocketStream<S>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    for words in ["hello", "long ".repeat(100_000).as_str()] {
        soon(socket.send(Message::text(words))).await.expect("it is taken");
        let heard = soon(socket.next()).await.expect("an answer").expect("a message");
        assert!(heard.into_text().expect("text").as_str() == words, "another message came back");
    }
    soon(socket.close(None)).await.expect("a goodbye");
    while soon(socket.next()).await.is_some() {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_wakes_and_is_told_how() {
    let instance = house();
    let id = sleeper(&instance, "http 80", &[http(), https()]);
    let stream = connect(&instance, HTTP).await;
    let url = format!("ws://{HOST}/socket");
    let (socket, response) = soon(client_async(&url, stream)).await.expect("a handshake");
    assert!(response.headers().contains_key("server-timing"), "{response:?}");
    assert_eq!(response.headers()["x-machine"], id.as_str());
    chat(socket).await;
    let stream = tls_of_app(&instance, TLS, &["http/1.1"]).await;
    let url = format!("wss://{HOST}/socket");
    let (socket, _) = Box::pin(soon(client_async(&url, stream))).await.expect("a handshake");
    chat(socket).await;
    instance.wait_for_route(&id, |route| route["load"]["n_upgraded"] == 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_counts_as_a_visitor_for_as_long_as_it_lives() {
    let instance = house();
    let id = sleeper(&instance, "http 80", &[http()]);
    let stream = connect(&instance, HTTP).await;
    let url = format!("ws://{HOST}/socket");
    let (socket, _) = Box::pin(soon(client_async(&url, stream))).await.expect("a handshake");
    let busy = instance.wait_for_route(&id, |route| route["load"]["n_upgraded"] == 1);
    assert_eq!(busy["load"]["n_connections"], 1, "{busy}");
    drop(socket);
    instance.wait_for_route(&id, |route| {
        route["load"]["n_upgraded"] == 0 && route["load"]["n_connections"] == 0
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn events_arrive_as_they_happen() {
    let instance = house();
    let id = sleeper(&instance, "http 80", &[http()]);
    let stream = connect(&instance, HTTP).await;
    let (mut sender, connection) =
        soon(hyper::client::conn::http1::handshake(TokioIo::new(stream))).await.expect("HTTP");
    let connection = tokio::spawn(connection);
    let request = Request::get("/events").header("host", HOST);
    let request = request.body(http_body_util::Empty::<Bytes>::new()).expect("a request");
    let mut events = soon(sender.send_request(request)).await.expect("an answer").into_body();
    for n in 0..=3 {
        assert_eq!(piece(&mut events).await, Some(format!("data: {n}\n\n")));
        if n < 3 {
            // Blocking is fine: the stream is read only between bumps.
            expect_from(&instance.visit(HTTP, HOST, "/bump"), &id);
        }
    }
    assert_eq!(piece(&mut events).await, None);
    connection.abort();
}

/// The next bytes of a body; h2 may end with a frame that has none.
async fn piece(body: &mut Incoming) -> Option<String> {
    loop {
        let frame = soon(body.frame()).await?.expect("a frame");
        let data = frame.data_ref().expect("data");
        if !data.is_empty() {
            return Some(String::from_utf8_lossy(data).into_owned());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_streams_up_while_its_answer_streams_down() {
    let instance = house();
    let _id = sleeper(&instance, "http 80", &[http(), https()]);
    let stream = connect(&instance, HTTP).await;
    let (sender, connection) =
        soon(hyper::client::conn::http1::handshake(TokioIo::new(stream))).await.expect("HTTP");
    let connection = tokio::spawn(connection);
    both_ways(Sender::One(sender)).await;
    connection.abort();
    let stream = tls_of_app(&instance, TLS, &["h2"]).await;
    let builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    let (sender, connection) = soon(builder.handshake(TokioIo::new(stream))).await.expect("h2");
    let connection = tokio::spawn(connection);
    both_ways(Sender::Two(sender)).await;
    connection.abort();
}

type Pieces = StreamBody<futures_util::stream::BoxStream<'static, io::Result<Frame<Bytes>>>>;

enum Sender {
    One(hyper::client::conn::http1::SendRequest<Pieces>),
    Two(hyper::client::conn::http2::SendRequest<Pieces>),
}

async fn both_ways(sender: Sender) {
    let (say, pieces) = mpsc::channel::<io::Result<Frame<Bytes>>>(1);
    let pieces = futures_util::stream::unfold(pieces, |mut pieces| async {
        Some((pieces.recv().await?, pieces))
    });
    let body = StreamBody::new(pieces.boxed());
    let request = Request::post(format!("http://{HOST}/echo")).header("host", HOST);
    let request = request.body(body).expect("a request");
    say.send(Ok(Frame::data(Bytes::from_static(b"first")))).await.expect("room");
    let sent = async {
        match sender {
            Sender::One(mut sender) => sender.send_request(request).await,
            Sender::Two(mut sender) => sender.send_request(request).await,
        }
    };
    let mut answer = soon(sent).await.expect("an answer while the body goes on").into_body();
    assert_eq!(piece(&mut answer).await.as_deref(), Some("first"));
    for n in 0..20 {
        let words = format!("piece {n}");
        say.send(Ok(Frame::data(Bytes::from(words.clone())))).await.expect("room");
        assert_eq!(piece(&mut answer).await, Some(words));
    }
    drop(say);
    assert_eq!(piece(&mut answer).await, None);
}

#[test]
fn large_bodies_pass_whole_up_and_down() {
    let instance = house();
    let id = sleeper(&instance, "http 80", &[http()]);
    let body = "0123456789abcdef".repeat(512 * 1024);
    let asked = Asked { method: "POST", body: body.as_bytes(), ..Asked::get(HOST, "/everything") };
    let reply = instance.visit_as(HTTP, &asked);
    expect_from(&reply, &id);
    assert!(reply.text.ends_with(&body), "the body of a held request arrives whole");
    let reply = instance.visit(HTTP, HOST, "/large?20000000");
    assert_eq!(reply.n_body_bytes, 20_000_000);
}

#[test]
fn plain_requests_are_sent_to_https_without_waking_anybody() {
    let instance = house();
    let forced = http_port(&json!({"force_https": true}));
    let id = sleeper(&instance, "http 80", &[forced]);
    let reply = instance.visit(HTTP, HOST, "/a?b=c");
    assert_eq!(reply.status, 301);
    assert_eq!(reply.header("location"), Some("https://test.localhost/a?b=c"));
    assert_eq!(instance.state(&id), "stopped");
}

#[test]
fn answers_are_compressed_where_that_is_wished() {
    let instance = house();
    let service = http_port(&json!({"http_options": {"compress": true}}));
    let _id = sleeper(&instance, "http 80", &[service]);
    let url = format!("http://{HOST}:{HTTP}/large?100000");
    let said = curl_text(&instance, &url, &["--compressed"]);
    assert_eq!(said.len(), 100_000);
    let zipped = curl_text(
        &instance,
        &url,
        &[
            "--header",
            "accept-encoding: gzip",
            "--output",
            "/dev/null",
            "--write-out",
            "%{size_download} %header{content-encoding}",
        ],
    );
    let (n_bytes, encoding) = zipped.split_once(' ').expect("two words");
    assert_eq!(encoding, "gzip");
    assert!(n_bytes.parse::<u32>().expect("a number") < 10_000, "{n_bytes}");
    let plain = instance.visit(HTTP, HOST, "/large?100000");
    assert_eq!((plain.header("content-encoding"), plain.n_body_bytes), (None, 100_000));
}

#[test]
fn headers_of_answers_follow_the_rules_of_the_port() {
    let instance = house();
    let rules = json!({"http_options": {"response": {"headers":
        {"x-removed": false, "x-set": "one", "x-several": ["a", "b"]}}}});
    let _id = sleeper(&instance, "http 80", &[http_port(&rules)]);
    let orders = [
        ("answer-with", "x-removed: secret"),
        ("answer-with", "x-set: theirs"),
        ("answer-with", "x-kept: yes"),
    ];
    let reply = instance.visit_with(HTTP, HOST, "/", &orders);
    assert_eq!(reply.header("x-removed"), None);
    assert_eq!(reply.header("x-set"), Some("one"));
    assert_eq!(reply.header("x-kept"), Some("yes"));
    let several = reply.headers.iter().filter(|(name, _)| name == "x-several");
    assert_eq!(several.map(|(_, value)| value.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert!(reply.header("fly-request-id").is_some() && reply.header("via").is_some());
}

#[test]
fn a_pristine_port_adds_nothing() {
    let instance = house();
    let pristine = json!({"http_options": {"response": {"pristine": true}}});
    let id = sleeper(&instance, "http 80", &[http_port(&pristine)]);
    let reply = instance.visit(HTTP, HOST, "/");
    expect_from(&reply, &id);
    for ours in ["via", "fly-request-id", "server", "server-timing", "dormouse-decision"] {
        assert_eq!(reply.header(ours), None, "{ours}");
    }
}

#[test]
fn a_program_is_told_who_its_visitor_is() {
    let instance = house();
    let _id = sleeper(&instance, "http 80", &[http()]);
    let lies =
        [("fly-region", "moon"), ("fly-client-ip", "9.9.9.9"), ("x-forwarded-for", "1.2.3.4")];
    let said = instance.visit_with(HTTP, HOST, "/", &lies).text;
    let address = instance.door_address();
    for line in [
        "fly-client-ip: 127.0.0.1".to_owned(),
        format!("x-forwarded-for: 1.2.3.4, 127.0.0.1, {address}"),
        "x-forwarded-proto: http".to_owned(),
        "x-forwarded-port: 8080".to_owned(),
        "fly-forwarded-port: 8080".to_owned(),
        "via: 1.1 fly.io".to_owned(),
        format!("host: {HOST}"),
    ] {
        assert!(said.lines().any(|heard| heard == line), "`{line}` is not in\n{said}");
    }
    assert!(!said.contains("moon"), "{said}");
}

#[test]
fn one_connection_carries_many_requests() {
    let instance = house();
    let _id = sleeper(&instance, "http 80", &[http()]);
    let url = format!("http://{HOST}:{HTTP}/[1-20]");
    let said = curl_text(&instance, &url, &["--write-out", "%{num_connects}\n"]);
    let n_connects: u32 = said.lines().filter_map(|line| line.trim().parse::<u32>().ok()).sum();
    assert_eq!(n_connects, 1, "{said}");
    assert_eq!(said.matches("HTTP/1.1 GET /").count(), 20, "{said}");
}

#[test]
fn two_runs_never_share_a_connection() {
    let instance = house();
    let counts = json!({"concurrency": {"type": "requests", "soft_limit": 100}});
    let id = sleeper(&instance, "http 80", &[with(http(), &counts)]);
    let mut runs = Vec::new();
    for _ in 0..3 {
        for _ in 0..3 {
            let reply = instance.visit(HTTP, HOST, "/");
            expect_from(&reply, &id);
            runs.push(reply.header("x-run").expect("a run").to_owned());
        }
        instance.stop_machine(&id);
    }
    assert!(runs.chunks(3).all(|of_run| of_run.iter().all(|run| *run == of_run[0])), "{runs:?}");
    runs.dedup();
    assert_eq!(runs.len(), 3, "{runs:?}");
}
