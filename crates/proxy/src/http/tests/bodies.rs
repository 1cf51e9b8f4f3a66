//! Bodies stream both ways, and whoever goes away is noticed.

use super::house::{DEADLINE, House, in_time};
use super::program::{Program, answer, piece, streamed};
use super::raw::Raw;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::HeaderMap;
use hyper::body::Frame;
use model::spec::service::HttpOptions;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{Mutex, mpsc};

type Pieces = mpsc::Receiver<std::io::Result<Frame<Bytes>>>;

/// A program whose one answer has the body that the test makes.
async fn teller(pieces: Pieces) -> Program {
    let pieces = Arc::new(Mutex::new(Some(pieces)));
    Program::http(move |_request| {
        let pieces = Arc::clone(&pieces);
        async move { streamed(pieces.lock().await.take().expect("one request")) }
    })
    .await
}

fn data(text: &'static str) -> std::io::Result<Frame<Bytes>> {
    Ok(Frame::data(Bytes::from_static(text.as_bytes())))
}

#[tokio::test]
async fn events_arrive_one_by_one() {
    let (tell, pieces) = mpsc::channel(1);
    let program = teller(pieces).await;
    let house = House::with_one(HttpOptions::default(), &program).await;
    let mut raw = Raw::to(&house).await;
    raw.say("GET / HTTP/1.1\r\nHost: web.localhost\r\n\r\n").await;
    for event in ["data: 1\n\n", "data: 2\n\n", "data: 3\n\n"] {
        tell.send(data(event)).await.expect("the program waits");
        raw.hear_until(event).await;
    }
    assert_eq!(house.load(1), (1, 0));
    drop(tell);
    raw.hear_until("\r\n0\r\n\r\n").await;
    house.until_idle(1).await;
}

#[tokio::test]
async fn uploads_arrive_piece_by_piece_and_trailers_behind_them() {
    let (told, mut tell) = mpsc::channel(8);
    let program = Program::http(move |mut request| {
        let told = told.clone();
        async move {
            while let Some(frame) = request.body_mut().frame().await {
                let frame = frame.expect("a frame");
                let text = match frame.into_data() {
                    Ok(data) => String::from_utf8_lossy(&data).into_owned(),
                    Err(frame) => format!("{:?}", frame.into_trailers().expect("trailers")),
                };
                told.send(text).await.expect("the test listens");
            }
            answer("done")
        }
    })
    .await;
    let house = House::with_one(HttpOptions::default(), &program).await;
    let mut raw = Raw::to(&house).await;
    raw.say(
        "POST / HTTP/1.1\r\nHost: web.localhost\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n",
    )
    .await;
    for piece in ["one", "two"] {
        raw.say(format!("3\r\n{piece}\r\n")).await;
        assert_eq!(in_time(tell.recv()).await.expect("a piece"), piece);
    }
    raw.say("0\r\nx-sum: 9\r\n\r\n").await;
    assert_eq!(in_time(tell.recv()).await.expect("trailers"), "{\"x-sum\": \"9\"}");
    let (_, body) = raw.hear_answer().await;
    assert_eq!(body, "done");
}

#[tokio::test]
async fn trailers_of_answers_reach_those_who_take_them() {
    let (tell, pieces) = mpsc::channel(4);
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "9".parse().expect("a value"));
    tell.send(data("text")).await.expect("room");
    tell.send(Ok(Frame::trailers(trailers))).await.expect("room");
    drop(tell);
    let pieces = Arc::new(Mutex::new(Some(pieces)));
    let program = Program::http(move |_request| {
        let pieces = Arc::clone(&pieces);
        async move {
            let mut answer = streamed(pieces.lock().await.take().expect("one request"));
            answer.headers_mut().insert("trailer", "x-sum".parse().expect("a value"));
            answer
        }
    })
    .await;
    let house = House::with_one(HttpOptions::default(), &program).await;
    let mut raw = Raw::to(&house).await;
    raw.say("GET / HTTP/1.1\r\nHost: web.localhost\r\nTE: trailers\r\n\r\n").await;
    raw.hear_until("\r\n0\r\nx-sum: 9\r\n\r\n").await;
}

#[tokio::test]
async fn a_body_is_invited_once_there_is_somebody_for_it() {
    let program = Program::mirror().await;
    let house = House::with_one(HttpOptions::default(), &program).await;
    let mut raw = Raw::to(&house).await;
    raw.say("POST / HTTP/1.1\r\nHost: web.localhost\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        .await;
    raw.hear_until("HTTP/1.1 100 Continue\r\n\r\n").await;
    raw.say("hi").await;
    let (head, body) = raw.hear_answer().await;
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert!(body.ends_with("\nhi") && !body.contains("expect"), "{body}");
    raw.say("POST / HTTP/1.1\r\nHost: web.localhost\r\nContent-Length: 2\r\nExpect: cake\r\n\r\n")
        .await;
    let (head, _) = raw.hear_answer().await;
    assert!(head.starts_with("http/1.1 417"), "{head}");
}

#[tokio::test]
async fn large_bodies_pass_whole_both_ways() {
    let program = Program::http(|request| async move {
        let (tell, pieces) = mpsc::channel(4);
        let mut body = request.into_body();
        tokio::spawn(async move {
            while let Some(Ok(frame)) = body.frame().await {
                if tell.send(Ok(frame)).await.is_err() {
                    return;
                }
            }
        });
        streamed(pieces)
    })
    .await;
    let house = House::with_one(HttpOptions::default(), &program).await;
    let n_bytes = 16 * 1024 * 1024_usize;
    let stream = house.connect().await;
    let (mut read, mut write) = stream.into_split();
    let head = format!(
        "POST / HTTP/1.1\r\nHost: web.localhost\r\nConnection: close\r\nContent-Length: {n_bytes}\r\n\r\n"
    );
    let upload = tokio::spawn(async move {
        write.write_all(head.as_bytes()).await.expect("the head");
        let block: Vec<u8> = (0..=255).cycle().take(64 * 1024).collect();
        for _ in 0..n_bytes / block.len() {
            write.write_all(&block).await.expect("a block");
        }
        write
    });
    let mut seen = Vec::new();
    in_time(read.read_to_end(&mut seen)).await.expect("all of it");
    in_time(upload).await.expect("it was taken");
    assert!(seen.len() > n_bytes, "{} bytes", seen.len());
    assert!(seen.ends_with(b"\r\n0\r\n\r\n"));
}

/// A program that never answers, and tells when its visitor's connection has ended.
async fn listener() -> (Program, mpsc::Receiver<&'static str>) {
    let (told, tell) = mpsc::channel(4);
    let program = Program::raw(move |mut stream| {
        let told = told.clone();
        async move {
            let mut bytes = [0; 4096];
            while matches!(stream.read(&mut bytes).await, Ok(1..)) {}
            told.send("ended").await.expect("the test listens");
        }
    });
    (program.await, tell)
}

#[tokio::test]
async fn a_visitor_that_goes_away_frees_its_place_and_its_program() {
    let (program, mut tell) = listener().await;
    let house = House::with_one(HttpOptions::default(), &program).await;
    let mut raw = Raw::to(&house).await;
    raw.say("GET / HTTP/1.1\r\nHost: web.localhost\r\n\r\n").await;
    house.until_load(1, (1, 0)).await;
    drop(raw);
    house.until_idle(1).await;
    assert_eq!(in_time(tell.recv()).await, Some("ended"));
}

#[tokio::test]
async fn a_visitor_that_goes_away_in_an_answer_frees_its_place() {
    let (tell, pieces) = mpsc::channel(1);
    let program = teller(pieces).await;
    let house = House::with_one(HttpOptions::default(), &program).await;
    let mut raw = Raw::to(&house).await;
    raw.say("GET / HTTP/1.1\r\nHost: web.localhost\r\n\r\n").await;
    tell.send(data("begun")).await.expect("the program waits");
    raw.hear_until("begun").await;
    drop(raw);
    house.until_idle(1).await;
    in_time(tell.closed()).await;
}

#[tokio::test]
async fn a_visitor_that_closes_its_half_after_the_request_is_gone() {
    let (program, mut tell) = listener().await;
    let house = House::with_one(HttpOptions::default(), &program).await;
    let mut raw = Raw::to(&house).await;
    raw.say("GET / HTTP/1.1\r\nHost: web.localhost\r\n\r\n").await;
    house.until_load(1, (1, 0)).await;
    raw.stream.shutdown().await.expect("its half");
    assert_eq!(in_time(tell.recv()).await, Some("ended"));
    house.until_idle(1).await;
}

#[tokio::test]
async fn a_run_that_ends_ends_its_answers() {
    let (tell, pieces) = mpsc::channel(1);
    let program = teller(pieces).await;
    let house = House::with_one(HttpOptions::default(), &program).await;
    let mut raw = Raw::to(&house).await;
    raw.say("GET / HTTP/1.1\r\nHost: web.localhost\r\n\r\n").await;
    tell.send(data("begun")).await.expect("the program waits");
    raw.hear_until("begun").await;
    let machine = program.machine(1, "web", HttpOptions::default());
    let asleep = proxy_proto::RouteState::Asleep;
    let next = proxy_proto::MachineRoute { generation: 2, state: asleep, ..machine };
    house.desk.with(|book, now| book.apply_machine(next, now));
    let heard = raw.hear_all().await;
    assert!(!heard.ends_with("0\r\n\r\n"), "it must not look whole: {heard}");
}

#[tokio::test]
async fn a_program_that_takes_nothing_slows_its_visitor_down() {
    let program = Program::raw(|stream| async move {
        tokio::time::sleep(DEADLINE).await;
        drop(stream);
    })
    .await;
    let house = House::with_one(HttpOptions::default(), &program).await;
    let mut raw = Raw::to(&house).await;
    raw.say("POST / HTTP/1.1\r\nHost: web.localhost\r\nContent-Length: 999999999\r\n\r\n").await;
    let block = vec![0; 1024 * 1024];
    let mut n_taken = 0;
    while let Ok(Ok(())) =
        tokio::time::timeout(Duration::from_millis(500), raw.stream.write_all(&block)).await
    {
        n_taken += 1;
        assert!(n_taken < 64, "it is not read without end");
    }
}

#[tokio::test]
async fn h2_visitors_and_h2_programs_stream_too() {
    let program = Program::http2(|request| async move {
        let (tell, pieces) = mpsc::channel(4);
        let mut body = request.into_body();
        tokio::spawn(async move {
            while let Some(Ok(frame)) = body.frame().await {
                tell.send(Ok(frame)).await.expect("the visitor reads");
            }
        });
        streamed(pieces)
    })
    .await;
    let http = HttpOptions { is_h2_backend: true, ..HttpOptions::default() };
    let house = House::with_one(http, &program).await;
    let mut sender = super::h2::sender(&house).await;
    let (tell, mut pieces) = mpsc::channel(1);
    let body = futures_util::stream::poll_fn(move |cx| pieces.poll_recv(cx));
    let body = http_body_util::BodyExt::boxed(http_body_util::StreamBody::new(body));
    let request = hyper::Request::post("http://web.localhost/").header("te", "trailers");
    let answering = sender.send_request(request.body(body).expect("a request"));
    let mut body = in_time(answering).await.expect("an answer").into_body();
    for text in ["one", "two"] {
        tell.send(data(text)).await.expect("the proxy reads");
        assert_eq!(piece(&mut body).await.expect("a piece").expect("data"), text);
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().expect("a value"));
    tell.send(Ok(Frame::trailers(trailers.clone()))).await.expect("the proxy reads");
    drop(tell);
    let last = in_time(body.frame()).await.expect("trailers").expect("a frame");
    assert_eq!(last.into_trailers().expect("trailers"), trailers);
    house.until_idle(1).await;
}
