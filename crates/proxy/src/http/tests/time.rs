//! Whoever is slow or silent is not waited for without end.

use super::house::House;
use super::program::Program;
use super::raw::{Raw, heard};
use model::DurationMs;
use model::spec::service::HttpOptions;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Half a second for everything.
fn quick() -> HttpOptions {
    let time = Some(DurationMs(500));
    HttpOptions { idle_timeout: time, headers_read_timeout: time, ..HttpOptions::default() }
}

/// A program that reads and says nothing but `text`.
async fn silent(text: &'static str) -> Program {
    Program::raw(move |mut stream| async move {
        let mut bytes = [0; 4096];
        drop(stream.read(&mut bytes).await);
        drop(stream.write_all(text.as_bytes()).await);
        while matches!(stream.read(&mut bytes).await, Ok(1..)) {}
    })
    .await
}

#[tokio::test]
async fn a_head_that_comes_byte_by_byte_ends_in_408() {
    let program = Program::mirror().await;
    let house = House::with_one(quick(), &program).await;
    let mut raw = Raw::to(&house).await;
    let begun = Instant::now();
    for byte in b"GET / HTTP/1.1\r\nX-Slow: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" {
        if raw.stream.write_all(&[*byte]).await.is_err() || begun.elapsed().as_secs() > 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let heard = raw.hear_all().await;
    assert!(heard.starts_with("HTTP/1.1 408") && heard.contains("head_timeout"), "{heard}");
    assert_eq!(program.n_accepted(), 0);
}

#[tokio::test]
async fn connections_on_which_nothing_happens_are_closed() {
    let program = Program::mirror().await;
    let house = House::with_one(quick(), &program).await;
    assert_eq!(heard(&house, "").await, "", "nothing was ever said");
    let mut raw = Raw::to(&house).await;
    raw.say("GET / HTTP/1.1\r\nHost: web.localhost\r\n\r\n").await;
    raw.hear_answer().await;
    assert_eq!(raw.hear_all().await, "", "nothing more was said");
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let frames = heard(&house, preface).await;
    assert!(!frames.is_empty(), "h2 says goodbye");
}

#[tokio::test]
async fn a_program_that_never_answers_ends_in_504() {
    let program = silent("").await;
    let house = House::with_one(quick(), &program).await;
    let mut raw = Raw::to(&house).await;
    raw.say("GET / HTTP/1.1\r\nHost: web.localhost\r\n\r\n").await;
    let (head, body) = raw.hear_answer().await;
    assert!(head.starts_with("http/1.1 504"), "{head}");
    assert!(body.contains("backend_timeout") && body.contains("hint"), "{body}");
    house.until_idle(1).await;
}

#[tokio::test]
async fn an_answer_that_stops_is_cut() {
    let program = silent("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhalf").await;
    let house = House::with_one(quick(), &program).await;
    let heard = heard(&house, "GET / HTTP/1.1\r\nHost: web.localhost\r\n\r\n").await;
    assert!(heard.contains("half"), "{heard}");
    house.until_idle(1).await;
}

#[tokio::test]
async fn a_body_that_stops_ends_in_408() {
    let program = Program::mirror().await;
    let house = House::with_one(quick(), &program).await;
    let head = "POST / HTTP/1.1\r\nHost: web.localhost\r\nContent-Length: 9\r\n\r\nhalf";
    let heard = heard(&house, head).await;
    assert!(heard.starts_with("HTTP/1.1 408") && heard.contains("body_timeout"), "{heard}");
    house.until_idle(1).await;
}

#[tokio::test]
async fn a_visitor_that_does_not_read_frees_its_place() {
    let program = Program::raw(|mut stream| async move {
        let mut bytes = vec![0; 1024 * 1024];
        drop(stream.read(&mut bytes).await);
        drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n").await);
        while stream.write_all(&bytes).await.is_ok() {}
    })
    .await;
    let house = House::with_one(quick(), &program).await;
    let mut raw = Raw::to(&house).await;
    raw.say("GET / HTTP/1.1\r\nHost: web.localhost\r\n\r\n").await;
    raw.hear_until("\r\n\r\n").await;
    house.until_load(1, (1, 0)).await;
    house.until_idle(1).await;
}

#[tokio::test]
async fn a_silent_answer_lives_as_long_as_the_visitor_sends() {
    // Bytes either way keep it.
    let program = Program::mirror().await;
    let house = House::with_one(quick(), &program).await;
    let mut raw = Raw::to(&house).await;
    raw.say("POST / HTTP/1.1\r\nHost: web.localhost\r\nContent-Length: 8\r\n\r\n").await;
    for _ in 0..8 {
        tokio::time::sleep(Duration::from_millis(150)).await;
        raw.say("x").await;
    }
    let (head, body) = raw.hear_answer().await;
    assert!(head.starts_with("http/1.1 200") && body.ends_with("xxxxxxxx"), "{head}{body}");
}
