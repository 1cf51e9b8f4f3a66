//! Sending a request to a program, and waiting for its answer to begin.

use super::flow::Lease;
use super::page::Page;
use super::pool::{Key, Pool, Sender};
use super::pulse::Pulse;
use super::refusal::Refusal;
use super::tape::{Tape, TapedBody};
use crate::desk::{Admitted, RunPhase};
use crate::turned::Turned;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::header::HeaderMap;
use hyper::{Method, Request, Response, Uri};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use model::spec::service::Counts;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Most header lines of an answer.
const ANSWER_HEADERS_MAX: usize = 256;

/// Most connections that are tried because one that rested had ended.
const STALE_MAX: usize = 3;

/// What is sent.
#[derive(Debug)]
pub(crate) struct Errand<'a> {
    /// Method.
    pub(crate) method: &'a Method,
    /// Path with query; with h2 also scheme and authority.
    pub(crate) uri: &'a Uri,
    /// Ready for the program.
    pub(crate) headers: &'a HeaderMap,
    /// Body.
    pub(crate) tape: &'a Arc<Tape>,
    /// Beats with each byte of the request.
    pub(crate) pulse: &'a Pulse,
    /// Sending it twice does no harm.
    pub(crate) is_idempotent: bool,
    /// It needs a connection of its own that speaks HTTP/1.1.
    pub(crate) is_upgrade: bool,
    /// Longest silence.
    pub(crate) idle: Duration,
    /// Longest wait for a connection.
    pub(crate) deadline: Instant,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// No connection; see [`Turned::is_gone`].
    Turned(Turned),
    /// Instead of an answer.
    Page(Page),
}

impl From<Page> for Failure {
    fn from(page: Page) -> Self {
        Self::Page(page)
    }
}

/// How one try ended.
enum Tried {
    Answered(Box<Response<Incoming>>, Sender),
    /// The connection had ended before it took the request; nothing of it was read by anybody.
    Stale,
    /// The connection ended and the request may have been read.
    Broken(hyper::Error),
}

impl Errand<'_> {
    /// Sends it to the machine to which it was admitted.
    ///
    /// # Errors
    /// [`Failure`].
    pub(crate) async fn run(
        &self,
        admitted: &Admitted,
        pool: &Arc<Pool>,
    ) -> Result<(Response<Incoming>, Lease), Failure> {
        let is_h2 = admitted.port.http.is_h2_backend && !self.is_upgrade;
        let pools = admitted.service.concurrency.counts == Counts::Requests && !self.is_upgrade;
        let key = pools.then(|| Key {
            machine: admitted.route.machine.clone(),
            run: admitted.run.clone(),
            port: admitted.service.internal_port,
            is_h2,
            thread: std::thread::current().id(),
        });
        for _ in 0..STALE_MAX {
            let Some(sender) = rested(pool, key.as_ref()).await else { break };
            match self.attempt(sender, admitted).await? {
                Tried::Answered(response, sender) => {
                    return Ok(answered(*response, sender, pool, key));
                }
                Tried::Stale => {}
                // Another try only where nothing of a body was sent and twice does no harm.
                Tried::Broken(_) if self.is_idempotent && !self.tape.is_touched() => {}
                Tried::Broken(error) => return Err(self.broken(&error).into()),
            }
        }
        let sender = self.connect(admitted, is_h2).await?;
        match self.attempt(sender, admitted).await? {
            Tried::Answered(response, sender) => Ok(answered(*response, sender, pool, key)),
            Tried::Stale => Err(closed_early().into()),
            Tried::Broken(error) => Err(self.broken(&error).into()),
        }
    }

    async fn connect(&self, admitted: &Admitted, is_h2: bool) -> Result<Sender, Failure> {
        let stream = admitted.connect(self.deadline).await.map_err(Failure::Turned)?;
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection to a program waits to fill packets");
        }
        let io = TokioIo::new(stream);
        let opened = if is_h2 { open_http2(io).await } else { open_http1(io).await };
        opened.map_err(|error| {
            tracing::debug!(%error, machine = %admitted.route.machine, "no handshake");
            Page::bad_gateway("backend_handshake", "the program closed the connection at once")
                .fly("PU01")
                .into()
        })
    }

    async fn attempt(&self, sender: Sender, admitted: &Admitted) -> Result<Tried, Page> {
        let mut request = Request::new(self.tape.play());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        let mut phase = admitted.place.phase();
        if *phase.borrow() == RunPhase::Ended {
            return Err(ended_early());
        }
        let ended = phase.wait_for(|phase| *phase == RunPhase::Ended);
        self.pulse.touch();
        tokio::select! {
            biased;
            tried = send(sender, request) => Ok(tried),
            () = self.pulse.stopped(self.idle) => Err(self.silent()),
            // An error says that the record is gone, and so is the run.
            _ = ended => Err(ended_early()),
        }
    }

    /// Nobody moved: whose turn it was.
    fn silent(&self) -> Page {
        if self.tape.is_done() { Page::timeout() } else { Refusal::BodyTimeout.into() }
    }

    fn broken(&self, error: &hyper::Error) -> Page {
        if self.tape.has_failed() {
            return Refusal::BadChunk.into();
        }
        tracing::debug!(%error, "a program's answer cannot be read");
        if error.is_parse() {
            return Page::bad_gateway("backend_malformed", "the program's answer is not HTTP")
                .fly("PU04");
        }
        closed_early()
    }
}

fn ended_early() -> Page {
    Page::bad_gateway("machine_ended", "the machine ended before it answered").fly("PU03")
}

fn closed_early() -> Page {
    let message = "the program closed the connection before it answered";
    Page::bad_gateway("backend_closed", message)
}

async fn rested(pool: &Pool, key: Option<&Key>) -> Option<Sender> {
    pool.take(key?).await
}

fn answered(
    response: Response<Incoming>,
    sender: Sender,
    pool: &Arc<Pool>,
    key: Option<Key>,
) -> (Response<Incoming>, Lease) {
    (response, Lease { sender, home: key.map(|key| (Arc::clone(pool), key)) })
}

async fn send(mut sender: Sender, request: Request<TapedBody>) -> Tried {
    let sent = match &mut sender {
        Sender::Http1(sender) => sender.try_send_request(request).await,
        Sender::Http2(sender) => sender.try_send_request(request).await,
    };
    match sent {
        Ok(response) => Tried::Answered(Box::new(response), sender),
        Err(mut error) => match error.take_message() {
            Some(_unsent) => Tried::Stale,
            None => Tried::Broken(error.into_error()),
        },
    }
}

async fn open_http1(io: TokioIo<tokio::net::TcpStream>) -> Result<Sender, hyper::Error> {
    let mut builder = http1::Builder::new();
    builder.max_headers(ANSWER_HEADERS_MAX);
    let (sender, connection) = builder.handshake(io).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "a connection to a program broke");
        }
    });
    Ok(Sender::Http1(sender))
}

async fn open_http2(io: TokioIo<tokio::net::TcpStream>) -> Result<Sender, hyper::Error> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.timer(TokioTimer::new());
    let (sender, connection) = builder.handshake(io).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to a program broke");
        }
    });
    Ok(Sender::Http2(sender))
}
