//! `GET /v1/openapi.json`: the description of the API, as `docs/openapi.json` has it.

use super::Answer;
use crate::openapi;
use axum::body::Bytes;
use axum::http::header;
use axum::response::IntoResponse as _;
use std::sync::OnceLock;

/// Made once, when somebody first asks: it is the same as long as this program runs.
static DOCUMENT: OnceLock<Bytes> = OnceLock::new();

/// `GET /v1/openapi.json`: without a token, as nothing of the host is told.
pub(super) async fn show() -> Answer {
    let document = DOCUMENT.get_or_init(|| openapi::document().to_string().into());
    let kind = (header::CONTENT_TYPE, "application/json; charset=utf-8");
    Ok(([kind], document.clone()).into_response())
}
