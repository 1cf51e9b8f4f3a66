//! What a visitor asks for, read once.

use super::head::HEADERS_MAX;
use super::host::Host;
use super::refusal::Refusal;
use super::replay::parse_duration;
use super::rules::has_token;
use crate::desk::{Target, Wishes};
use crate::visit::Visitor;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderMap, HeaderValue, UPGRADE};
use hyper::http::request::Parts;
use hyper::{Method, Request, Version};
use proxy_proto::message::KnockRequest;
use std::time::Duration;

/// Longest path told to control, in bytes. Source: [`KnockRequest::path`].
const PATH_MAX_BYTES: usize = 1024;

/// How long the visitor is willing to be held; ours alone.
const HOLD: &str = "dormouse-hold";

/// A request before anybody is asked for a machine.
#[derive(Debug)]
pub(crate) struct Arrival {
    /// As the visitor sent it, without the body.
    pub(crate) parts: Parts,
    /// `None` only in HTTP/1.0.
    pub(crate) host: Option<Host>,
    /// As the visitor wrote it.
    pub(crate) host_value: Option<HeaderValue>,
    /// What comes after the answer.
    pub(crate) wants: Wants,
}

/// What a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wants {
    /// An answer.
    Answer,
    /// A WebSocket, asked for by HTTP/1.1.
    WebSocket,
    /// A WebSocket on a stream of h2 (RFC 8441).
    StreamedWebSocket,
}

impl Arrival {
    /// Reads `request`, whose framing was looked at by the guard if it is HTTP/1.
    ///
    /// # Errors
    /// [`Refusal`] for what no program should see.
    pub(crate) fn read(request: Request<Incoming>) -> Result<(Self, Incoming), Refusal> {
        let (parts, body) = request.into_parts();
        if is_h2(&parts) {
            check_h2(&parts)?;
        }
        let wants = wants(&parts)?;
        let (host, host_value) = host(&parts)?;
        let mut expectations = parts.headers.get_all(EXPECT).iter();
        if !expectations.all(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
            return Err(Refusal::Expectation);
        }
        Ok((Self { parts, host, host_value, wants }, body))
    }

    /// Whether the visitor speaks h2.
    pub(crate) fn is_h2(&self) -> bool {
        is_h2(&self.parts)
    }

    /// Host name, or nothing.
    pub(crate) fn host_name(&self) -> &str {
        self.host.as_ref().map_or("", |host| &host.name)
    }

    /// Whose machine is wanted.
    pub(crate) fn target(&self) -> Target {
        match &self.host {
            Some(host) => Target::Host(host.name.clone()),
            None => Target::PortOwner,
        }
    }

    /// What control is told of it.
    pub(crate) fn knock(&self) -> KnockRequest {
        let path = self.parts.uri.path();
        let end = (0..=path.len().min(PATH_MAX_BYTES)).rev().find(|at| path.is_char_boundary(*at));
        KnockRequest {
            method: self.parts.method.to_string(),
            host: self.host_name().to_owned(),
            path: path[..end.unwrap_or(0)].to_owned(),
        }
    }

    /// Path with query.
    pub(crate) fn path_and_query(&self) -> &str {
        self.parts.uri.path_and_query().map_or("/", |path| path.as_str())
    }

    /// Where the same is to be had by TLS.
    pub(crate) fn https_location(&self, visitor: &Visitor) -> String {
        let host = match &self.host {
            Some(host) => host.for_url(),
            None => visitor.local.ip().to_string(),
        };
        format!("https://{host}{}", self.path_and_query())
    }

    /// Whether it may be sent twice (RFC 9110 section 9.2.2).
    pub(crate) fn is_idempotent(&self) -> bool {
        matches!(
            self.parts.method,
            Method::GET
                | Method::HEAD
                | Method::OPTIONS
                | Method::PUT
                | Method::DELETE
                | Method::TRACE
        )
    }

    /// How long the visitor is willing to be held, if it says so.
    pub(crate) fn hold(&self) -> Option<Duration> {
        text(&self.parts.headers, HOLD).and_then(parse_duration)
    }

    /// The routing headers of the visitor; `Err` with the text of an instance that no machine can be
    /// named. Source: machines-api 4.8.
    pub(crate) fn wishes(&self) -> Result<Wishes, String> {
        let headers = &self.parts.headers;
        let list = |name| {
            let all = text(headers, name).unwrap_or_default().split(',').map(str::trim);
            all.filter(|word| !word.is_empty()).map(str::to_owned).collect::<Vec<_>>()
        };
        let force_instance = match text(headers, "fly-force-instance-id").map(str::trim) {
            None | Some("") => None,
            Some(id) => Some(id.parse().map_err(|_no_id| id.to_owned())?),
        };
        let prefer = text(headers, "fly-prefer-instance-id").and_then(|id| id.trim().parse().ok());
        Ok(Wishes {
            force_instance,
            prefer_instance: prefer,
            force_regions: list("fly-force-region"),
            prefer_regions: list("fly-prefer-region"),
            exclude: Vec::new(),
        })
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn is_h2(parts: &Parts) -> bool {
    parts.version == Version::HTTP_2
}

/// What the guard checks of HTTP/1, for h2.
fn check_h2(parts: &Parts) -> Result<(), Refusal> {
    if parts.headers.len() > HEADERS_MAX {
        return Err(Refusal::TooManyHeaders);
    }
    if parts.headers.get_all(CONTENT_LENGTH).iter().count() > 1 {
        return Err(Refusal::TwoLengths);
    }
    if parts.headers.get_all(HOST).iter().count() > 1 {
        return Err(Refusal::TwoHosts);
    }
    Ok(())
}

fn wants(parts: &Parts) -> Result<Wants, Refusal> {
    let protocol = parts.extensions.get::<hyper::ext::Protocol>();
    match (&parts.method, protocol) {
        (&Method::CONNECT, Some(protocol)) if protocol.as_str() == "websocket" => {
            Ok(Wants::StreamedWebSocket)
        }
        (&Method::CONNECT, _) => Err(Refusal::Connect),
        (&Method::GET, _)
            if parts.version == Version::HTTP_11
                && has_token(&parts.headers, &CONNECTION, "upgrade")
                && has_token(&parts.headers, &UPGRADE, "websocket") =>
        {
            Ok(Wants::WebSocket)
        }
        _ => Ok(Wants::Answer),
    }
}

/// The host, and how it was written. With two sources both must say the same.
fn host(parts: &Parts) -> Result<(Option<Host>, Option<HeaderValue>), Refusal> {
    let header = parts.headers.get(HOST).filter(|value| !value.is_empty());
    let of_header = match header {
        Some(value) => {
            let text = value.to_str().map_err(|_not_ascii| Refusal::BadHost)?;
            Some(Host::parse(text).ok_or(Refusal::BadHost)?)
        }
        None => None,
    };
    let Some(authority) = parts.uri.authority() else {
        let must_have = is_h2(parts) && of_header.is_none();
        return if must_have { Err(Refusal::NoHost) } else { Ok((of_header, header.cloned())) };
    };
    let default_port = if parts.uri.scheme_str() == Some("https") { 443 } else { 80 };
    let of_target = Host::parse(authority.as_str()).ok_or(Refusal::BadHost)?;
    if of_header.is_some_and(|host| !host.is_same(&of_target, default_port)) && is_h2(parts) {
        return Err(Refusal::OtherHost);
    }
    let value = HeaderValue::try_from(authority.as_str()).ok();
    Ok((Some(of_target), header.cloned().or(value)))
}
