//! One connection of a visitor: which HTTP it speaks, and until when.

use super::account::Account;
use super::exchange::{Exchange, IDLE_DEFAULT};
use super::flow::AnswerBody;
use super::guard::{Guard, Limits};
use super::head::{HEAD_MAX_BYTES, HEADERS_MAX};
use super::id::RequestId;
use super::notes::Notes;
use super::page::Page;
use super::refusal::Refusal;
use super::rules;
use super::tunnel::Tunnel;
use crate::desk::Desk;
use crate::visit::Visitor;
use crate::visit::drain::DrainToken;
use bytes::BytesMut;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, Version};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::time::Instant;

/// Longest time from the first byte of a head to its last, if the port says nothing.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// What h2 begins with (RFC 9113 section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Most streams of one h2 connection.
const STREAMS_MAX: u32 = 128;

/// What a stream of h2 may send ahead of its program, in bytes.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;

/// What all streams of a connection may send ahead.
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;

/// What is kept for a visitor that reads slowly, for each stream.
const SEND_BUFFER_BYTES: usize = 256 * 1024;

/// Pause between two signs of life that are asked of an h2 visitor, and longest wait for one.
const PING_EVERY: Duration = Duration::from_secs(20);

/// A connection on which nothing has ever come is closed so long after the process begins to end.
const FRESH_DRAIN: Duration = Duration::from_secs(1);

/// Silence after which an HTTP/1 connection that has served somebody is closed when the process ends:
/// closed at once, it would be under the next request of a visitor that cannot know.
const IDLE_DRAIN: Duration = Duration::from_secs(5);

/// Time for the answer of a program before its visitor's connection is given up as well.
const CUT_GRACE: Duration = Duration::from_secs(1);

/// Longest and shortest pause between two looks at what is silent.
const LOOK_MAX: Duration = Duration::from_secs(15);
const LOOK_MIN: Duration = Duration::from_millis(50);

/// What the requests of one connection share.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) desk: Desk,
    pub(crate) visitor: Arc<Visitor>,
    pub(crate) drain: DrainToken,
    notes: Arc<Notes>,
    /// The WebSocket that an HTTP/1 connection has become.
    switched: Mutex<Option<Tunnel>>,
    is_h2: bool,
}

/// Serves a connection until it ends.
pub(crate) async fn serve<S>(desk: Desk, visitor: Visitor, mut stream: S, mut drain: DrainToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let times = Times::of(&desk, &visitor);
    let begin = tokio::select! {
        begin = first_bytes(&mut stream, &visitor, &times) => begin,
        () = fresh_drain(&mut drain) => return,
    };
    let Some(begin) = begin else { return };
    let notes = Notes::new();
    let connection = Arc::new(Connection {
        desk,
        visitor: Arc::new(visitor),
        drain,
        notes: Arc::clone(&notes),
        switched: Mutex::new(None),
        is_h2: begin.is_h2,
    });
    if begin.is_h2 {
        let io = Guard::open(stream, begin.bytes, notes);
        Box::pin(serve_http2(&connection, io, times)).await;
    } else {
        let default_port = if connection.visitor.is_tls { 443 } else { 80 };
        let limits = Limits { head_timeout: times.head, default_port };
        let io = Guard::http1(stream, begin.bytes, notes, &limits);
        Box::pin(serve_http1(&connection, io, times)).await;
    }
}

/// How long what may last.
#[derive(Clone, Copy, Debug)]
struct Times {
    head: Duration,
    idle: Duration,
}

impl Times {
    /// Of the port, as far as it is known before a request names its host.
    fn of(desk: &Desk, visitor: &Visitor) -> Self {
        let view = desk.now_config(visitor.port, visitor.sni.as_deref().unwrap_or_default());
        let http = view.as_ref().map(|view| &view.port.http);
        let head = http.and_then(|http| http.headers_read_timeout);
        let idle = http.and_then(|http| http.idle_timeout);
        let or = |time: Option<model::DurationMs>, default| {
            time.map_or(default, model::DurationMs::to_std)
        };
        Self { head: or(head, HEAD_TIMEOUT), idle: or(idle, IDLE_DEFAULT) }
    }

    fn look(&self) -> Duration {
        (self.idle / 4).clamp(LOOK_MIN, LOOK_MAX)
    }
}

/// Returns some time after the process began to end.
async fn fresh_drain(drain: &mut DrainToken) {
    drain.begun().await;
    tokio::time::sleep(FRESH_DRAIN).await;
}

/// The begin of a connection.
struct Begin {
    bytes: BytesMut,
    is_h2: bool,
}

/// Reads until it is certain which HTTP it is; `None` when nothing comes.
async fn first_bytes<S>(stream: &mut S, visitor: &Visitor, times: &Times) -> Option<Begin>
where
    S: AsyncRead + Unpin,
{
    let mut bytes = BytesMut::with_capacity(4096);
    if visitor.alpn.as_deref() == Some("h2") {
        return Some(Begin { bytes, is_h2: true });
    }
    let first = tokio::time::timeout(times.idle, stream.read_buf(&mut bytes));
    if !matches!(first.await, Ok(Ok(1..))) {
        return None;
    }
    let until = Instant::now() + times.head;
    loop {
        let n_same = bytes.iter().zip(PREFACE).take_while(|(a, b)| a == b).count();
        if n_same == PREFACE.len() {
            return Some(Begin { bytes, is_h2: true });
        }
        if n_same < bytes.len() {
            return Some(Begin { bytes, is_h2: false });
        }
        match tokio::time::timeout_at(until, stream.read_buf(&mut bytes)).await {
            Ok(Ok(1..)) => {}
            // What is there is the begin of a head that never ends.
            _ => return None,
        }
    }
}

async fn serve_http1<S>(connection: &Arc<Connection>, io: Guard<S>, times: Times)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(|request| answer(connection, request));
    let mut builder = hyper::server::conn::http1::Builder::new();
    // One line more than the guard lets through, so that its word is the one that is heard.
    builder.max_headers(HEADERS_MAX + 1).max_buf_size(2 * HEAD_MAX_BYTES).half_close(false);
    let serving = builder.serve_connection(TokioIo::new(io), service).with_upgrades();
    {
        let mut serving = std::pin::pin!(serving);
        let watching = watch(connection, times, true);
        let left = left_idle(connection);
        tokio::pin!(watching, left);
        let mut is_draining = false;
        loop {
            tokio::select! {
                ended = &mut serving => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, peer = %connection.visitor.peer, "a visitor's connection broke");
                    }
                    break;
                }
                () = &mut watching => return,
                () = &mut left, if !is_draining => {
                    is_draining = true;
                    serving.as_mut().graceful_shutdown();
                }
            }
        }
    }
    let tunnel = connection.switched().take();
    if let Some(tunnel) = tunnel {
        tunnel.run().await;
    }
}

/// Returns when the process is about to end and the visitor has had nothing to ask for a while. One
/// that asks meanwhile is answered, and told that it was the last time.
async fn left_idle(connection: &Connection) {
    connection.drain.clone().begun().await;
    loop {
        let quiet_for = connection.notes.quiet_since().map_or(Duration::ZERO, |at| at.elapsed());
        let Some(rest) = IDLE_DRAIN.checked_sub(quiet_for).filter(|rest| !rest.is_zero()) else {
            return;
        };
        tokio::time::sleep(rest).await;
    }
}

async fn serve_http2<S>(connection: &Arc<Connection>, io: Guard<S>, times: Times)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let owned = Arc::clone(connection);
    let service = service_fn(move |request| {
        let connection = Arc::clone(&owned);
        async move { answer(&connection, request).await }
    });
    let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(SEND_BUFFER_BYTES)
        .max_header_list_size(u32::try_from(HEAD_MAX_BYTES).unwrap_or(u32::MAX))
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_EVERY)
        .enable_connect_protocol();
    let mut serving = std::pin::pin!(builder.serve_connection(TokioIo::new(io), service));
    let mut drain = connection.drain.clone();
    let watching = watch(connection, times, false);
    let left = async {
        left_idle(connection).await;
        // For the word that it should go, and what it said before it heard that.
        tokio::time::sleep(CUT_GRACE).await;
    };
    tokio::pin!(watching, left);
    let (mut is_draining, mut is_idle) = (false, false);
    loop {
        tokio::select! {
            ended = &mut serving => {
                if let Err(error) = ended {
                    tracing::debug!(%error, peer = %connection.visitor.peer, "a visitor's connection broke");
                }
                return;
            }
            () = &mut watching, if !is_idle => {
                is_idle = true;
                serving.as_mut().graceful_shutdown();
            }
            () = tokio::time::sleep(CUT_GRACE), if is_idle => return,
            // It was told to go, and has not gone.
            () = &mut left => return,
            () = drain.begun(), if !is_draining => {
                is_draining = true;
                serving.as_mut().graceful_shutdown();
            }
        }
    }
}

/// Returns when the connection is of no use any more: nothing is under way for too long, or, with
/// `is_single`, what is under way does not move. Cuts silent answers meanwhile.
async fn watch(connection: &Connection, times: Times, is_single: bool) {
    let notes = &connection.notes;
    loop {
        tokio::time::sleep(times.look()).await;
        let is_cut = notes.cut_silent();
        match notes.quiet_since() {
            Some(since) if since.elapsed() >= times.idle => return,
            Some(_) => {}
            None if is_cut && is_single => {
                tokio::time::sleep(CUT_GRACE).await;
                // It does not even take the end of its answer.
                if notes.quiet_since().is_none() {
                    return;
                }
            }
            None => {}
        }
        let has_begun = connection.drain.has_begun();
        if has_begun && !notes.has_served() && notes.silence() >= FRESH_DRAIN {
            return;
        }
    }
}

/// The answer to one request; never an error, as there is always something to say.
async fn answer(
    connection: &Arc<Connection>,
    request: Request<Incoming>,
) -> Result<Response<AnswerBody>, Infallible> {
    let (under_way, refused) = connection.notes.begin();
    let id = RequestId::draw(connection.desk.region());
    let is_http1 = request.version() != Version::HTTP_2;
    let protocol = if is_http1 { "http/1.1" } else { "h2" };
    let account = Account::open(&connection.desk, &connection.visitor, under_way, protocol);
    let mut account = Some(Box::new(account));
    let answered = match refused {
        Some(refusal) => Err(refusal.into()),
        None => Box::pin(exchange(connection, request, id.clone(), &mut account)).await,
    };
    let response = answered.unwrap_or_else(|page: Page| {
        let page = if connection.notes.is_body_bad() { Refusal::BadChunk.into() } else { page };
        if let Some(account) = &mut account {
            account.turned(&page);
        }
        own_answer(&page, is_http1, &id)
    });
    let response = if is_http1 { last_if_ending(connection, response) } else { response };
    let Some(mut account) = account else { return Ok(response) };
    account.answered(response.status().as_u16());
    Ok(response.map(|body| body.closing(account)))
}

/// The visitor is told to make another connection for its next request when the process is about to
/// end.
fn last_if_ending(
    connection: &Connection,
    mut response: Response<AnswerBody>,
) -> Response<AnswerBody> {
    let is_stream = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    if connection.drain.has_begun() && !is_stream {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

async fn exchange(
    connection: &Connection,
    request: Request<Incoming>,
    id: RequestId,
    account: &mut Option<Box<Account>>,
) -> Result<Response<AnswerBody>, Page> {
    let exchange = Exchange::begin(connection, request, id)?;
    if let Some(account) = account {
        account.asked(exchange.asked(), &exchange.tape);
    }
    exchange.run(account).await
}

fn own_answer(page: &Page, is_http1: bool, id: &RequestId) -> Response<AnswerBody> {
    let mut response = page.answer(is_http1);
    if let Err(error) = rules::add_own(response.headers_mut(), !is_http1, id) {
        tracing::warn!(%error, "a header of ours cannot be written");
    }
    response
}

impl Connection {
    fn switched(&self) -> std::sync::MutexGuard<'_, Option<Tunnel>> {
        self.switched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The visitor gets a tunnel: instead of its HTTP/1 connection, or on a stream of h2.
    pub(crate) fn tunnel(&self, tunnel: Tunnel) {
        if self.is_h2 {
            tokio::spawn(tunnel.run());
        } else {
            self.notes.open();
            *self.switched() = Some(tunnel);
        }
    }
}
