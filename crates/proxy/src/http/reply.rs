//! A program's answer: an order to ask another, a WebSocket, or something for the visitor.

use super::account::Account;
use super::arrival::Wants;
use super::exchange::Exchange;
use super::flow::{AnswerBody, Flow, FlowBody, Lease, Live};
use super::page::{DECISION, Page, text_value};
use super::replay::{self, Order};
use super::rules::to_visitor;
use super::timing::server_timing;
use super::tunnel::Tunnel;
use super::{gzip, rules};
use crate::desk::Admitted;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::header::{
    CONNECTION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING, UPGRADE,
};
use hyper::{Response, StatusCode};
use std::time::Duration;

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
const SEC_WEBSOCKET_ACCEPT: HeaderName = HeaderName::from_static("sec-websocket-accept");

/// An answer that has begun.
pub(crate) struct Reply {
    /// The answer.
    pub(crate) response: Response<Incoming>,
    /// Its connection.
    pub(crate) lease: Lease,
    /// Whose it is.
    pub(crate) admitted: Admitted,
}

impl Reply {
    /// The order in it, if it is one.
    ///
    /// # Errors
    /// [`Page`] for one that cannot be read.
    pub(crate) async fn order(&mut self, idle: Duration) -> Result<Option<Order>, Page> {
        let headers = self.response.headers();
        let order = if let Some(value) = headers.get(replay::HEADER) {
            let text = value.to_str().map_err(|_not_ascii| malformed("it is not ASCII"))?;
            Order::from_header(text)
        } else if is_json_order(headers) {
            let body = Limited::new(self.response.body_mut(), replay::JSON_MAX_BYTES).collect();
            let read = tokio::time::timeout(idle, body).await;
            let read = read.map_err(|_too_late| Page::timeout())?;
            let text = read.map_err(|error| malformed(&error.to_string()))?.to_bytes();
            Order::from_json(&text)
        } else {
            return Ok(None);
        };
        order.map(Some).map_err(|error| malformed(&error.to_string()))
    }

    /// The answer for the visitor.
    ///
    /// # Errors
    /// [`Page`] for one that no visitor should see.
    pub(crate) fn pass_on(
        mut self,
        exchange: &mut Exchange<'_>,
        account: &mut Option<Box<Account>>,
    ) -> Result<Response<AnswerBody>, Page> {
        exchange.tape.stop_keeping();
        let is_plain = self.response.headers().get_all(TRANSFER_ENCODING).iter().all(is_chunked);
        if !is_plain {
            let message = "the program's answer has a transfer encoding other than `chunked`";
            return Err(Page::bad_gateway("backend_malformed", message).fly("PU04"));
        }
        let has_switched = self.response.status() == StatusCode::SWITCHING_PROTOCOLS;
        let claims_stream = self.response.status().is_success()
            && exchange.arrival.wants == Wants::StreamedWebSocket;
        match exchange.switch.take() {
            Some(visitor) if has_switched && exchange.arrival.wants != Wants::Answer => {
                let program = hyper::upgrade::on(&mut self.response);
                self.switch(exchange, visitor, program, account)
            }
            _ if has_switched || claims_stream => {
                let message = "the program answered a handshake in a way that was not asked for";
                Err(Page::bad_gateway("backend_malformed", message).fly("PU04"))
            }
            _ => self.answer(exchange, account),
        }
    }

    fn answer(
        self,
        exchange: &Exchange<'_>,
        account: &Option<Box<Account>>,
    ) -> Result<Response<AnswerBody>, Page> {
        let idle = exchange.idle(&self.admitted);
        let Self { response, lease, admitted } = self;
        let (mut parts, body) = response.into_parts();
        finish_headers(&mut parts.headers, exchange, &admitted)?;
        let length = body.size_hint().exact();
        let asked = &exchange.arrival.parts;
        let flow = Flow::new(Live::new(body, admitted.place, lease), exchange.pulse.clone(), idle);
        if let Some(account) = account {
            account.under_way.watch(&flow);
        }
        let mut response = Response::from_parts(parts, AnswerBody::flow(FlowBody::new(flow)));
        if admitted.port.http.is_compressed
            && gzip::is_welcome(&asked.headers)
            && gzip::is_worth_it(&asked.method, &response, length)
        {
            gzip::mark(response.headers_mut());
            response = response.map(AnswerBody::compressed);
        }
        Ok(response)
    }

    fn switch(
        self,
        exchange: &Exchange<'_>,
        visitor: hyper::upgrade::OnUpgrade,
        program: hyper::upgrade::OnUpgrade,
        account: &mut Option<Box<Account>>,
    ) -> Result<Response<AnswerBody>, Page> {
        let mut headers = self.response.headers().clone();
        finish_headers(&mut headers, exchange, &self.admitted)?;
        let mut response = Response::new(AnswerBody::own(""));
        if exchange.arrival.wants == Wants::StreamedWebSocket {
            headers.remove(SEC_WEBSOCKET_ACCEPT);
        } else {
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
            headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        }
        *response.headers_mut() = headers;
        let Some(mut account) = account.take() else {
            return Err(Page::bad_gateway("internal", "the handshake was answered twice"));
        };
        account.answered(response.status().as_u16());
        let idle = exchange.idle(&self.admitted);
        let (place, drain) = (self.admitted.place, exchange.connection.drain.clone());
        exchange.connection.tunnel(Tunnel { visitor, program, place, idle, drain, account });
        Ok(response)
    }
}

/// Headers as the visitor sees them, with how the machine was woken.
fn finish_headers(
    headers: &mut HeaderMap,
    exchange: &Exchange<'_>,
    admitted: &Admitted,
) -> Result<(), Page> {
    let options = &admitted.port.http;
    if let Some(woken) = admitted.woken.as_ref().filter(|_woken| !options.is_pristine) {
        if let Ok(value) = HeaderValue::try_from(server_timing(woken)) {
            headers.append(SERVER_TIMING, value);
        }
        if let Ok(value) = text_value(&woken.decision) {
            headers.insert(DECISION, value);
        }
    }
    to_visitor(headers, options, exchange.arrival.is_h2(), &exchange.id).map_err(|error| {
        tracing::warn!(%error, "a header for a visitor cannot be written");
        Page::bad_gateway("backend_malformed", "the program's answer cannot be passed on")
    })
}

fn is_chunked(value: &HeaderValue) -> bool {
    value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked")
}

fn is_json_order(headers: &HeaderMap) -> bool {
    rules::has_token(headers, &CONTENT_TYPE, replay::JSON_TYPE)
}

fn malformed(why: &str) -> Page {
    let message = format!("the program's `fly-replay` cannot be read: {why}");
    Page::new(StatusCode::BAD_GATEWAY, "replay_malformed", message).fly("PA03")
}
