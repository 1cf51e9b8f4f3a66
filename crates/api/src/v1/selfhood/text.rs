//! Bodies that need not be JSON objects: texts, values, documents.

use crate::problem::Problem;
use crate::v1::body::{BODY_MAX_BYTES, BODY_TIMEOUT, read_body};
use axum::extract::{FromRequest, Request};
use axum::http::{StatusCode, header};
use serde_json::Value;

/// The body of a request as it came, at most [`BODY_MAX_BYTES`] of it.
#[derive(Debug)]
pub(in crate::v1) struct RawBody {
    /// Its bytes.
    pub(super) bytes: Vec<u8>,
    /// Its content type without parameters, in lower case; empty when it has none.
    kind: String,
}

impl<S: Send + Sync> FromRequest<S> for RawBody {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        let kind = content_type(&request);
        let bytes = read_body(BODY_TIMEOUT, BODY_MAX_BYTES, request).await?;
        Ok(Self { bytes, kind })
    }
}

fn content_type(request: &Request) -> String {
    let value = request.headers().get(header::CONTENT_TYPE);
    let text = value.and_then(|value| value.to_str().ok()).unwrap_or_default();
    text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

impl RawBody {
    /// Whether the caller says that it is JSON, or nothing: then it is, as everywhere in this API.
    pub(super) fn is_json(&self) -> bool {
        self.kind.is_empty() || self.kind == "application/json" || self.kind.ends_with("+json")
    }

    /// The body as text.
    pub(super) fn into_text(self) -> Result<String, Problem> {
        String::from_utf8(self.bytes).map_err(|_binary| {
            let text = "invalid_argument: the body is not text in UTF-8";
            Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not_text", text)
                .hint("encode bytes as base64, or keep them on the disk and send where they are")
        })
    }

    /// The body as JSON of any kind; plain text is a text.
    pub(super) fn into_value(self) -> Result<Value, Problem> {
        if self.kind == "text/plain" {
            return self.into_text().map(Value::String);
        }
        serde_json::from_slice(&self.bytes).map_err(|error| {
            Problem::invalid("bad_json", format!("the body is not JSON: {error}"))
                .hint("send a JSON value, or a text with `Content-Type: text/plain`")
        })
    }
}
