//! Requests and answers: redirects, bounds and time-outs, and what a refusal says.
//!
//! A redirect is followed a few times, to `https` or from plain `http` to where plain `http` is
//! permitted, and never takes the `Authorization` header to another origin.

mod answer;

pub(crate) use answer::{Answer, Refused};

use crate::config::{RegistryConfig, Timeouts};
use crate::connector::{Connector, within};
use crate::credentials::Authorization;
use crate::dial::Dialer;
use crate::error::RegistryError;
use crate::url::{Origin, follow};
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::client::legacy::{Client, Error as ClientError};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

/// Redirects of one request; registries use one, sometimes two.
const REDIRECTS_MAX: usize = 5;
/// Head of an answer and read buffer of a connection, in bytes.
const HEAD_MAX_BYTES: usize = 128 * 1024;
/// Headers of an answer; registries send about twenty.
const HEADERS_MAX: usize = 100;
/// How long an idle connection is kept: from one blob of an image to the next.
const IDLE_MAX: Duration = Duration::from_secs(15);
/// Idle connections that are kept for each server: as many as a pull has blobs in flight.
const IDLE_PER_HOST_MAX: usize = 4;
/// How we introduce ourselves.
pub(crate) const USER_AGENT: &str = concat!("dormouse/", env!("CARGO_PKG_VERSION"));

/// The HTTP client.
#[derive(Debug)]
pub(crate) struct Http {
    client: Client<Connector, Full<Bytes>>,
    config: RegistryConfig,
}

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    /// `GET`, `HEAD`, or `POST` with a form.
    pub(crate) method: Method,
    /// Where to.
    pub(crate) uri: Uri,
    /// What the answer may be.
    pub(crate) accept: Option<&'static str>,
    /// First byte that is wanted, when it is not the very first.
    pub(crate) from_byte: u64,
    /// Shown to the origin of `uri` and to nobody else.
    pub(crate) authorization: Option<Authorization>,
    /// Body of a `POST`.
    pub(crate) form: Option<String>,
    /// Whether redirects are followed.
    pub(crate) follows: bool,
}

impl Ask {
    /// A `GET` of everything there, redirects followed.
    pub(crate) fn get(uri: Uri) -> Self {
        Self {
            method: Method::GET,
            uri,
            accept: None,
            from_byte: 0,
            authorization: None,
            form: None,
            follows: true,
        }
    }

    fn request(&self) -> Request<Full<Bytes>> {
        let form = self.form.clone().unwrap_or_default();
        let mut request = Request::new(Full::new(Bytes::from(form)));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        let headers = request.headers_mut();
        headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        // Digests are of the bytes as they are stored; nobody may pack them on the way.
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Some(accept) = self.accept {
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
        }
        if self.from_byte > 0 {
            let range = HeaderValue::from_str(&format!("bytes={}-", self.from_byte));
            headers.insert(header::RANGE, range.expect("digits and a dash"));
        }
        if let Some(authorization) = &self.authorization {
            headers.insert(header::AUTHORIZATION, authorization.header());
        }
        if self.form.is_some() {
            let form = HeaderValue::from_static("application/x-www-form-urlencoded");
            headers.insert(header::CONTENT_TYPE, form);
        }
        request
    }
}

impl Http {
    pub(crate) fn new(config: RegistryConfig, dialer: Arc<dyn Dialer>) -> Self {
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_MAX)
            .pool_max_idle_per_host(IDLE_PER_HOST_MAX)
            .http1_max_buf_size(HEAD_MAX_BYTES)
            .http1_max_headers(HEADERS_MAX)
            .build(Connector::new(&config, dialer));
        Self { client, config }
    }

    pub(crate) fn config(&self) -> &RegistryConfig {
        &self.config
    }

    pub(crate) fn timeouts(&self) -> &Timeouts {
        &self.config.timeouts
    }

    /// Sends a request and follows where it leads; the answer may have any status.
    pub(crate) async fn send(&self, mut ask: Ask) -> Result<Answer, RegistryError> {
        let first = self.origin_of(&ask.uri)?;
        let mut origin = first.clone();
        for _ in 0..=REDIRECTS_MAX {
            let sent = self.client.request(ask.request());
            let answer = within(self.timeouts().answer, &origin, "answer", sent).await?;
            let answer = answer.map_err(|error| failure(&origin, error))?;
            let Some(location) = location(&ask, &answer) else {
                return Ok(Answer::new(answer, origin, first));
            };
            (ask.uri, origin) = self.redirected(&origin, &ask.uri, location)?;
            if origin != first {
                ask.authorization = None;
            }
        }
        let why = format!("more than {REDIRECTS_MAX} times");
        Err(RegistryError::Redirect { host: first.to_string(), why })
    }

    fn origin_of(&self, uri: &Uri) -> Result<Origin, RegistryError> {
        let origin = Origin::of(uri).filter(|o| o.is_tls || self.config.may_be_plain(o));
        origin.ok_or_else(|| RegistryError::BadAnswer {
            host: uri.host().unwrap_or_default().to_owned(),
            why: "it leads to a URL that is neither `https` nor permitted without".to_owned(),
        })
    }

    /// Where a redirect leads, if it may be followed.
    fn redirected(
        &self,
        from: &Origin,
        base: &Uri,
        location: &HeaderValue,
    ) -> Result<(Uri, Origin), RegistryError> {
        let refuse = |why: String| RegistryError::Redirect { host: from.to_string(), why };
        let text = location.to_str().ok();
        let uri = text.and_then(|text| follow(base, text));
        let target = uri.and_then(|uri| Origin::of(&uri).map(|origin| (uri, origin)));
        let (uri, origin) = target.ok_or_else(|| refuse("to what is no URL".to_owned()))?;
        if origin.is_tls || (!from.is_tls && self.config.may_be_plain(&origin)) {
            return Ok((uri, origin));
        }
        Err(refuse(format!("to `{origin}` without TLS")))
    }
}

/// Where an answer sends us, if it does and we follow.
fn location<'a, B>(ask: &Ask, answer: &'a hyper::Response<B>) -> Option<&'a HeaderValue> {
    let is_redirect = matches!(
        answer.status(),
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    );
    answer.headers().get(header::LOCATION).filter(|_| ask.follows && is_redirect)
}

/// What the client's error means: our own connector's error, an answer that is no HTTP, or a
/// connection that broke.
pub(crate) fn failure(origin: &Origin, error: ClientError) -> RegistryError {
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(ours) = inner.downcast_ref::<RegistryError>() {
            return ours.clone();
        }
        if inner.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse) {
            let why = format!("its head is not HTTP or exceeds the limits ({inner})");
            return RegistryError::BadAnswer { host: origin.to_string(), why };
        }
        cause = inner.source();
    }
    RegistryError::Interrupted { host: origin.to_string(), source: Arc::new(error) }
}
