//! Requests that could be read in two ways never reach a program.

use super::house::House;
use super::program::Program;
use super::raw::{Raw, heard};
use model::spec::service::HttpOptions;

/// Refused with this status and code, on a connection that is then closed, unseen by the program.
#[track_caller]
fn assert_refused(heard: &str, status: u16, code: &str) {
    assert!(heard.starts_with(&format!("HTTP/1.1 {status} ")), "{heard}");
    assert!(heard.contains(&format!("\"code\":\"{code}\"")), "{heard}");
    assert!(heard.to_ascii_lowercase().contains("connection: close"), "{heard}");
    assert_eq!(heard.matches("HTTP/1.1 ").count(), 1, "one answer only: {heard}");
}

/// `head` with a second request hidden behind it.
async fn check(head: &str, status: u16, code: &str) {
    let program = Program::mirror().await;
    let house = House::with_one(HttpOptions::default(), &program).await;
    let hidden = "GET /hidden HTTP/1.1\r\nHost: web.localhost\r\n\r\n";
    assert_refused(&heard(&house, format!("{head}{hidden}")).await, status, code);
    assert_eq!(program.n_accepted(), 0, "{head:?}");
}

#[tokio::test]
async fn length_and_encoding_together_are_refused() {
    let head = "POST / HTTP/1.1\r\nHost: web.localhost\r\nContent-Length: 5\r\n\
                Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    check(head, 400, "invalid_framing").await;
    let head = "POST / HTTP/1.1\r\nHost: web.localhost\r\nTransfer-Encoding: chunked\r\n\
                Content-Length: 5\r\n\r\n0\r\n\r\n";
    check(head, 400, "invalid_framing").await;
}

#[tokio::test]
async fn two_lengths_are_refused_even_if_they_agree() {
    for second in [3, 4] {
        let head = format!(
            "POST / HTTP/1.1\r\nHost: web.localhost\r\nContent-Length: 3\r\n\
             Content-Length: {second}\r\n\r\nabc"
        );
        check(&head, 400, "invalid_framing").await;
    }
}

#[tokio::test]
async fn odd_encodings_and_lengths_are_refused() {
    for line in [
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding:\u{b}chunked",
        "Content-Length: +3",
        "Content-Length: 3, 3",
    ] {
        let head = format!("POST / HTTP/1.1\r\nHost: web.localhost\r\n{line}\r\n\r\n");
        let code = if line.contains('\u{b}') { "malformed_request" } else { "invalid_framing" };
        check(&head, 400, code).await;
    }
    check("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "invalid_framing").await;
}

#[tokio::test]
async fn folded_lines_and_bare_line_feeds_are_refused() {
    for head in [
        "GET / HTTP/1.1\r\nHost: web.localhost\r\nX: a\r\n b\r\n\r\n",
        "GET / HTTP/1.1\nHost: web.localhost\n\n",
        "GET / HTTP/1.1\r\nHost: web.localhost\nX: y\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: web.localhost\r\nX: a\rb\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: web.localhost\r\nX : a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: web.localhost\r\nX\r\n\r\n",
        "GET /\0 HTTP/1.1\r\nHost: web.localhost\r\n\r\n",
        "GET / HTTP/1.1 \r\nHost: web.localhost\r\n\r\n",
        "GET / HTTP/9.9\r\nHost: web.localhost\r\n\r\n",
    ] {
        check(head, 400, "malformed_request").await;
    }
}

#[tokio::test]
async fn exactly_one_host_is_wanted_and_the_target_must_agree() {
    for head in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: web.localhost\r\nHost: web.localhost\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: web.localhost\r\nHost: other\r\n\r\n",
        "GET http://other/ HTTP/1.1\r\nHost: web.localhost\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: web.localhost, other\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: user@web.localhost\r\n\r\n",
    ] {
        check(head, 400, "invalid_host").await;
    }
    check(
        "CONNECT web.localhost:80 HTTP/1.1\r\nHost: web.localhost\r\n\r\n",
        405,
        "method_not_allowed",
    )
    .await;
}

#[tokio::test]
async fn large_heads_are_refused() {
    let lines = "X: y\r\n".repeat(128);
    let head = format!("GET / HTTP/1.1\r\nHost: web.localhost\r\n{lines}\r\n");
    check(&head, 431, "too_many_headers").await;
    let head =
        format!("GET / HTTP/1.1\r\nHost: web.localhost\r\nX: {}\r\n\r\n", "y".repeat(300 * 1024));
    check(&head, 431, "head_too_large").await;
}

#[tokio::test]
async fn heads_of_just_under_the_limits_pass() {
    let program = Program::mirror().await;
    let house = House::with_one(HttpOptions::default(), &program).await;
    let mut raw = Raw::to(&house).await;
    let lines = format!("X: {}\r\n", "y".repeat(480)).repeat(126);
    raw.say(format!("GET / HTTP/1.1\r\nHost: web.localhost\r\n{lines}\r\n")).await;
    let (head, body) = raw.hear_answer().await;
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert!(body.contains("fly-client-ip: 127.0.0.1"), "{body}");
}

#[tokio::test]
async fn answers_before_a_refused_request_still_arrive_in_order() {
    let program = Program::mirror().await;
    let house = House::with_one(HttpOptions::default(), &program).await;
    let good = "GET /first HTTP/1.1\r\nHost: web.localhost\r\n\r\n";
    let bad = "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n";
    let heard = heard(&house, format!("{good}{bad}{good}")).await;
    assert_eq!(heard.matches("HTTP/1.1 ").count(), 2, "{heard}");
    let (first, second) = heard.split_once("HTTP/1.1 400").expect("both answers");
    assert!(first.contains("GET /first"), "{first}");
    assert!(second.contains("invalid_host"), "{second}");
}

#[tokio::test]
async fn bad_chunks_end_the_request_and_the_connection() {
    let (told, mut tell) = tokio::sync::mpsc::channel(8);
    let program = Program::http(move |request| {
        let told = told.clone();
        async move {
            let answer = super::program::mirror(request).await;
            told.send(answer.status()).await.expect("the test waits");
            answer
        }
    })
    .await;
    let house = House::with_one(HttpOptions::default(), &program).await;
    for chunk in ["g\r\n", "5\nhello\n0\n\n", "5\r\nhelloXX0\r\n\r\n", "0\r\n x\r\n\r\n"] {
        let head = "POST / HTTP/1.1\r\nHost: web.localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
        let heard = heard(&house, format!("{head}{chunk}")).await;
        assert_refused(&heard, 400, "invalid_framing");
    }
    house.until_idle(1).await;
    drop(house);
    assert!(tell.try_recv().is_err() || tell.recv().await.is_some());
}

#[tokio::test]
async fn requests_of_http_1_0_without_a_host_reach_the_owner_of_the_port() {
    let program = Program::mirror().await;
    let house = House::with_one(HttpOptions::default(), &program).await;
    let heard = heard(&house, "GET /old HTTP/1.0\r\n\r\n").await;
    assert!(heard.starts_with("HTTP/1.0 200"), "{heard}");
    assert!(heard.contains("GET /old"), "{heard}");
}
