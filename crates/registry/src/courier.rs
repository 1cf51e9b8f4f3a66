//! One document to a server that somebody else has named: out the same checked way as a pull.
//!
//! What machines want to tell the world leaves through here. It is sent once: whoever asks decides
//! about another try. No redirect is followed, so a letter goes where its writer said or nowhere,
//! and of the answer only the status counts.

use crate::address::AddressPolicy;
use crate::allow::AllowList;
use crate::config::RegistryConfig;
use crate::connector::{Connector, within};
use crate::dial::{Dialer, HostDialer};
use crate::error::RegistryError;
use crate::http::{USER_AGENT, failure};
use crate::trust::Trust;
use crate::url::{Origin, URL_MAX_BYTES};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use model::spec::egress::EgressPolicy;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// Bytes of an answer's body that are read, so that its sender is not cut off in the middle of a
/// sentence; nobody looks at them.
const ANSWER_MAX_BYTES: usize = 1024;
/// How long such a body is waited for once the status is there.
const ANSWER_WAIT: Duration = Duration::from_secs(1);
/// Head of an answer and read buffer of a connection, in bytes.
const HEAD_MAX_BYTES: usize = 16 * 1024;

/// Delivers letters.
#[derive(Clone, Debug)]
pub struct Courier {
    named: AllowList,
    from_host: Connector,
    /// `None` when there is no way out.
    from_inside: Option<Connector>,
}

/// Where a letter goes: an absolute `http` or `https` URL without user information.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    uri: Uri,
    origin: Origin,
}

/// The text is no destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an absolute `http` or `https` URL without user and password")]
pub struct InvalidDestination;

impl FromStr for Destination {
    type Err = InvalidDestination;

    fn from_str(text: &str) -> Result<Self, InvalidDestination> {
        let uri: Option<Uri> = text.parse().ok().filter(|_| text.len() <= URL_MAX_BYTES);
        let origin = uri.as_ref().and_then(Origin::of);
        uri.zip(origin).map(|(uri, origin)| Self { uri, origin }).ok_or(InvalidDestination)
    }
}

impl Destination {
    /// Its server, `host[:port]`.
    #[must_use]
    pub fn server(&self) -> String {
        self.origin.to_string()
    }
}

/// Why a letter did not arrive.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Undelivered {
    /// This host lets nothing of tenants out.
    #[error("there is no way to `{server}` for tenants of this host")]
    NoWayOut {
        /// Where it should have gone.
        server: String,
    },
    /// On the way.
    #[error(transparent)]
    OnTheWay(#[from] RegistryError),
}

impl Undelivered {
    /// The reason in a word.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoWayOut { .. } => "no_way_out",
            Self::OnTheWay(RegistryError::EgressDenied { .. }) => "egress_denied",
            Self::OnTheWay(RegistryError::AddressRefused { .. }) => "address_refused",
            Self::OnTheWay(_) => "receiver_unreachable",
        }
    }
}

impl Courier {
    /// Letters to servers that the operator has `named` go from this host, to wherever these are;
    /// all others through `inside`, to public addresses. Needs a runtime only when it is used.
    #[must_use]
    pub fn new(named: AllowList, trust: &Trust, inside: Option<Arc<dyn Dialer>>) -> Self {
        let connector = |dialer: Arc<dyn Dialer>| {
            let addresses = AddressPolicy::Public { except: named.clone() };
            let config = RegistryConfig { addresses, ..RegistryConfig::new(trust.clone()) };
            Connector::new(&config, dialer)
        };
        let from_host = connector(Arc::new(HostDialer));
        let from_inside = inside.map(connector);
        Self { named, from_host, from_inside }
    }

    /// Posts a JSON document and hears the status of the answer, within `limit`. With a policy in
    /// `egress` it goes only where its sender may speak to itself: servers that the operator has
    /// named are no exception.
    ///
    /// # Errors
    /// [`Undelivered`]; an answer of any status is none.
    ///
    /// # Panics
    /// A value of `headers` has control characters.
    pub async fn post(
        &self,
        to: &Destination,
        headers: &[(&'static str, &str)],
        json: String,
        limit: Duration,
        egress: Option<EgressPolicy>,
    ) -> Result<u16, Undelivered> {
        let Origin { host, port, .. } = &to.origin;
        let way = match &self.from_inside {
            _ if self.named.names_server(host, *port) => &self.from_host,
            Some(inside) => inside,
            None => return Err(Undelivered::NoWayOut { server: to.server() }),
        };
        let client = client(egress.map_or_else(|| way.clone(), |policy| way.with_egress(policy)));
        let sent = client.request(letter(to, headers, json));
        let answer = within(limit, &to.origin, "answer", sent).await?;
        let answer = answer.map_err(|error| failure(&to.origin, error))?;
        Ok(finish(answer).await.as_u16())
    }
}

fn client(connector: Connector) -> Client<Connector, Full<Bytes>> {
    Client::builder(TokioExecutor::new())
        // Minutes lie between two letters to one server; a kept connection would be dead.
        .pool_max_idle_per_host(0)
        .http1_max_buf_size(HEAD_MAX_BYTES)
        .build(connector)
}

fn letter(
    to: &Destination,
    headers: &[(&'static str, &str)],
    json: String,
) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(Bytes::from(json)));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = to.uri.clone();
    let of_request: &mut HeaderMap = request.headers_mut();
    of_request.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
    of_request.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (name, value) in headers {
        let value = HeaderValue::from_str(value).expect("headers of letters are plain text");
        of_request.insert(HeaderName::from_static(name), value);
    }
    request
}

/// Hears a short answer to its end; whatever it says, and however it ends, the status stands.
async fn finish(answer: Response<Incoming>) -> StatusCode {
    let (head, body) = answer.into_parts();
    let hearing = Limited::new(body, ANSWER_MAX_BYTES).collect();
    drop(tokio::time::timeout(ANSWER_WAIT, hearing).await);
    head.status
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.uri.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::{Destination, InvalidDestination};

    #[track_caller]
    fn check(text: &str, server: Option<&str>) {
        let parsed = text.parse::<Destination>();
        assert_eq!(
            parsed.map(|to| to.server()),
            server.map(str::to_owned).ok_or(InvalidDestination)
        );
    }

    #[test]
    fn destinations_are_plain_urls() {
        check("https://hooks.example.com/a?b=c", Some("hooks.example.com"));
        check("http://127.0.0.1:8080/", Some("127.0.0.1:8080"));
        check("https://user:pw@example.com/", None);
        check("ftp://example.com/", None);
        check("/relative", None);
        check("a-hook", None);
        check("https://a b/", None);
        check(&format!("https://a.io/{}", "x".repeat(20_000)), None);
    }
}
