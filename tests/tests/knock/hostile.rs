//! What no program should see: it wakes nobody, hangs nobody, and the next visitor is served.

use crate::client::tls;
use crate::house::{
    HOST, HTTP, TLS, expect_from, house, http, http_port, service, sleeper, starts,
};
use serde_json::json;
use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::time::{Duration, Instant};
use testkit::Instance;

/// Longer than anything here takes, far shorter than a test.
const SOON: Duration = Duration::from_secs(60);

/// Says `bytes` and hears until the door is closed.
#[track_caller]
fn say(instance: &Instance, port: u16, bytes: &[u8]) -> String {
    let since = Instant::now();
    let mut stream = instance.connect(port);
    // A door may be closed before all is said.
    drop(stream.write_all(bytes));
    let mut heard = Vec::new();
    drop(stream.read_to_end(&mut heard));
    assert!(since.elapsed() < SOON, "the door stayed open for {:?}", since.elapsed());
    String::from_utf8_lossy(&heard).into_owned()
}

/// Checks that these bytes get one answer with this status and the connection ends; a second request
/// behind them is not heard.
#[track_caller]
fn check(instance: &Instance, status: u16, bytes: &str) {
    let smuggled = format!("{bytes}GET /smuggled HTTP/1.1\r\nhost: {HOST}\r\n\r\n");
    let heard = say(instance, HTTP, smuggled.as_bytes());
    assert!(heard.starts_with(&format!("HTTP/1.1 {status} ")), "{bytes:?}: {heard}");
    assert_eq!(heard.matches("HTTP/1.1 ").count(), 1, "{bytes:?}: {heard}");
}

#[test]
fn requests_that_two_readers_read_differently_wake_nobody() {
    let instance = house();
    let id = sleeper(&instance, "http 80", &[http()]);
    let post = |more: &str| format!("POST / HTTP/1.1\r\nhost: {HOST}\r\n{more}");
    for shape in [
        post("content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        post("content-length: 5\r\ncontent-length: 6\r\n\r\nhello"),
        post("content-length: 5\r\ncontent-length: 5\r\n\r\nhello"),
        post("content-length: +5\r\n\r\nhello"),
        post("content-length: 5, 5\r\n\r\nhello"),
        post("content-length: 0x5\r\n\r\nhello"),
        post("content-length: -1\r\n\r\n"),
        post("content-length: 99999999999999999999\r\n\r\n"),
        post("transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        post("transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n"),
        post("transfer-encoding: xchunked\r\n\r\n0\r\n\r\n"),
        post("transfer-encoding : chunked\r\n\r\n0\r\n\r\n"),
        post("transfer-encoding:\u{b}chunked\r\n\r\n0\r\n\r\n"),
        post("x: y\r\n transfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        post("x: y\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        post("x: y\rtransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        post("x: \0\r\n\r\n"),
        post("no colon\r\n\r\n"),
        post(": no name\r\n\r\n"),
        post(&format!("host: other.{HOST}\r\n\r\n")),
        "GET / HTTP/1.1\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nhost: a b\r\n\r\n".to_owned(),
        format!("GET  / HTTP/1.1\r\nhost: {HOST}\r\n\r\n"),
        format!("GET / HTTP/1.1 \r\nhost: {HOST}\r\n\r\n"),
        format!("GET / HTTP/3.1\r\nhost: {HOST}\r\n\r\n"),
        format!("GET nowhere HTTP/1.1\r\nhost: {HOST}\r\n\r\n"),
        format!("GET http://other.localhost/ HTTP/1.1\r\nhost: {HOST}\r\n\r\n"),
    ] {
        check(&instance, 400, &shape);
    }
    assert_eq!(starts(&instance, &id).len(), 0, "none of them was let through");
    assert_eq!(instance.state(&id), "stopped");
    expect_from(&instance.visit(HTTP, HOST, "/"), &id);
}

#[test]
fn heads_without_measure_are_refused() {
    let instance = house();
    let id = sleeper(&instance, "http 80", &[http()]);
    let get = |more: &str| format!("GET / HTTP/1.1\r\nhost: {HOST}\r\n{more}\r\n");
    check(&instance, 431, &get(&format!("x: {}\r\n", "y".repeat(70_000))));
    check(&instance, 431, &get(&"x: y\r\n".repeat(200)));
    let long = format!("GET /{} HTTP/1.1\r\nhost: {HOST}\r\n\r\n", "y".repeat(70_000));
    check(&instance, 431, &long);
    check(&instance, 405, &format!("CONNECT {HOST}:80 HTTP/1.1\r\nhost: {HOST}:80\r\n\r\n"));
    check(&instance, 417, &get("expect: miracles\r\n"));
    assert_eq!(starts(&instance, &id).len(), 0);
    expect_from(&instance.visit(HTTP, HOST, "/"), &id);
}

#[test]
fn a_chunked_body_that_is_none_ends_its_connection() {
    let instance = house();
    let id = sleeper(&instance, "http 80", &[http()]);
    for body in
        ["x\r\n", "5\r\nhello world\r\n", "5;\u{1}\r\nhello\r\n0\r\n\r\n", "fffffffffffffffff\r\n"]
    {
        let bytes = format!(
            "POST /echo HTTP/1.1\r\nhost: {HOST}\r\ntransfer-encoding: chunked\r\n\r\n{body}GET /smuggled HTTP/1.1\r\nhost: {HOST}\r\n\r\n"
        );
        let heard = say(&instance, HTTP, bytes.as_bytes());
        assert!(!heard.contains("/smuggled HTTP"), "{body:?}: {heard}");
        assert!(heard.matches("HTTP/1.1 ").count() <= 1, "{body:?}: {heard}");
    }
    expect_from(&instance.visit(HTTP, HOST, "/"), &id);
    instance.wait_for_route(&id, |route| route["load"]["n_requests"] == 0);
}

#[test]
fn a_head_that_drips_is_cut_off() {
    let instance = house();
    let quick = json!({"http_options": {"headers_read_timeout": 1}});
    let id = sleeper(&instance, "http 80", &[http_port(&quick)]);
    let mut stream = instance.connect(HTTP);
    stream.set_read_timeout(Some(Duration::from_millis(100))).expect("a bound");
    let since = Instant::now();
    let mut drips = "GET / HTTP/1.1\r\nx: ".bytes().chain(std::iter::repeat(b'y'));
    let mut heard = Vec::new();
    let ended = loop {
        let drip = drips.next().expect("for ever");
        if stream.write_all(&[drip]).is_err() {
            break true;
        }
        let mut piece = [0; 1024];
        match stream.read(&mut piece) {
            Ok(0) => break true,
            Ok(n_read) => heard.extend_from_slice(&piece[..n_read]),
            Err(_nothing_yet) if since.elapsed() < SOON => {}
            Err(_nothing_yet) => break false,
        }
    };
    assert!(ended, "the connection is still open");
    let heard = String::from_utf8_lossy(&heard);
    assert!(heard.starts_with("HTTP/1.1 408 ") && heard.contains("head_timeout"), "{heard}");
    assert_eq!(starts(&instance, &id).len(), 0);
}

#[test]
fn a_body_that_stops_arriving_is_cut_off() {
    let instance = house();
    let quick = json!({"http_options": {"idle_timeout": 1}});
    let id = sleeper(&instance, "http 80", &[http_port(&quick)]);
    let head = format!("POST / HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: 10\r\n\r\nhello");
    let heard = say(&instance, HTTP, head.as_bytes());
    assert!(heard.starts_with("HTTP/1.1 408 "), "{heard}");
    instance.wait_for_route(&id, |route| route["load"]["n_requests"] == 0);
}

#[test]
fn sockets_closed_by_halves_leave_nothing() {
    let instance = house();
    let id = sleeper(&instance, "http 80", &[http()]);
    for said in [
        "",
        "GET",
        "GET / HTTP/1.1\r\nhost: test.localhost\r\n",
        "GET /hang HTTP/1.1\r\nhost: test.localhost\r\n\r\n",
    ] {
        let mut stream = instance.connect(HTTP);
        stream.write_all(said.as_bytes()).expect("said");
        stream.shutdown(Shutdown::Write).expect("ended");
        let mut heard = Vec::new();
        // An answer, an end or a reset: the door does not wait for more.
        drop(stream.read_to_end(&mut heard));
    }
    instance.wait_for_route(&id, |route| {
        route["load"]["n_requests"] == 0
            && route["load"]["n_connections"] == 0
            && route["n_held"] == 0
    });
    expect_from(&instance.visit(HTTP, HOST, "/"), &id);
}

#[tokio::test]
async fn the_wrong_protocol_at_a_door_is_turned_away() {
    let instance = house();
    let id = sleeper(&instance, "http 80", &[http(), service(TLS, &["tls", "http"])]);
    let plain = say(&instance, TLS, format!("GET / HTTP/1.1\r\nhost: {HOST}\r\n\r\n").as_bytes());
    assert!(!plain.contains("200"), "{plain:?}");
    let hello = say(&instance, HTTP, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n");
    assert!(hello.starts_with("HTTP/1.1 400 ") || hello.is_empty(), "{hello:?}");
    let garbage = say(&instance, TLS, &[0; 4096]);
    assert!(!garbage.contains("200"), "{garbage:?}");
    for stranger in ["other.localhost", "example.com"] {
        let refused = tls(&instance, TLS, stranger, &[]).await.expect_err("nobody has this name");
        assert!(refused.to_string().contains("UnrecognisedName"), "{refused}");
    }
    assert_eq!(starts(&instance, &id).len(), 0);
    expect_from(&instance.visit(HTTP, HOST, "/"), &id);
}
