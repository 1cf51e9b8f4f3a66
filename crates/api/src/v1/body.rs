//! The body of a request: JSON, of bounded size, in bounded time.

use crate::problem::Problem;
use crate::spec::typed;
use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::{StatusCode, header};
use futures_util::StreamExt as _;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::time::Duration;

/// Largest body that is read. Source: the bound on a machine's configuration in the design.
pub(crate) const BODY_MAX_BYTES: usize = 1024 * 1024;

/// Bytes of a larger body that are thrown away so that the caller sees the answer, not a reset.
pub(super) const DRAIN_MAX_BYTES: usize = 32 * 1024 * 1024;

/// Longest time a caller takes to send its body.
pub(super) const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// The body as JSON; an empty body is `{}`, whatever its content type.
#[derive(Debug)]
pub(crate) struct JsonBody(pub(crate) Value);

impl<S: Send + Sync> FromRequest<S> for JsonBody {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        read_json(request).await.map(Self)
    }
}

impl JsonBody {
    /// The body as `T`, which is an object.
    pub(crate) fn to<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        typed(&self.0, "")
    }
}

/// Reads the body of `request` as JSON.
pub(crate) async fn read_json(request: Request) -> Result<Value, Problem> {
    read_json_within(BODY_TIMEOUT, request).await
}

/// Reads the body of `request` as JSON; the caller has `limit` to send it.
pub(crate) async fn read_json_within(limit: Duration, request: Request) -> Result<Value, Problem> {
    let bytes = read_body(limit, BODY_MAX_BYTES, request).await?;
    if bytes.trim_ascii().is_empty() {
        return Ok(Value::Object(serde_json::Map::new()));
    }
    let value: Value = serde_json::from_slice(&bytes).map_err(|error| {
        Problem::invalid("bad_json", format!("the body is not JSON: {error}"))
            .hint("send one JSON object; text must be UTF-8")
    })?;
    Ok(if value.is_null() { Value::Object(serde_json::Map::new()) } else { value })
}

/// Reads the body of `request`: at most `max_bytes` of it, which the caller has `limit` to send.
pub(super) async fn read_body(
    limit: Duration,
    max_bytes: usize,
    request: Request,
) -> Result<Vec<u8>, Problem> {
    let declared: Option<usize> = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse().ok());
    let body = request.into_body();
    let reading = async {
        if declared.is_some_and(|bytes| bytes > max_bytes.max(DRAIN_MAX_BYTES)) {
            return Err(Problem::too_large(max_bytes));
        }
        collect(body, max_bytes).await
    };
    tokio::time::timeout(limit, reading).await.unwrap_or_else(|_elapsed| {
        Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", "the body came too slowly")
            .retryable()
            .hint("send it faster, or less of it"))
    })
}

async fn collect(body: Body, max_bytes: usize) -> Result<Vec<u8>, Problem> {
    let mut stream = body.into_data_stream();
    let mut bytes = Vec::new();
    let mut seen_bytes = 0_usize;
    while let Some(part) = stream.next().await {
        let part = part.map_err(|error| {
            Problem::invalid("bad_body", format!("the body could not be read: {error}")).retryable()
        })?;
        seen_bytes += part.len();
        if seen_bytes > max_bytes.max(DRAIN_MAX_BYTES) {
            break;
        }
        if seen_bytes <= max_bytes {
            bytes.extend_from_slice(&part);
        }
    }
    if seen_bytes > max_bytes { Err(Problem::too_large(max_bytes)) } else { Ok(bytes) }
}
