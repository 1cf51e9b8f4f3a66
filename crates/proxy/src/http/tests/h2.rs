//! Visitors that speak h2.

use super::house::{House, in_time};
use super::program::{Program, answer};
use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Empty};
use hyper::Request;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use model::spec::service::HttpOptions;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Barrier;

pub(super) type Sent = BoxBody<Bytes, std::io::Error>;

/// No body.
pub(super) fn nothing() -> Sent {
    Empty::new().map_err(|never| match never {}).boxed()
}

/// A connection with prior knowledge.
pub(super) async fn sender(house: &House) -> SendRequest<Sent> {
    let io = TokioIo::new(house.connect().await);
    let builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    let (sender, connection) = in_time(builder.handshake(io)).await.expect("h2");
    tokio::spawn(connection);
    sender
}

fn get(uri: &str) -> hyper::http::request::Builder {
    Request::get(uri)
}

async fn text(sender: &mut SendRequest<Sent>, request: Request<Sent>) -> (u16, String) {
    let answer = in_time(sender.send_request(request)).await.expect("an answer");
    let status = answer.status().as_u16();
    let body = in_time(answer.into_body().collect()).await.expect("a body").to_bytes();
    (status, String::from_utf8_lossy(&body).into_owned())
}

#[tokio::test]
async fn requests_of_h2_look_like_any_other_to_the_program() {
    let program = Program::mirror().await;
    let house = House::with_one(HttpOptions::default(), &program).await;
    let mut sender = sender(&house).await;
    let request =
        get("http://web.localhost:8080/a?b").header("cookie", "a=1").header("cookie", "b=2");
    let (status, body) = text(&mut sender, request.body(nothing()).expect("a request")).await;
    assert_eq!(status, 200);
    assert!(body.starts_with("GET /a?b\n"), "{body}");
    for line in ["host: web.localhost:8080", "cookie: a=1; b=2", "via: 2 fly.io"] {
        assert!(body.lines().any(|seen| seen == line), "{line} in {body}");
    }
}

#[tokio::test]
async fn many_requests_go_at_once_over_one_connection() {
    let barrier = Arc::new(Barrier::new(20));
    let program = Program::http(move |_request| {
        let barrier = Arc::clone(&barrier);
        async move {
            barrier.wait().await;
            answer("together")
        }
    })
    .await;
    let house = House::with_one(HttpOptions::default(), &program).await;
    let sender = sender(&house).await;
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let mut sender = sender.clone();
        let request = get("http://web.localhost/").body(nothing()).expect("a request");
        asking.spawn(async move { text(&mut sender, request).await });
    }
    while let Some(answered) = in_time(asking.join_next()).await {
        assert_eq!(answered.expect("it ends"), (200, "together".to_owned()));
    }
    house.until_idle(1).await;
}

#[tokio::test]
async fn what_two_could_read_differently_is_refused_in_h2_too() {
    let program = Program::mirror().await;
    let house = House::with_one(HttpOptions::default(), &program).await;
    let mut sender = sender(&house).await;
    let other = get("http://web.localhost/").header("host", "other.localhost");
    let (status, body) = text(&mut sender, other.body(nothing()).expect("a request")).await;
    assert_eq!(status, 400, "{body}");
    assert!(body.contains("invalid_host"), "{body}");
    let mut many = get("http://web.localhost/");
    for n in 0..130 {
        many = many.header(format!("x-{n}"), "y");
    }
    let (status, _) = text(&mut sender, many.body(nothing()).expect("a request")).await;
    assert_eq!(status, 431);
    let tunnel = Request::connect("web.localhost:80").body(nothing()).expect("a request");
    let (status, _) = text(&mut sender, tunnel).await;
    assert_eq!(status, 405);
    assert_eq!(program.n_accepted(), 0);
}

#[tokio::test]
async fn a_stream_that_is_reset_frees_its_place_alone() {
    let program = Program::http(|request| async move {
        if request.uri().path() == "/slow" {
            std::future::pending::<()>().await;
        }
        answer("quick")
    })
    .await;
    let house = House::with_one(HttpOptions::default(), &program).await;
    let sender = sender(&house).await;
    let slow = get("http://web.localhost/slow").body(nothing()).expect("a request");
    let mut other = sender.clone();
    let asking = tokio::spawn(async move { other.send_request(slow).await.map(drop) });
    house.until_load(1, (1, 0)).await;
    asking.abort();
    house.until_idle(1).await;
    let quick = get("http://web.localhost/").body(nothing()).expect("a request");
    assert_eq!(text(&mut sender.clone(), quick).await.0, 200);
}

#[tokio::test]
async fn a_program_that_dies_in_its_answer_resets_the_stream_alone() {
    let program = Program::raw(|mut stream| async move {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let mut head = [0; 4096];
        drop(stream.read(&mut head).await);
        drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhalf").await);
    })
    .await;
    let house = House::with_one(HttpOptions::default(), &program).await;
    let mut sender = sender(&house).await;
    for _ in 0..2 {
        let request = get("http://web.localhost/").body(nothing()).expect("a request");
        let answer = in_time(sender.send_request(request)).await.expect("an answer");
        let body = in_time(answer.into_body().collect()).await;
        assert!(body.is_err(), "it must not look whole");
    }
    house.until_idle(1).await;
}

#[tokio::test]
async fn visitors_are_told_to_go_away_before_the_process_ends() {
    let (told, mut tell) = tokio::sync::mpsc::channel::<()>(1);
    let told = Arc::new(tokio::sync::Mutex::new(told));
    let release = Arc::new(tokio::sync::Notify::new());
    let held = Arc::clone(&release);
    let program = Program::http(move |request| {
        let (held, told) = (Arc::clone(&held), Arc::clone(&told));
        async move {
            if request.uri().path() != "/held" {
                return answer("at once");
            }
            told.lock().await.send(()).await.expect("the test listens");
            held.notified().await;
            answer("finished")
        }
    })
    .await;
    let house = House::with_one(HttpOptions::default(), &program).await;
    let mut sender = sender(&house).await;
    let request = get("http://web.localhost/held").body(nothing()).expect("a request");
    let mut other = sender.clone();
    let asking = tokio::spawn(async move { text(&mut other, request).await });
    in_time(tell.recv()).await.expect("it is asked");
    house.drain.begin();
    in_time(async {
        // New requests are taken until it is told.
        let next = || get("http://web.localhost/").body(nothing()).expect("a request");
        while sender.send_request(next()).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    release.notify_one();
    assert_eq!(in_time(asking).await.expect("it ends"), (200, "finished".to_owned()));
}
