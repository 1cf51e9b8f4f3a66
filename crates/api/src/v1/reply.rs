//! Answers as the API writes them.

use super::Answer;
use crate::contract;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// `status` with `body` as JSON.
pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Answer {
    let bytes = serde_json::to_vec(body).map_err(|error| {
        crate::Problem::internal(format!("the answer cannot be written as JSON: {error}"))
    })?;
    let kind = (header::CONTENT_TYPE, "application/json; charset=utf-8");
    Ok((status, [kind], bytes).into_response())
}

/// 200 with `body` as JSON.
pub(super) fn ok(body: &impl Serialize) -> Answer {
    json(StatusCode::OK, body)
}

/// 200 `{"ok":true}`.
pub(super) fn done() -> Answer {
    ok(&contract::Ok { ok: true })
}

/// A status without a body.
pub(super) fn empty(status: StatusCode) -> Response {
    status.into_response()
}
