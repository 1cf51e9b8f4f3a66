//! What is held is bounded, and freed as soon as its visitor has gone.

use crate::client::PATIENCE;
use crate::house::{HOST, HTTP, RAW, expect_from, house, http, service, sleeper, starts};
use serde_json::json;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};
use testkit::{Instance, eventually};

/// Most visitors that one machine has waiting. Source: SPECIFICATION.md, `HELD_PER_MACHINE_MAX`.
const HELD_MAX: usize = 1_000;

/// Leases the machine for longer than any test; the nonce by which the lease is ended.
fn lease(instance: &Instance, id: &str) -> String {
    let path = format!("{}/lease", Instance::path(id));
    let lease = instance.post(&path, &json!({"ttl": 600})).expect(201);
    lease["data"]["nonce"].as_str().expect("a nonce").to_owned()
}

fn release(instance: &Instance, id: &str, nonce: &str) {
    let path = format!("{}/lease", Instance::path(id));
    let nonce = [("fly-machine-lease-nonce", nonce)];
    let released = instance.request_with("DELETE", &path, &nonce, &serde_json::Value::Null);
    assert!(released.status < 300, "{}", released.text);
}

fn wait_for_held(instance: &Instance, id: &str, n_held: usize) {
    instance.wait_for_route(id, |route| route["n_held"] == n_held);
}

#[test]
fn a_thousand_are_held_and_the_next_is_turned_away() {
    let instance = house();
    let id = sleeper(&instance, "echo 80", &[service(RAW, &[]), http()]);
    let nonce = lease(&instance, &id);
    let mut held: Vec<TcpStream> = (0..HELD_MAX).map(|_| instance.connect(RAW)).collect();
    wait_for_held(&instance, &id, HELD_MAX);
    let reply = instance.visit(HTTP, HOST, "/");
    assert_eq!((reply.status, &reply.body["code"]), (503, &json!("hold_full")), "{}", reply.text);
    assert!(reply.header("retry-after").is_some());
    let mut heard = Vec::new();
    // An end or a reset: both say that the door is shut.
    drop(instance.connect(RAW).read_to_end(&mut heard));
    assert_eq!(heard, b"");
    let kept = held.split_off(HELD_MAX - 1);
    drop(held);
    wait_for_held(&instance, &id, 1);
    assert_eq!(starts(&instance, &id).len(), 0);
    release(&instance, &id, &nonce);
    let mut last = &kept[0];
    last.write_all(b"x").expect("said");
    let mut byte = [0];
    last.read_exact(&mut byte).expect("the one that stayed is served");
    assert_eq!(starts(&instance, &id).len(), 1);
}

#[test]
fn a_request_whose_visitor_goes_away_frees_its_place() {
    let instance = house();
    let id = sleeper(&instance, "http 80", &[http()]);
    let nonce = lease(&instance, &id);
    let head = format!("GET / HTTP/1.1\r\nhost: {HOST}\r\n\r\n");
    let held: Vec<TcpStream> = (0..50)
        .map(|_| {
            let mut stream = instance.connect(HTTP);
            stream.write_all(head.as_bytes()).expect("said");
            stream
        })
        .collect();
    wait_for_held(&instance, &id, 50);
    drop(held);
    wait_for_held(&instance, &id, 0);
    release(&instance, &id, &nonce);
    assert_eq!(starts(&instance, &id).len(), 0, "nobody waited any longer");
    expect_from(&instance.visit(HTTP, HOST, "/"), &id);
}

#[test]
fn a_visitor_waits_no_longer_than_it_said() {
    let instance = house();
    let id = sleeper(&instance, "http 80", &[http()]);
    let _nonce = lease(&instance, &id);
    let since = Instant::now();
    let reply = instance.visit_with(HTTP, HOST, "/", &[("dormouse-hold", "700ms")]);
    assert_eq!(reply.status, 503, "{}", reply.text);
    assert!(since.elapsed() >= Duration::from_millis(700), "{:?}", since.elapsed());
    wait_for_held(&instance, &id, 0);
}

/// Body of a visitor that is held: many times what the proxy keeps of one.
const BODY_BYTES: usize = 64 * 1024 * 1024;

/// What the proxy keeps of a body and the buffers of two sockets, with room to spare.
const AHEAD_MAX_BYTES: usize = 24 * 1024 * 1024;

#[test]
fn the_body_of_a_held_request_is_not_read_ahead() {
    let instance = house();
    let id = sleeper(&instance, "http 80", &[http()]);
    let nonce = lease(&instance, &id);
    let mut stream = instance.connect(HTTP);
    let head =
        format!("POST /echo HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: {BODY_BYTES}\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("said");
    wait_for_held(&instance, &id, 1);
    let n_taken = write_until_it_stops(&mut stream);
    assert!(n_taken < AHEAD_MAX_BYTES, "{n_taken} bytes were taken of a visitor that is held");
    release(&instance, &id, &nonce);
    let mut reader = stream.try_clone().expect("a second handle");
    let n_heard = std::thread::scope(|scope| {
        let hearing = scope.spawn(move || {
            let mut heard = 0;
            let mut piece = vec![0; 64 * 1024];
            while heard < BODY_BYTES {
                let n_read = reader.read(&mut piece).expect("the body comes back");
                assert!(n_read > 0, "only {heard} bytes came back");
                heard += n_read;
            }
            heard
        });
        let rest = vec![b'y'; BODY_BYTES - n_taken];
        let said = stream.write_all(&rest);
        let n_heard = hearing.join().expect("heard");
        said.expect("it is taken now");
        n_heard
    });
    assert!(n_heard >= BODY_BYTES);
}

/// Writes until the other side has taken nothing for a while; how much it took.
fn write_until_it_stops(stream: &mut TcpStream) -> usize {
    const PIECE: [u8; 16 * 1024] = [b'y'; 16 * 1024];
    const STILL: Duration = Duration::from_secs(1);
    stream.set_write_timeout(Some(STILL)).expect("a bound");
    let mut n_taken = 0;
    while n_taken < BODY_BYTES {
        match stream.write(&PIECE) {
            Ok(n) => n_taken += n,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                break;
            }
            Err(error) => panic!("{error}"),
        }
    }
    stream.set_write_timeout(Some(PATIENCE)).expect("a bound");
    n_taken
}

#[test]
fn connections_that_say_nothing_hold_nothing() {
    let instance = house();
    let id = sleeper(&instance, "http 80", &[http()]);
    let silent: Vec<TcpStream> = (0..300).map(|_| instance.connect(HTTP)).collect();
    expect_from(&instance.visit(HTTP, HOST, "/"), &id);
    let load = instance.route(&id).expect("known")["load"].clone();
    assert_eq!(load["n_connections"], 0, "{load}");
    drop(silent);
    eventually("it has nothing to do", || {
        let load = instance.route(&id)?["load"].clone();
        (load["n_requests"] == 0).then_some(())
    });
}
