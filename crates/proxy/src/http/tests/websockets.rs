//! WebSockets, with a real client and a real server.

use super::house::{House, in_time};
use super::program::Program;
use super::raw::Raw;
use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use http_body_util::{BodyExt as _, Empty};
use hyper::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};
use model::DurationMs;
use model::spec::service::HttpOptions;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, accept_async, client_async};

/// A program that says every message back.
async fn echo() -> Program {
    Program::raw(|stream| async move {
        let Ok(mut socket) = accept_async(stream).await else { return };
        while let Some(Ok(message)) = socket.next().await {
            let is_text = message.is_text() || message.is_binary();
            if is_text && socket.send(message).await.is_err() {
                return;
            }
        }
    })
    .await
}

async fn open(house: &House) -> WebSocketStream<TcpStream> {
    let stream = house.connect().await;
    let opened = in_time(client_async("ws://web.localhost/chat", stream)).await;
    opened.expect("a handshake").0
}

async fn say<S>(socket: &mut WebSocketStream<S>, text: &str) -> String
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    in_time(socket.send(Message::text(text))).await.expect("it is taken");
    let heard = in_time(socket.next()).await.expect("an answer").expect("a message");
    heard.into_text().expect("text").to_string()
}

#[tokio::test]
async fn messages_pass_both_ways_and_count_as_load() {
    let program = echo().await;
    let house = House::with_one(HttpOptions::default(), &program).await;
    let mut socket = open(&house).await;
    assert_eq!(say(&mut socket, "hello").await, "hello");
    house.until_load(1, (1, 1)).await;
    let long = "x".repeat(1024 * 1024);
    assert_eq!(say(&mut socket, &long).await, long);
    in_time(socket.close(None)).await.expect("a goodbye");
    while in_time(socket.next()).await.is_some() {}
    house.until_idle(1).await;
}

#[tokio::test]
async fn a_visitor_that_vanishes_frees_its_place() {
    let program = echo().await;
    let house = House::with_one(HttpOptions::default(), &program).await;
    let mut socket = open(&house).await;
    say(&mut socket, "hello").await;
    drop(socket);
    house.until_idle(1).await;
}

async fn hear_going_away<S>(socket: &mut WebSocketStream<S>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let heard = in_time(socket.next()).await.expect("a goodbye").expect("a message");
    let Message::Close(Some(frame)) = heard else { panic!("a goodbye, not {heard:?}") };
    assert_eq!(frame.code, CloseCode::Away);
}

#[tokio::test]
async fn visitors_are_told_to_go_away_before_their_machine_ends() {
    let program = echo().await;
    let house = House::with_one(HttpOptions::default(), &program).await;
    let mut socket = open(&house).await;
    say(&mut socket, "hello").await;
    house.desk.with(|book, _now| book.drain(&crate::fixture::id(1)));
    hear_going_away(&mut socket).await;
    while let Some(Ok(_)) = in_time(socket.next()).await {}
    house.until_idle(1).await;
}

#[tokio::test]
async fn visitors_are_told_to_go_away_before_the_process_ends() {
    let program = echo().await;
    let house = House::with_one(HttpOptions::default(), &program).await;
    let mut socket = open(&house).await;
    say(&mut socket, "hello").await;
    house.drain.begin();
    hear_going_away(&mut socket).await;
}

#[tokio::test]
async fn a_socket_on_which_nothing_passes_is_closed() {
    let program = echo().await;
    let idle_timeout = Some(DurationMs(300));
    let http = HttpOptions { idle_timeout, ..HttpOptions::default() };
    let house = House::with_one(http, &program).await;
    let mut socket = open(&house).await;
    say(&mut socket, "hello").await;
    let end = in_time(socket.next()).await;
    assert!(!matches!(end, Some(Ok(_))), "{end:?}");
    house.until_idle(1).await;
}

#[tokio::test]
async fn a_refused_handshake_is_an_ordinary_answer() {
    let program = Program::mirror().await;
    let house = House::with_one(HttpOptions::default(), &program).await;
    let refused = in_time(client_async("ws://web.localhost/", house.connect().await)).await;
    let Err(Error::Http(answer)) = refused else { panic!("an answer, not {refused:?}") };
    assert_eq!(answer.status(), 200);
    house.until_idle(1).await;
}

#[tokio::test]
async fn upgrades_to_anything_else_are_not_passed_on() {
    let program = Program::mirror().await;
    let house = House::with_one(HttpOptions::default(), &program).await;
    let mut raw = Raw::to(&house).await;
    raw.say(
        "GET / HTTP/1.1\r\nHost: web.localhost\r\nConnection: upgrade, http2-settings\r\n\
         Upgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n",
    )
    .await;
    let (head, body) = raw.hear_answer().await;
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert!(!body.contains("upgrade") && !body.contains("http2-settings"), "{body}");
}

#[tokio::test]
async fn a_stream_of_h2_can_be_a_websocket() {
    let program = echo().await;
    let house = House::with_one(HttpOptions::default(), &program).await;
    let io = TokioIo::new(house.connect().await);
    let builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    let (mut sender, connection) = in_time(builder.handshake(io)).await.expect("h2");
    in_time(async {
        // The setting that allows it comes with the first frames.
        while !connection.is_extended_connect_protocol_enabled() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    tokio::spawn(connection);
    let request = Request::connect("http://web.localhost/chat")
        .extension(hyper::ext::Protocol::from_static("websocket"))
        .header("sec-websocket-version", "13")
        .body(Empty::<Bytes>::new().boxed())
        .expect("a request");
    let answer = in_time(sender.send_request(request)).await.expect("an answer");
    assert_eq!(answer.status(), 200);
    assert!(!answer.headers().contains_key("sec-websocket-accept"));
    let stream = TokioIo::new(in_time(hyper::upgrade::on(answer)).await.expect("a stream"));
    let mut socket = WebSocketStream::from_raw_socket(stream, Role::Client, None).await;
    assert_eq!(say(&mut socket, "hello").await, "hello");
    house.until_load(1, (1, 1)).await;
    in_time(socket.close(None)).await.expect("a goodbye");
    while let Some(Ok(_)) = in_time(socket.next()).await {}
    drop(socket);
    house.until_idle(1).await;
}
