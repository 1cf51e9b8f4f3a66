//! Answers of the proxy itself.

use super::flow::AnswerBody;
use super::refusal::Refusal;
use crate::turned::Turned;
use hyper::header::{
    CONNECTION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER,
};
use hyper::{Response, StatusCode};
use serde::Serialize;
use std::time::Duration;

/// Why a machine was or was not woken.
pub(crate) const DECISION: HeaderName = HeaderName::from_static("dormouse-decision");

/// An answer of ours in place of a program's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Page {
    /// Status.
    pub(crate) status: StatusCode,
    /// Stable word.
    pub(crate) code: Box<str>,
    /// Fly's code for its kind, for the log. Source: machines-api 4.10.
    pub(crate) fly_code: &'static str,
    /// A sentence.
    pub(crate) message: Box<str>,
    /// What to do.
    pub(crate) hint: Option<Box<str>>,
    /// The same request may succeed later.
    pub(crate) is_retryable: bool,
    /// When.
    pub(crate) retry_after: Option<Duration>,
    /// Words for the decision header.
    pub(crate) decision: Option<Box<str>>,
    /// The connection is of no use any more.
    pub(crate) closes: bool,
}

/// The body, in the form of every error of the host.
#[derive(Serialize)]
struct Body<'a> {
    error: &'a str,
    code: &'a str,
    retryable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
}

impl Page {
    /// That a retry does not solve.
    pub(crate) fn new(status: StatusCode, code: &str, message: impl Into<Box<str>>) -> Self {
        Self {
            status,
            code: code.into(),
            fly_code: "",
            message: message.into(),
            hint: None,
            is_retryable: false,
            retry_after: None,
            decision: None,
            closes: false,
        }
    }

    /// Of this kind in Fly's words.
    pub(crate) fn fly(self, fly_code: &'static str) -> Self {
        Self { fly_code, ..self }
    }

    /// With a next step.
    pub(crate) fn hint(self, hint: &str) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// 502: the program did not answer as it should.
    pub(crate) fn bad_gateway(code: &str, message: &str) -> Self {
        let page = Self::new(StatusCode::BAD_GATEWAY, code, message).fly("PU02");
        Self { is_retryable: true, ..page }
    }

    /// 504: the program did not answer in time.
    pub(crate) fn timeout() -> Self {
        let message = "the program accepted the request and sent nothing for too long";
        let page = Self::new(StatusCode::GATEWAY_TIMEOUT, "backend_timeout", message).fly("PU02");
        Self { is_retryable: true, ..page }.hint(
            "raise `http_options.idle_timeout` of the port, or let the program send something earlier",
        )
    }

    /// As an answer; `is_http1` for visitors whose connection is told to end by a header.
    pub(crate) fn answer(&self, is_http1: bool) -> Response<AnswerBody> {
        let body = Body {
            error: &self.message,
            code: &self.code,
            retryable: self.is_retryable,
            hint: self.hint.as_deref(),
        };
        // A struct of texts cannot fail to be written.
        let mut text = serde_json::to_vec(&body).unwrap_or_default();
        text.push(b'\n');
        let mut response = Response::new(AnswerBody::own(text));
        *response.status_mut() = self.status;
        self.add_headers(response.headers_mut(), is_http1);
        response
    }

    fn add_headers(&self, headers: &mut HeaderMap, is_http1: bool) {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(wait) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds_up(wait)));
        }
        if let Some(Ok(words)) = self.decision.as_deref().map(text_value) {
            headers.insert(DECISION, words);
        }
        if self.closes && is_http1 {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
    }
}

/// 301 to `location`.
pub(crate) fn redirect(location: &str) -> Response<AnswerBody> {
    let mut response = Response::new(AnswerBody::own(""));
    *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
    if let Ok(location) = HeaderValue::try_from(location) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

/// Whole seconds, at least one: `Retry-After: 0` would invite a storm.
fn seconds_up(wait: Duration) -> u64 {
    let is_more = wait.subsec_nanos() > 0;
    (wait.as_secs() + u64::from(is_more)).max(1)
}

/// Words as a header's value: what cannot stand there becomes `?`.
pub(crate) fn text_value(words: &str) -> Result<HeaderValue, hyper::header::InvalidHeaderValue> {
    let is_fine = |c: char| c == ' ' || c.is_ascii_graphic();
    let safe: String = words.chars().map(|c| if is_fine(c) { c } else { '?' }).collect();
    HeaderValue::try_from(safe)
}

impl From<Turned> for Page {
    fn from(turned: Turned) -> Self {
        let status = StatusCode::from_u16(turned.status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
        Self {
            is_retryable: turned.retry_after.is_some(),
            status,
            code: turned.code.into(),
            fly_code: turned.fly_code,
            message: turned.message.into(),
            hint: turned.hint.map(Into::into),
            retry_after: turned.retry_after,
            decision: turned.decision.map(Into::into),
            closes: false,
        }
    }
}

impl From<Refusal> for Page {
    fn from(refusal: Refusal) -> Self {
        let page = Self::new(refusal.status(), refusal.code(), refusal.message());
        Self { closes: true, ..page }
    }
}

#[cfg(test)]
mod tests {
    use super::{Page, Refusal, Turned, seconds_up, text_value};
    use std::time::Duration;

    #[test]
    fn retry_after_is_in_whole_seconds_and_never_zero() {
        for (ms, expected) in [(0, 1), (1, 1), (1000, 1), (1001, 2), (60_000, 60)] {
            assert_eq!(seconds_up(Duration::from_millis(ms)), expected, "{ms}");
        }
    }

    #[test]
    fn a_page_says_what_and_whether_to_retry() {
        let turned = Turned {
            status: 503,
            message: "no \u{e9}".to_owned(),
            retry_after: Some(Duration::from_millis(1500)),
            decision: Some("refused: lease\r\nX: y".to_owned()),
            ..Turned::default()
        };
        let answer = Page::from(turned).answer(true);
        assert_eq!(answer.status(), 503);
        assert_eq!(answer.headers()["retry-after"], "2");
        assert_eq!(answer.headers()["dormouse-decision"], "refused: lease??X: y");
        assert!(!answer.headers().contains_key("connection"));
        assert_eq!(Page::from(Refusal::TwoHosts).answer(true).headers()["connection"], "close");
        assert!(!Page::from(Refusal::TwoHosts).answer(false).headers().contains_key("connection"));
    }

    #[test]
    fn words_become_values_whatever_they_are() {
        assert_eq!(text_value("a\u{e9}\n").expect("a value"), "a??");
    }
}
