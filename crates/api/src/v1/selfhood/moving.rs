//! A whole self, from one machine to another.

use super::on::{Pen, shown};
use crate::contract::selfhood::Written;
use crate::problem::Problem;
use crate::v1::Answer;
use crate::v1::body::{BODY_TIMEOUT, read_body};
use crate::v1::extract::Read;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::response::IntoResponse as _;
use control::Control;
use futures_util::stream;
use govern::{Action, Export};
use std::convert::Infallible;
use std::time::Duration;
use tokio::sync::mpsc;

/// Largest export that is read: 10,000 entries of a trace of 2 KiB each, 4 MiB of messages with each
/// byte escaped, a record of 256 KiB.
const EXPORT_MAX_BYTES: usize = 64 * 1024 * 1024;

/// Longest time for sending an export. It is kept in memory for so long, and few are at once, so
/// that a caller who does not read must not keep it.
const SEND_MAX: Duration = Duration::from_secs(60);

/// Bytes of an export that are sent together.
const CHUNK_BYTES: usize = 64 * 1024;

/// `GET self/export`.
pub(super) async fn export(State(control): State<Control>, Read(on): Read) -> Answer {
    let id = &on.record.id;
    let export = control.self_export(id).await;
    let (export, turn) = export.map_err(|e| Problem::from_control(&e, Some(id)))?;
    let written = tokio::task::spawn_blocking(move || serde_json::to_vec(&export)).await;
    let written = written.map_err(|_panic| Problem::internal("internal: the writing failed"))?;
    let text = written.map_err(|e| Problem::internal(format!("the export is no JSON: {e}")))?;
    let head = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8")),
        (header::CONTENT_LENGTH, HeaderValue::from(text.len())),
    ];
    Ok((head, send_within(SEND_MAX, text.into(), turn)).into_response())
}

/// A body of `text` that ends early, in an error, when it is not taken in time; `turn` is kept as
/// long as the text.
fn send_within<T: Send + 'static>(limit: Duration, mut text: Bytes, turn: T) -> Body {
    let (chunks, taken) = mpsc::channel::<Bytes>(1);
    let sending = async move {
        let _turn = turn;
        while !text.is_empty() {
            let chunk = text.split_to(text.len().min(CHUNK_BYTES));
            // Copied, so that a chunk on its way does not keep the whole.
            if chunks.send(Bytes::copy_from_slice(&chunk)).await.is_err() {
                return;
            }
        }
    };
    tokio::spawn(tokio::time::timeout(limit, sending));
    // Whoever gets fewer bytes than the head names can tell.
    Body::from_stream(stream::unfold(taken, |mut taken| async move {
        taken.recv().await.map(|chunk| (Ok::<_, Infallible>(chunk), taken))
    }))
}

/// `POST self/import`: an export in the place of what the machine remembers.
pub(super) async fn import(State(control): State<Control>, pen: Pen, request: Request) -> Answer {
    // Asked before anything is read: an export may be large.
    Action::Import.check(&pen.writer).map_err(|refused| pen.problem(&refused.into()))?;
    let bytes = read_body(BODY_TIMEOUT, EXPORT_MAX_BYTES, request).await?;
    let export = tokio::task::spawn_blocking(move || read_export(&bytes)).await;
    let export = export.map_err(|_panic| Problem::internal("internal: the reading failed"))??;
    let revision = control.self_import(pen.id(), export, pen.writer.clone()).await;
    let revision = revision.map_err(|e| pen.problem(&e))?;
    shown(revision, &Written { revision })
}

fn read_export(bytes: &[u8]) -> Result<Export, Problem> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let place = error.path().to_string();
        Problem::invalid("bad_export", format!("the body is no export: {place}: {}", error.inner()))
            .hint("send what `GET …/self/export` answered, unchanged")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn an_export_arrives_whole() {
        let text: Vec<u8> = (0..=u8::MAX).cycle().take(3 * CHUNK_BYTES + 7).collect();
        let body = send_within(SEND_MAX, text.clone().into(), ());
        assert_eq!(axum::body::to_bytes(body, usize::MAX).await.expect("all of it"), text);
    }

    #[tokio::test]
    async fn a_caller_who_does_not_read_keeps_no_export() {
        let (turn, given_back) = oneshot::channel::<()>();
        let limit = Duration::from_millis(20);
        let body = send_within(limit, vec![0; 9 * CHUNK_BYTES].into(), turn);
        let over = tokio::time::timeout(SEND_MAX, given_back).await;
        assert!(over.expect("the turn is given back in time").is_err());
        drop(body);
    }
}
