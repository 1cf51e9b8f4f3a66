//! Headers on their way: what is taken off, what is added, towards the program and back.
//!
//! Source: machines-api 4.7 and 4.8; RFC 9110 section 7.6.1 for what belongs to one connection only.

use super::id::RequestId;
use crate::visit::Visitor;
use hyper::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, Entry, HOST, HeaderMap, HeaderName, HeaderValue,
    SERVER, TE, TRANSFER_ENCODING, UPGRADE, VIA,
};
use hyper::http::header::InvalidHeaderValue;
use model::spec::service::HttpOptions;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const PROXY_AUTHORIZATION: HeaderName = HeaderName::from_static("proxy-authorization");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");
const FLY_CLIENT_IP: HeaderName = HeaderName::from_static("fly-client-ip");
const FLY_FORWARDED_PORT: HeaderName = HeaderName::from_static("fly-forwarded-port");
const FLY_REGION: HeaderName = HeaderName::from_static("fly-region");
const FLY_REQUEST_ID: HeaderName = HeaderName::from_static("fly-request-id");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_FORWARDED_SSL: HeaderName = HeaderName::from_static("x-forwarded-ssl");
const X_REQUEST_START: HeaderName = HeaderName::from_static("x-request-start");

/// Added to a replayed request.
pub(crate) const REPLAY_SRC: HeaderName = HeaderName::from_static("fly-replay-src");
/// Added when a replay failed and its source is asked again.
pub(crate) const REPLAY_FAILED: HeaderName = HeaderName::from_static("fly-replay-failed");
/// Added when the preferred machine could not be had.
pub(crate) const PREFERRED_UNAVAILABLE: HeaderName =
    HeaderName::from_static("fly-preferred-instance-unavailable");

/// What a visitor may not say to the program in our name.
const OURS: [HeaderName; 6] = [
    FLY_FORWARDED_PORT,
    FLY_REGION,
    FLY_REQUEST_ID,
    REPLAY_SRC,
    REPLAY_FAILED,
    PREFERRED_UNAVAILABLE,
];

/// Removes what belongs to one connection, the names that `Connection` lists included. `TE:
/// trailers` stays: it says what the other end can read.
pub(crate) fn strip_hops(headers: &mut HeaderMap) {
    for name in listed_hops(headers) {
        headers.remove(name);
    }
    let takes_trailers = has_token(headers, &TE, "trailers");
    for name in [
        CONNECTION,
        KEEP_ALIVE,
        PROXY_CONNECTION,
        PROXY_AUTHORIZATION,
        HTTP2_SETTINGS,
        TE,
        TRANSFER_ENCODING,
        UPGRADE,
    ] {
        headers.remove(name);
    }
    if takes_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
}

/// Names that `Connection` lists, but for those without which a message means something else.
fn listed_hops(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers.get_all(CONNECTION).into_iter().filter_map(|value| value.to_str().ok());
    let names = values.flat_map(|value| value.split(','));
    let names = names.filter_map(|name| name.trim().parse::<HeaderName>().ok());
    names.filter(|name| ![HOST, CONTENT_LENGTH, COOKIE, TE].contains(name)).collect()
}

/// Whether a header that is a list has this word.
pub(crate) fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    let mut tokens = values.flat_map(|value| value.split(','));
    tokens.any(|word| {
        let word = word.split(';').next().unwrap_or_default();
        word.trim().eq_ignore_ascii_case(token)
    })
}

/// What the headers to the program are made from.
#[derive(Debug)]
pub(crate) struct ToApp<'a> {
    /// Who asks.
    pub(crate) visitor: &'a Visitor,
    /// Host as the visitor wrote it.
    pub(crate) host: Option<&'a HeaderValue>,
    /// The visitor speaks h2.
    pub(crate) is_h2: bool,
    /// Region where the visitor came in.
    pub(crate) region: &'a str,
    /// Of the request.
    pub(crate) id: &'a RequestId,
    /// When it came, in microseconds of Unix time.
    pub(crate) at_us: u64,
}

impl ToApp<'_> {
    /// The program's view of the visitor's `headers`.
    ///
    /// # Errors
    /// A value that cannot be one; none of those here can be so.
    pub(crate) fn apply(&self, headers: &mut HeaderMap) -> Result<(), InvalidHeaderValue> {
        strip_hops(headers);
        for name in OURS {
            headers.remove(name);
        }
        headers.remove(EXPECT);
        join_cookies(headers);
        if let Some(host) = self.host {
            headers.insert(HOST, host.clone());
        }
        let (peer, own) = (self.visitor.peer.ip().to_canonical(), self.visitor.local.ip());
        let client = HeaderValue::try_from(peer.to_string())?;
        let hops = format!("{peer}, {}", own.to_canonical());
        append_to_list(headers, X_FORWARDED_FOR, &hops)?;
        headers.insert(FLY_CLIENT_IP, client);
        headers.insert(FLY_FORWARDED_PORT, HeaderValue::from(self.visitor.port));
        headers.insert(FLY_REGION, HeaderValue::try_from(self.region)?);
        let (proto, ssl) = if self.visitor.is_tls { ("https", "on") } else { ("http", "off") };
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(proto));
        headers.insert(X_FORWARDED_SSL, HeaderValue::from_static(ssl));
        if let Entry::Vacant(port) = headers.entry(X_FORWARDED_PORT) {
            port.insert(HeaderValue::from(self.visitor.port));
        }
        append_to_list(headers, VIA, via(self.is_h2))?;
        headers.insert(FLY_REQUEST_ID, self.id.value());
        headers.insert(X_REQUEST_START, HeaderValue::try_from(format!("t={}", self.at_us))?);
        Ok(())
    }
}

const fn via(is_h2: bool) -> &'static str {
    if is_h2 { "2 fly.io" } else { "1.1 fly.io" }
}

/// Appends to a list, as one line.
fn append_to_list(
    headers: &mut HeaderMap,
    name: HeaderName,
    more: &str,
) -> Result<(), InvalidHeaderValue> {
    let mut line = Vec::new();
    for value in headers.get_all(&name) {
        line.extend_from_slice(value.as_bytes());
        line.extend_from_slice(b", ");
    }
    line.extend_from_slice(more.as_bytes());
    headers.insert(name, HeaderValue::from_bytes(&line)?);
    Ok(())
}

/// h2 may send cookies in several lines; programs expect one (RFC 9113 section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let lines: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if lines.len() < 2 {
        return;
    }
    if let Ok(joined) = HeaderValue::from_bytes(&lines.join(&b"; "[..])) {
        headers.insert(COOKIE, joined);
    }
}

/// The visitor's view of the program's `headers`.
///
/// # Errors
/// As [`ToApp::apply`].
pub(crate) fn to_visitor(
    headers: &mut HeaderMap,
    options: &HttpOptions,
    is_h2: bool,
    id: &RequestId,
) -> Result<(), InvalidHeaderValue> {
    strip_hops(headers);
    headers.remove(TE);
    if !options.is_pristine {
        add_own(headers, is_h2, id)?;
    }
    apply_rules(headers, options);
    Ok(())
}

/// The headers by which an answer says that it came through this proxy.
///
/// # Errors
/// As [`ToApp::apply`].
pub(crate) fn add_own(
    headers: &mut HeaderMap,
    is_h2: bool,
    id: &RequestId,
) -> Result<(), InvalidHeaderValue> {
    const NAME: HeaderValue =
        HeaderValue::from_static(concat!("Fly/dormouse-", env!("CARGO_PKG_VERSION")));
    headers.insert(SERVER, NAME);
    append_to_list(headers, VIA, via(is_h2))?;
    headers.insert(FLY_REQUEST_ID, id.value());
    Ok(())
}

/// The rules of the port: no values removes, else they replace. A name or value that cannot be one is
/// skipped, as are those by which messages are told apart.
fn apply_rules(headers: &mut HeaderMap, options: &HttpOptions) {
    for (name, values) in &options.response_headers {
        let Ok(name) = name.parse::<HeaderName>() else { continue };
        if [CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION, UPGRADE].contains(&name) {
            continue;
        }
        headers.remove(&name);
        for value in values {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.append(&name, value);
            }
        }
    }
}

#[cfg(test)]
mod tests;
