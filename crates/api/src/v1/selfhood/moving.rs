//! A whole self, from one machine to another.

use super::on::{Pen, shown};
use crate::contract::selfhood::Written;
use crate::problem::Problem;
use crate::v1::Answer;
use crate::v1::body::{BODY_TIMEOUT, read_body};
use crate::v1::extract::Read;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header;
use axum::response::IntoResponse as _;
use control::Control;
use futures_util::stream;
use govern::{Action, Export};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Largest export that is read: 10,000 entries of a trace of 2 KiB each, 4 MiB of messages with each
/// byte escaped, a record of 256 KiB.
const EXPORT_MAX_BYTES: usize = 64 * 1024 * 1024;

/// Longest time for sending an export. Few are under way at once, so that a caller who does not read
/// must not keep others from theirs.
const SEND_MAX: Duration = Duration::from_secs(60);

/// Parts of an export that wait for their reader: of a quarter of a MiB each, but for the first.
const PARTS_AHEAD: usize = 1;

/// Why an export ends before its end: it was not read in time, or cannot be read. The connection breaks
/// off, so that nobody takes a part for the whole.
#[derive(Debug, thiserror::Error)]
#[error("the export breaks off")]
struct BreaksOff;

/// `GET self/export`.
pub(super) async fn export(State(control): State<Control>, Read(on): Read) -> Answer {
    let id = &on.record.id;
    let export = control.self_export(id).await;
    let mut export = export.map_err(|e| Problem::from_control(&e, Some(id)))?;
    let id = id.clone();
    let next = move || {
        export.next_part().map_err(|error| {
            tracing::error!(machine = %id, %error, "an export breaks off");
            BreaksOff
        })
    };
    let head = [(header::CONTENT_TYPE, "application/json; charset=utf-8")];
    Ok((head, sent_within(SEND_MAX, next)).into_response())
}

/// A body of the parts that `next` reads, until there are no more. It breaks off when it is not taken
/// in time.
fn sent_within(
    limit: Duration,
    mut next: impl FnMut() -> Result<Option<String>, BreaksOff> + Send + 'static,
) -> Body {
    let (parts, taken) = mpsc::channel::<Bytes>(PARTS_AHEAD);
    let (runtime, until) = (Handle::current(), Instant::now() + limit);
    let is_whole = Arc::new(AtomicBool::new(false));
    let has_ended = Arc::clone(&is_whole);
    tokio::task::spawn_blocking(move || {
        while let Ok(part) = next() {
            let Some(part) = part else { return has_ended.store(true, Ordering::Release) };
            let sent = parts.send(part.into());
            if !matches!(runtime.block_on(tokio::time::timeout_at(until, sent)), Ok(Ok(()))) {
                return;
            }
        }
    });
    Body::from_stream(stream::unfold(Some(taken), move |taken| {
        let is_whole = Arc::clone(&is_whole);
        async move {
            let mut taken = taken?;
            match taken.recv().await {
                Some(part) => Some((Ok(part), Some(taken))),
                None if is_whole.load(Ordering::Acquire) => None,
                None => Some((Err(BreaksOff), None)),
            }
        }
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
        let mut parts = vec!["c".to_owned(), "b".repeat(1 << 20), "a".to_owned()];
        let whole: String = parts.iter().rev().map(String::as_str).collect();
        let body = sent_within(SEND_MAX, move || Ok(parts.pop()));
        assert_eq!(axum::body::to_bytes(body, usize::MAX).await.expect("all of it"), whole);
    }

    #[tokio::test]
    async fn an_export_that_cannot_be_read_breaks_off() {
        let mut parts = vec![Err(BreaksOff), Ok(Some("a".to_owned()))];
        let body = sent_within(SEND_MAX, move || parts.pop().expect("it has ended"));
        assert!(axum::body::to_bytes(body, usize::MAX).await.is_err());
    }

    #[tokio::test]
    async fn a_caller_who_does_not_read_keeps_no_export() {
        let (turn, given_back) = oneshot::channel::<()>();
        let limit = Duration::from_millis(20);
        let next = move || {
            let _kept = &turn;
            Ok(Some("a".to_owned()))
        };
        let body = sent_within(limit, next);
        drop(body);
        let over = tokio::time::timeout(SEND_MAX, given_back).await;
        assert!(over.expect("the turn is given back in time").is_err());
    }

    #[tokio::test]
    async fn a_caller_who_is_late_is_told_so() {
        let limit = Duration::from_millis(20);
        let body = sent_within(limit, || Ok(Some("a".to_owned())));
        tokio::time::sleep(2 * limit).await;
        assert!(axum::body::to_bytes(body, usize::MAX).await.is_err());
    }
}
