//! A server of HTTP/1.1, h2 without TLS and WebSockets.
//!
//! Each answer carries `x-machine`, and `x-run` (when this process began, in nanoseconds of Unix
//! time). What is asked for is said by the path:
//!
//! * `/echo`: the body comes back as it arrives.
//! * `/events`: server-sent events, one for the count now and for each `/bump` until it is three.
//! * `/bump`: adds one to the count, and says it.
//! * `/socket`: a WebSocket that says every message back.
//! * `/large?N`: that many bytes.
//! * `/hang`: never an answer. `/cut`: the connection ends instead. `/die`: the program ends.
//! * anything else: the request as it was seen.
//!
//! A request may order headers of its answer: `answer-with: NAME: VALUE` (not of an answer to a
//! replayed request, so that replays end), `answer-always: NAME: VALUE`, and `answer-json: TEXT` for
//! an order of replay in the JSON form.

use crate::machine;
use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, UPGRADE};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustix::time::{ClockId, clock_gettime};
use std::fmt::Write as _;
use std::io;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

type Answer = Response<UnsyncBoxBody<Bytes, hyper::Error>>;

/// Count at which a stream of events ends.
const LAST_COUNT: u32 = 3;

/// What all connections share.
struct Server {
    machine: String,
    run: String,
    count: watch::Sender<u32>,
}

/// Serves whoever connects.
pub(crate) async fn serve(listener: TcpListener) -> io::Result<()> {
    let born = clock_gettime(ClockId::Realtime);
    let run = format!("{}{:09}", born.tv_sec, born.tv_nsec);
    let server = Arc::new(Server { machine: machine(), run, count: watch::Sender::new(0) });
    loop {
        let (stream, _from) = listener.accept().await?;
        tokio::spawn(converse(Arc::clone(&server), stream));
    }
}

async fn converse(server: Arc<Server>, stream: TcpStream) {
    let service = service_fn(move |request| answer(Arc::clone(&server), request));
    let builder = auto::Builder::new(TokioExecutor::new());
    // A visitor that goes away, or was cut off, is no reason to say anything.
    drop(builder.serve_connection_with_upgrades(TokioIo::new(stream), service).await);
}

async fn answer(server: Arc<Server>, request: Request<Incoming>) -> io::Result<Answer> {
    let asked = request.headers().clone();
    let mut answer = match request.uri().path() {
        "/echo" => Response::new(request.into_body().boxed_unsync()),
        "/events" => events(server.count.subscribe()),
        "/bump" => bump(&server.count),
        "/socket" => socket(request),
        "/large" => large(request.uri().query()),
        "/hang" => std::future::pending().await,
        "/cut" => return Err(io::Error::other("as it was asked for")),
        "/die" => std::process::abort(),
        _ => seen(request).await,
    };
    order(&asked, &mut answer);
    let headers = answer.headers_mut();
    for (name, text) in [("x-machine", &server.machine), ("x-run", &server.run)] {
        headers.insert(name, HeaderValue::try_from(text).map_err(io::Error::other)?);
    }
    Ok(answer)
}

/// What the request says about its answer.
fn order(asked: &HeaderMap, answer: &mut Answer) {
    let is_replayed =
        asked.contains_key("fly-replay-src") || asked.contains_key("fly-replay-failed");
    if !is_replayed && let Some(json) = asked.get("answer-json") {
        *answer = text(json.to_str().unwrap_or_default().to_owned());
        let kind = HeaderValue::from_static("application/vnd.fly.replay+json");
        answer.headers_mut().insert(CONTENT_TYPE, kind);
    }
    let with = asked.get_all("answer-with").iter().filter(|_| !is_replayed);
    for line in with.chain(asked.get_all("answer-always")) {
        let pair = line.to_str().ok().and_then(|line| line.split_once(": "));
        let Some((name, value)) = pair else { continue };
        if let (Ok(name), Ok(value)) =
            (name.parse::<HeaderName>(), HeaderValue::try_from(value.to_owned()))
        {
            answer.headers_mut().append(name, value);
        }
    }
}

fn text(text: impl Into<Bytes>) -> Answer {
    Response::new(Full::new(text.into()).map_err(|never| match never {}).boxed_unsync())
}

/// Version, method, target, headers and body of the request.
async fn seen(request: Request<Incoming>) -> Answer {
    let (parts, body) = request.into_parts();
    let mut said = format!("{:?} {} {}\n", parts.version, parts.method, parts.uri);
    for (name, value) in &parts.headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        writeln!(said, "{name}: {value}").expect("a string takes all text");
    }
    said.push('\n');
    match body.collect().await {
        Ok(body) => said.push_str(&String::from_utf8_lossy(&body.to_bytes())),
        Err(error) => writeln!(said, "broken: {error}").expect("a string takes all text"),
    }
    let mut answer = text(said);
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    answer
}

fn large(query: Option<&str>) -> Answer {
    let n_bytes = query.and_then(|query| query.parse().ok()).unwrap_or(0);
    let mut answer = text(vec![b'x'; n_bytes]);
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    answer
}

fn bump(count: &watch::Sender<u32>) -> Answer {
    let mut now = 0;
    count.send_modify(|count| {
        *count += 1;
        now = *count;
    });
    text(format!("{now}\n"))
}

fn events(mut count: watch::Receiver<u32>) -> Answer {
    count.mark_changed();
    let events = futures_util::stream::unfold(Some(count), |count| async {
        let mut count = count?;
        count.changed().await.ok()?;
        let now = *count.borrow_and_update();
        let event = Frame::data(Bytes::from(format!("data: {now}\n\n")));
        Some((Ok::<_, hyper::Error>(event), (now < LAST_COUNT).then_some(count)))
    });
    let mut answer = Response::new(UnsyncBoxBody::new(StreamBody::new(events)));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    answer
}

fn socket(mut request: Request<Incoming>) -> Answer {
    let key =
        request.headers().get("sec-websocket-key").map(|key| derive_accept_key(key.as_bytes()));
    let Some(Ok(accept)) = key.map(HeaderValue::try_from) else {
        let mut answer = text("a WebSocket is asked for with a key\n");
        *answer.status_mut() = StatusCode::BAD_REQUEST;
        return answer;
    };
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let Ok(stream) = upgrade.await else { return };
        let stream = TokioIo::new(stream);
        let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
        while let Some(Ok(message)) = socket.next().await {
            let is_said = message.is_text() || message.is_binary();
            if is_said && socket.send(message).await.is_err() {
                return;
            }
        }
    });
    let mut answer = text("");
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = answer.headers_mut();
    headers.insert("sec-websocket-accept", accept);
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    answer
}
