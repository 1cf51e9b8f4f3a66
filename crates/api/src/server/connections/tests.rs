//! Requests as bytes on a connection in memory, answered by a small router behind the real service.

use super::{ConnectionHold, Connections, Door};
use crate::auth::Identity;
use crate::problem::Problem;
use crate::v1::body::{BODY_MAX_BYTES, JsonBody, read_json_within};
use crate::v1::with_fallbacks;
use axum::extract::Request;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Map, Value, json};
use std::future::pending;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::sync::mpsc;

/// Bytes on their way in each direction.
const PIPE_BYTES: usize = 64 * 1024;

/// Longest wait for an answer.
const ANSWER_MAX: Duration = Duration::from_secs(20);

/// Time that a caller of `/slow` has for its body.
const BODY_LIMIT: Duration = Duration::from_millis(50);

fn router() -> Router {
    let routes = Router::new()
        .route("/panic", get(panics))
        .route("/hello", get(async || "hello"))
        .route("/echo", post(echo))
        .route("/slow", post(reads_within_limit));
    with_fallbacks(routes)
}

async fn panics() -> &'static str {
    panic!("a mistake of ours, made for this test")
}

async fn echo(body: JsonBody) -> Result<Json<Map<String, Value>>, Problem> {
    body.to().map(Json)
}

async fn reads_within_limit(request: Request) -> Result<Json<Value>, Problem> {
    read_json_within(BODY_LIMIT, request).await.map(Json)
}

const fn owner() -> Door {
    Door::Known(Identity::Local { uid: 0 })
}

/// A connection that is being served.
fn connect() -> DuplexStream {
    let (ours, theirs) = duplex(PIPE_BYTES);
    let connections = Connections::at_most(1, router());
    tokio::spawn(connections.connection(theirs, owner(), ConnectionHold::free()));
    ours
}

/// An answer as the caller sees it.
struct Reply {
    status: u16,
    head: String,
    body: String,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("a JSON body")
    }
}

/// Sends `request` and reads until the server closes.
async fn ask(mut stream: DuplexStream, request: &[u8]) -> Reply {
    let (mut reader, mut writer) = tokio::io::split(&mut stream);
    let mut bytes = Vec::new();
    let talk = async {
        // A server that refuses early may stop reading: its answer counts.
        let (_written, read) =
            tokio::join!(writer.write_all(request), reader.read_to_end(&mut bytes));
        read.expect("the answer can be read")
    };
    tokio::time::timeout(ANSWER_MAX, talk).await.expect("an answer in time");
    let text = String::from_utf8(bytes).expect("text");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).expect("a status");
    Reply { status, head: head.to_lowercase(), body: body.to_owned() }
}

fn request(line: &str, headers: &str, body: &str) -> Vec<u8> {
    let n = body.len();
    format!(
        "{line} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}content-length: {n}\r\n\r\n{body}"
    )
    .into_bytes()
}

async fn send(line: &str, headers: &str, body: &str) -> Reply {
    ask(connect(), &request(line, headers, body)).await
}

#[tokio::test]
async fn a_panic_in_a_handler_is_a_500_with_a_body() {
    let reply = send("GET /panic", "", "").await;
    assert_eq!((reply.status, &reply.json()["code"]), (500, &json!("internal")));
    assert!(reply.head.contains("fly-request-id:"), "{}", reply.head);
    assert!(reply.head.contains("content-type: application/json"), "{}", reply.head);
}

#[tokio::test]
async fn an_unknown_route_is_plain_text() {
    let reply = send("GET /v1/nothing", "", "").await;
    assert_eq!((reply.status, reply.body.as_str()), (404, "404 page not found"));
    assert!(reply.head.contains("content-type: text/plain"), "{}", reply.head);
}

#[tokio::test]
async fn an_unknown_method_names_the_known_ones() {
    let reply = send("DELETE /hello", "", "").await;
    assert_eq!((reply.status, &reply.json()["code"]), (405, &json!("method_not_allowed")));
    assert!(reply.head.contains("allow: get"), "{}", reply.head);
}

#[tokio::test]
async fn a_trailing_slash_does_not_matter() {
    for path in ["/hello", "/hello/", "/hello/?x=1"] {
        let reply = send(&format!("GET {path}"), "", "").await;
        assert_eq!((reply.status, reply.body.as_str()), (200, "hello"), "{path}");
    }
}

#[tokio::test]
async fn an_empty_body_is_an_empty_object() {
    for body in ["", " \n", "null", "{}"] {
        let reply = send("POST /echo", "", body).await;
        assert_eq!((reply.status, reply.json()), (200, json!({})), "{body:?}");
    }
}

#[tokio::test]
async fn the_content_type_does_not_matter() {
    for header in ["", "content-type: text/plain\r\n", "content-type: application/json\r\n"] {
        let reply = send("POST /echo", header, r#"{"a":1}"#).await;
        assert_eq!((reply.status, reply.json()), (200, json!({"a": 1})), "{header:?}");
    }
}

#[tokio::test]
async fn what_is_not_an_object_is_refused() {
    for (body, code) in [("{", "bad_json"), ("[]", "wrong_type"), ("7", "wrong_type")] {
        let reply = send("POST /echo", "", body).await;
        assert_eq!((reply.status, &reply.json()["code"]), (400, &json!(code)), "{body:?}");
    }
}

#[tokio::test]
async fn a_large_body_is_refused_with_an_answer() {
    let reply = send("POST /echo", "", &" ".repeat(BODY_MAX_BYTES + 1)).await;
    assert_eq!((reply.status, &reply.json()["code"]), (413, &json!("body_too_large")));
}

#[tokio::test]
async fn a_slow_body_is_given_up() {
    let begun = b"POST /slow HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n{";
    let reply = ask(connect(), begun).await;
    assert_eq!((reply.status, &reply.json()["code"]), (408, &json!("body_timeout")));
}

/// As clients do that look for an answer only when all is sent.
#[tokio::test]
async fn a_refusal_waits_for_the_body_and_leaves_the_connection_usable() {
    let mut stream = connect();
    let head = b"POST /v1/nothing HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n";
    stream.write_all(head).await.expect("room for it");
    let early = tokio::time::timeout(BODY_LIMIT, stream.read_u8()).await;
    assert!(early.is_err(), "answered before the body was there");
    stream.write_all(b"{}").await.expect("the server reads on");
    stream.write_all(&request("GET /hello", "", "")).await.expect("the server reads on");
    let both = ask(stream, b"").await;
    assert_eq!(both.status, 404);
    assert!(both.body.ends_with("hello"), "the next request is answered too: {}", both.body);
}

#[tokio::test]
async fn a_body_that_never_comes_keeps_no_refusal_back() {
    let head = b"POST /v1/nothing HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n";
    assert_eq!(ask(connect(), head).await.status, 404);
}

#[tokio::test]
async fn nobody_is_asked_for_a_body_that_is_refused() {
    let length = BODY_MAX_BYTES + 1;
    for headers in
        ["expect: 100-continue\r\ncontent-length: 2", &format!("content-length: {length}")]
    {
        let head = format!("POST /v1/nothing HTTP/1.1\r\nhost: x\r\n{headers}\r\n\r\n");
        assert_eq!(ask(connect(), head.as_bytes()).await.status, 404, "{headers}");
    }
}

#[tokio::test]
async fn too_many_headers_are_refused() {
    let reply = send("GET /hello", &"x: y\r\n".repeat(super::HEADERS_MAX), "").await;
    assert_eq!(reply.status, 431);
}

#[tokio::test]
async fn callers_beyond_the_bound_wait_for_a_free_connection() {
    let (callers, mut waiting) = mpsc::unbounded_channel();
    let connections = Connections::at_most(1, router());
    let serving = connections.serve(async || match waiting.recv().await {
        Some(io) => Ok((io, owner())),
        None => pending().await,
    });
    let call = || {
        let (ours, theirs) = duplex(PIPE_BYTES);
        callers.send(theirs).expect("the server listens");
        ours
    };
    let calling = async {
        let mut first = call();
        first.write_all(b"GET /hello HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("room for it");
        first.read_u8().await.expect("the first is answered and keeps its connection");
        let hello = request("GET /hello", "", "");
        let mut second = Box::pin(ask(call(), &hello));
        let early = tokio::time::timeout(BODY_LIMIT, &mut second).await;
        assert!(early.is_err(), "the second was served beside the first");
        drop(first);
        assert_eq!(second.await.status, 200);
    };
    tokio::select! { () = serving => panic!("the server ended"), () = calling => {} }
}
