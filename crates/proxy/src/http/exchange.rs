//! One request, from its arrival to the answer: a machine, its answer, perhaps another machine.

use super::account::Account;
use super::arrival::{Arrival, Wants};
use super::backend::{Errand, Failure};
use super::connection::Connection;
use super::flow::AnswerBody;
use super::id::RequestId;
use super::page::Page;
use super::pulse::Pulse;
use super::replaying::{Replays, Round};
use super::reply::Reply;
use super::rules::{PREFERRED_UNAVAILABLE, ToApp};
use super::tape::Tape;
use crate::desk::{Admitted, Ask, Desk};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, UPGRADE};
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Request, Response, StatusCode, Uri};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Longest time a request is held until a machine is found. Source: machines-api 4.3.
const HOLD_MAX: Duration = Duration::from_secs(60);

/// Longest silence of a request, if its port says nothing. Source: machines-api 4.6.
pub(crate) const IDLE_DEFAULT: Duration = Duration::from_secs(60);

/// How often another machine is asked for because one ended before it took the request.
const GONE_MAX: u32 = 2;

const SEC_WEBSOCKET_KEY: HeaderName = HeaderName::from_static("sec-websocket-key");

/// A request under way.
#[derive(Debug)]
pub(crate) struct Exchange<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) arrival: Arrival,
    pub(crate) tape: Arc<Tape>,
    pub(crate) pulse: Arc<Pulse>,
    pub(crate) id: RequestId,
    /// The visitor's end of a WebSocket.
    pub(crate) switch: Option<OnUpgrade>,
    deadline: Instant,
    at_us: u64,
}

impl<'a> Exchange<'a> {
    /// Reads `request`.
    ///
    /// # Errors
    /// [`Page`] for what is not to be asked of any program.
    pub(crate) fn begin(
        connection: &'a Connection,
        mut request: Request<Incoming>,
        id: RequestId,
    ) -> Result<Self, Page> {
        let switch = request
            .extensions()
            .get::<OnUpgrade>()
            .is_some()
            .then(|| hyper::upgrade::on(&mut request));
        let (arrival, body) = Arrival::read(request)?;
        let pulse = Arc::new(Pulse::new());
        let body = (arrival.wants == Wants::Answer).then_some(body);
        let tape = Tape::new(body, connection.desk.http().budget(), &pulse);
        let hold = arrival.hold().map_or(HOLD_MAX, |hold| hold.min(HOLD_MAX));
        let (deadline, at_us) = (Instant::now() + hold, model::clock::now().0 * 1000);
        Ok(Self { connection, arrival, tape, pulse, id, switch, deadline, at_us })
    }

    /// What it asks for, for the log.
    pub(crate) fn asked(&self) -> (String, String, String) {
        let method = self.arrival.parts.method.to_string();
        let path = self.arrival.parts.uri.path();
        (method, self.arrival.host_name().to_owned(), path.to_owned())
    }

    /// The answer.
    ///
    /// # Errors
    /// [`Page`] is answered instead.
    pub(crate) async fn run(
        mut self,
        account: &mut Option<Box<Account>>,
    ) -> Result<Response<AnswerBody>, Page> {
        if let Some(location) = self.forced_https() {
            return Ok(super::page::redirect(&location));
        }
        let mut round = Round::first(self.first_ask()?);
        let mut replays = Replays::default();
        loop {
            let mut reply = match self.ask(&round, account).await {
                Ok(reply) => reply,
                Err(page) => {
                    round = replays.fall_back(page, self.deadline)?;
                    continue;
                }
            };
            match reply.order(self.idle(&reply.admitted)).await? {
                None => return reply.pass_on(&mut self, account),
                Some(order) => {
                    let network_of = |app: &str| self.desk().network_of(app);
                    let is_whole = self.tape.is_whole();
                    round = replays.next(order, &reply.admitted, &round, is_whole, network_of)?;
                    round.ask.deadline = round.ask.deadline.min(self.deadline);
                }
            }
        }
    }

    fn desk(&self) -> &Desk {
        &self.connection.desk
    }

    fn forced_https(&self) -> Option<String> {
        let visitor = &self.connection.visitor;
        if visitor.is_tls {
            return None;
        }
        let view = self.desk().now_config(visitor.port, self.arrival.host_name())?;
        view.port.is_https_forced.then(|| self.arrival.https_location(visitor))
    }

    fn first_ask(&self) -> Result<Ask, Page> {
        let wishes = self.arrival.wishes().map_err(|id| {
            let message = format!("`fly-force-instance-id` names no machine: `{id}`");
            Page::new(StatusCode::NOT_FOUND, "machine_not_routed", message)
                .fly("PR02")
                .hint("a machine id has 14 lower-case hex digits")
        })?;
        Ok(Ask {
            port: self.connection.visitor.port,
            target: self.arrival.target(),
            wishes,
            request: Some(self.arrival.knock()),
            deadline: self.deadline,
        })
    }

    /// Longest silence that the port of `admitted` allows.
    pub(crate) fn idle(&self, admitted: &Admitted) -> Duration {
        admitted.port.http.idle_timeout.map_or(IDLE_DEFAULT, model::DurationMs::to_std)
    }

    /// Finds a machine and asks it; another one if it ends before it takes the request.
    async fn ask(&self, round: &Round, account: &mut Option<Box<Account>>) -> Result<Reply, Page> {
        let mut n_gone = 0;
        loop {
            let admitted = self.desk().admit(&round.ask).await?;
            if let Some(account) = account {
                account.admitted(&admitted);
            }
            match self.send(round, admitted).await {
                Ok(reply) => return Ok(reply),
                Err(Failure::Page(page)) => return Err(page),
                Err(Failure::Turned(turned)) if turned.is_gone() && n_gone < GONE_MAX => {
                    n_gone += 1
                }
                Err(Failure::Turned(turned)) => return Err(turned.into()),
            }
        }
    }

    async fn send(&self, round: &Round, admitted: Admitted) -> Result<Reply, Failure> {
        let is_upgrade = self.arrival.wants != Wants::Answer;
        let headers = self.headers(round, &admitted)?;
        let is_streamed = self.arrival.wants == Wants::StreamedWebSocket;
        let method = if is_streamed { &Method::GET } else { &self.arrival.parts.method };
        let uri = self.uri(round, &admitted, is_upgrade)?;
        let errand = Errand {
            method,
            uri: &uri,
            headers: &headers,
            tape: &self.tape,
            pulse: &self.pulse,
            is_idempotent: self.arrival.is_idempotent(),
            is_upgrade,
            idle: self.idle(&admitted),
            deadline: round.ask.deadline,
        };
        let (response, lease) = errand.run(&admitted, self.desk().http().pool()).await?;
        admitted.place.touch();
        Ok(Reply { response, lease, admitted })
    }

    fn headers(&self, round: &Round, admitted: &Admitted) -> Result<HeaderMap, Page> {
        let mut headers = self.arrival.parts.headers.clone();
        let to_app = ToApp {
            visitor: &self.connection.visitor,
            host: self.arrival.host_value.as_ref(),
            is_h2: self.arrival.is_h2(),
            region: self.desk().region(),
            id: &self.id,
            at_us: self.at_us,
        };
        to_app.apply(&mut headers).map_err(|error| {
            tracing::warn!(%error, "a header for a program cannot be written");
            Page::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "the request cannot be passed on",
            )
        })?;
        let wished = round.ask.wishes.prefer_instance.as_ref();
        if let Some(wished) = wished.filter(|wished| **wished != admitted.route.machine)
            && let Ok(value) = HeaderValue::try_from(wished.as_str())
        {
            headers.insert(PREFERRED_UNAVAILABLE, value);
        }
        round.change(&mut headers);
        if self.arrival.wants != Wants::Answer {
            headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
            headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        }
        if self.arrival.wants == Wants::StreamedWebSocket {
            headers.insert(SEC_WEBSOCKET_KEY, websocket_key());
        }
        Ok(headers)
    }

    /// Path with query; in h2 with scheme and host, as it has no header for that.
    fn uri(&self, round: &Round, admitted: &Admitted, is_upgrade: bool) -> Result<Uri, Page> {
        let path = round.path().unwrap_or_else(|| self.arrival.path_and_query());
        let is_h2 = admitted.port.http.is_h2_backend && !is_upgrade;
        let bad_path = |error| {
            tracing::debug!(%error, "a program wants a path that is none");
            Page::bad_gateway("replay_malformed", "the path of the replay is not valid").fly("PA03")
        };
        if !is_h2 {
            return Uri::try_from(path).map_err(bad_path);
        }
        let host = self.arrival.parts.headers.get(HOST).or(self.arrival.host_value.as_ref());
        let host = host.and_then(|host| host.to_str().ok()).filter(|host| !host.is_empty());
        let authority = host.map_or_else(|| admitted.route.v4.to_string(), str::to_owned);
        let builder = Uri::builder().scheme("http").authority(authority).path_and_query(path);
        builder.build().map_err(|error| {
            tracing::debug!(%error, "a request does not fit into h2");
            Page::new(StatusCode::BAD_REQUEST, "malformed_request", "the target is not valid")
        })
    }
}

/// A key as a client of ours sends it: h2 visitors send none (RFC 8441 section 5).
fn websocket_key() -> HeaderValue {
    use base64::Engine as _;
    let mut chance = [0; 16];
    if let Err(error) = getrandom::fill(&mut chance) {
        tracing::debug!(%error, "no randomness for a WebSocket");
    }
    let text = base64::engine::general_purpose::STANDARD.encode(chance);
    HeaderValue::try_from(text)
        .unwrap_or_else(|_impossible| HeaderValue::from_static("AAAAAAAAAAAAAAAAAAAAAA=="))
}
