//! `GET …/logs` (our addition): lines of output, as one JSON object a line.

use super::extract::Read;
use super::query::Params;
use crate::problem::Problem;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use control::{Control, LogLine, LogQuery};
use futures_util::stream;
use std::convert::Infallible;

/// Lines when the caller names no `tail`, and at most.
const TAIL_DEFAULT: u64 = 100;
const TAIL_MAX: u64 = 10_000;

/// `GET …/logs?tail=&follow=`.
pub(super) async fn logs(
    State(control): State<Control>,
    Read(on): Read,
    params: Params,
) -> Result<Response, Problem> {
    let tail = params.number("tail")?.unwrap_or(TAIL_DEFAULT).min(TAIL_MAX);
    let tail = usize::try_from(tail).expect("at most TAIL_MAX");
    let query = LogQuery { tail, follow: params.flag("follow")? };
    let id = &on.record.id;
    let lines = control.logs(id, query).map_err(|e| Problem::from_control(&e, Some(id)))?;
    let body = Body::from_stream(stream::unfold(lines, |mut lines| async move {
        let line = lines.recv().await?;
        Some((Ok::<_, Infallible>(json_line(&line)), lines))
    }));
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}

fn json_line(line: &LogLine) -> Bytes {
    let mut text = serde_json::to_vec(line).expect("a line has only plain fields");
    text.push(b'\n');
    Bytes::from(text)
}
