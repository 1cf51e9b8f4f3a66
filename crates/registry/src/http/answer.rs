//! What came back: its head, its bytes within bounds, and what a refusal says.

use crate::connector::within;
use crate::error::{ANYBODY, RegistryError, THESE_CREDENTIALS};
use crate::url::Origin;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use hyper::header::{self, HeaderMap, HeaderName};
use hyper::{Response, StatusCode};
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;

/// Body of a refusal that is read, in bytes.
const REFUSAL_MAX_BYTES: u64 = 16 * 1024;
/// Time for the body of a refusal: it is nice to have, and no more.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(2);
/// Characters of a refusal that are shown.
const SAID_MAX_CHARS: usize = 200;
/// Largest wait that is understood from `Retry-After`: a day.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// An answer of any status.
#[derive(Debug)]
pub(crate) struct Answer {
    response: Response<Incoming>,
    origin: Origin,
    is_elsewhere: bool,
}

/// What a refusal is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refused<'a> {
    /// Which repository.
    pub(crate) repository: &'a str,
    /// Which manifest or blob of it.
    pub(crate) what: &'a str,
    /// Whether credentials were shown.
    pub(crate) has_credentials: bool,
}

impl Answer {
    pub(super) fn new(response: Response<Incoming>, origin: Origin, asked: Origin) -> Self {
        let is_elsewhere = origin != asked;
        Self { response, origin, is_elsewhere }
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// Who answered.
    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Whether a redirect led to another origin.
    pub(crate) fn is_elsewhere(&self) -> bool {
        self.is_elsewhere
    }

    /// A header's value, if it is there and text.
    pub(crate) fn text(&self, name: HeaderName) -> Option<&str> {
        self.response.headers().get(name).and_then(|value| value.to_str().ok())
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// How many bytes the body has, if the head says so.
    pub(crate) fn length(&self) -> Option<u64> {
        self.response.body().size_hint().exact()
    }

    pub(crate) fn into_body(self) -> Incoming {
        self.response.into_body()
    }

    /// The whole body, of at most `max` bytes and within `timeout`.
    pub(crate) async fn read(
        self,
        what: &str,
        max: u64,
        timeout: Duration,
    ) -> Result<Bytes, RegistryError> {
        let too_large = || RegistryError::TooLarge { what: what.to_owned(), max };
        if self.length().is_some_and(|length| length > max) {
            return Err(too_large());
        }
        let origin = self.origin.clone();
        let mut body = self.into_body();
        let reading = async {
            let mut bytes = BytesMut::new();
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(|source| interrupted(&origin, source))?;
                bytes.extend_from_slice(frame.data_ref().map_or(&[][..], |data| &data[..]));
                if u64::try_from(bytes.len()).map_or(true, |n| n > max) {
                    return Err(too_large());
                }
            }
            Ok(bytes.freeze())
        };
        within(timeout, &origin, "send the whole of a document", reading).await?
    }

    /// The error that this answer is.
    pub(crate) async fn into_error(self, refused: Refused<'_>) -> RegistryError {
        let status = self.status();
        let host = self.origin.to_string();
        let is_elsewhere = self.is_elsewhere;
        let retry_after = self.retry_after();
        let said_text = self.said().await;
        let repository = refused.repository.to_owned();
        match status {
            StatusCode::UNAUTHORIZED if !is_elsewhere => {
                let who = if refused.has_credentials { THESE_CREDENTIALS } else { ANYBODY };
                RegistryError::Unauthorized { host, repository, who, said_text }
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                RegistryError::Denied { host, repository, said_text }
            }
            StatusCode::NOT_FOUND => {
                RegistryError::NotFound { host, what: refused.what.to_owned(), said_text }
            }
            StatusCode::TOO_MANY_REQUESTS => {
                RegistryError::RateLimited { host, retry_after, said_text }
            }
            status => {
                let status = status.as_u16();
                RegistryError::Status { host, status, retry_after, said_text }
            }
        }
    }

    /// Seconds or a date. Source: RFC 9110, 10.2.3.
    fn retry_after(&self) -> Option<Duration> {
        let text = self.text(header::RETRY_AFTER)?.trim();
        let wait = match text.parse().map(Duration::from_secs) {
            Ok(wait) => wait,
            Err(_) => {
                let now = std::time::UNIX_EPOCH + Duration::from_millis(model::clock::now().0);
                let until = httpdate::parse_http_date(text).ok()?;
                until.duration_since(now).unwrap_or_default()
            }
        };
        Some(wait.min(RETRY_AFTER_MAX))
    }

    /// Reads what nobody wants to know, so that the connection can be used again.
    pub(crate) async fn discard(self) {
        drop(self.read("the refusal", REFUSAL_MAX_BYTES, REFUSAL_TIMEOUT).await);
    }

    /// What the registry says about its refusal; nothing when that cannot be read.
    async fn said(self) -> String {
        let body = self.read("the refusal", REFUSAL_MAX_BYTES, REFUSAL_TIMEOUT).await;
        body.ok().and_then(|body| said_in(&body)).unwrap_or_default()
    }
}

pub(crate) fn interrupted(origin: &Origin, source: hyper::Error) -> RegistryError {
    RegistryError::Interrupted { host: origin.to_string(), source: Arc::new(source) }
}

/// Source: OCI distribution specification, "Error Codes".
#[derive(Deserialize)]
struct Refusal {
    errors: Vec<RefusalError>,
}

#[derive(Deserialize)]
struct RefusalError {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

/// The first error's message, else its code: foreign text, so cut and without control characters.
fn said_in(body: &[u8]) -> Option<String> {
    let refusal: Refusal = serde_json::from_slice(body).ok()?;
    let first = refusal.errors.into_iter().next()?;
    let text = if first.message.is_empty() { first.code } else { first.message };
    Some(text.chars().filter(|c| !c.is_control()).take(SAID_MAX_CHARS).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_shown_within_bounds() {
        let said = |text: &str| said_in(text.as_bytes());
        let usual = r#"{"errors":[{"code":"DENIED","message":"not\u001b[31m you","detail":null}]}"#;
        assert_eq!(said(usual).as_deref(), Some("not[31m you"));
        assert_eq!(said(r#"{"errors":[{"code":"DENIED"}]}"#).as_deref(), Some("DENIED"));
        assert_eq!(said(r#"{"errors":[]}"#), None);
        assert_eq!(said("<html>"), None);
        let long = format!(r#"{{"errors":[{{"message":"{}"}}]}}"#, "x".repeat(5_000));
        assert_eq!(said(&long).map(|text| text.len()), Some(SAID_MAX_CHARS));
    }
}
