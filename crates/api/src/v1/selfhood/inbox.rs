//! Messages: looked at, posted, taken, acknowledged.

use super::on::{Pen, answered, record, shown};
use super::text::RawBody;
use super::{poll, show};
use crate::contract::selfhood::{
    Acked, DeadLetters, IDEMPOTENCY_HEADER, InboxPage, MESSAGE_PAGE_MAX, MessagesAck, MessagesTake,
    Post, Posted, Span, Taken,
};
use crate::problem::Problem;
use crate::spec::typed;
use crate::v1::Answer;
use crate::v1::body::JsonBody;
use crate::v1::extract::Read;
use crate::v1::query::{Params, wrong};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use control::{Control, SelfWritten};
use govern::write::{Message, Reply};
use govern::{Action, Write};
use serde_json::Value;
use std::time::Duration;
use tokio::time::Instant;

/// Messages of a take when the caller names no number: the program works on one after the other.
const TAKE_DEFAULT: u32 = 1;

/// `GET self/inbox?after=&limit=`: to look delivers nothing. With `?take=N&timeout=S` it is
/// `POST self/inbox/take`.
pub(super) async fn look(
    State(control): State<Control>,
    Read(on): Read,
    pen: Result<Pen, Problem>,
    params: Params,
) -> Answer {
    if let Some(max) = poll::count(&params, "take", MESSAGE_PAGE_MAX)? {
        let timeout = poll::timeout(&params, 0)?;
        return deliver(&control, &pen?, max, timeout).await;
    }
    let after = params.number("after")?.unwrap_or(0);
    let limit = poll::limit(&params, MESSAGE_PAGE_MAX)?;
    let id = &on.record.id;
    let selfhood = record(&control, &on)?.selfhood;
    let found = control.self_inbox(id, after, limit);
    let found = found.map_err(|e| Problem::from_control(&e, Some(id)))?;
    let now = model::clock::now();
    let page = InboxPage {
        revision: selfhood.revision,
        counts: show::inbox(&selfhood.inbox),
        messages: found.iter().map(|message| show::message(message, now)).collect(),
    };
    shown(page.revision, &page)
}

/// `POST self/inbox`.
pub(super) async fn post(
    State(control): State<Control>,
    pen: Pen,
    headers: HeaderMap,
    params: Params,
    body: RawBody,
) -> Answer {
    let message = message(&headers, &params, body)?;
    posted(&pen.write(&control, Write::Post(message)).await?)
}

/// 201, or 200 when it had been posted before.
pub(super) fn posted(written: &SelfWritten) -> Result<Response, Problem> {
    let Reply::Posted { seq, is_new } = written.reply else {
        return Err(Problem::internal("internal: a post was answered as something else"));
    };
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    let revision = written.revision;
    answered(status, revision, &Posted { revision, seq, new: is_new })
}

/// The message of a request: an object when it is JSON, else its text.
pub(super) fn message(
    headers: &HeaderMap,
    params: &Params,
    body: RawBody,
) -> Result<Message, Problem> {
    let key = idempotency_key(headers)?;
    let post = if body.is_json() {
        let object = body.into_value()?;
        typed(&object, "").map_err(|problem| {
            problem.hint(
                "send `{\"body\": …}` with `id`, `wake` and `hops` as you like, or the text alone \
                 with `Content-Type: text/plain`",
            )
        })?
    } else {
        Post {
            body: Value::String(body.into_text()?),
            id: params.text("id").map(str::to_owned),
            wake: Some(params.flag("wake")?),
            hops: params.parsed("hops")?,
        }
    };
    let named =
        post.named(key).map_err(|two| Problem::invalid("two_ids", two).hint("send one of them"))?;
    Ok(named.into_message())
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let Some(value) = headers.get(IDEMPOTENCY_HEADER) else { return Ok(None) };
    value.to_str().map(Some).map_err(|_not_ascii| {
        Problem::invalid("invalid_idempotency_key", "`Idempotency-Key` is not plain ASCII")
            .hint("use an id such as a ULID or UUID, at most 128 bytes")
    })
}

/// `POST self/inbox/take`.
pub(super) async fn take(State(control): State<Control>, pen: Pen, body: JsonBody) -> Answer {
    let MessagesTake { max, timeout } = body.to()?;
    let max = max.unwrap_or(TAKE_DEFAULT);
    if max == 0 {
        return Err(wrong("max", "0", &format!("1 to {MESSAGE_PAGE_MAX}")));
    }
    let timeout = poll::bounded(timeout.map_or(Duration::ZERO, |span: Span| span.to_ms().to_std()));
    deliver(&control, &pen, max.min(MESSAGE_PAGE_MAX), timeout).await
}

/// Delivers at most `max` messages, waiting for the first one at most `timeout`.
async fn deliver(control: &Control, pen: &Pen, max: u32, timeout: Duration) -> Answer {
    // Asked before the machine hears of it: a refusal there is written down.
    Action::Take.check(&pen.writer).map_err(|refused| pen.problem(&refused.into()))?;
    let deadline = Instant::now() + timeout;
    loop {
        let written = pen.write(control, Write::Take { max }).await?;
        let left = deadline.saturating_duration_since(Instant::now());
        if !written.messages.is_empty() || left.is_zero() {
            return taken(&written);
        }
        let waited = control.self_wait_messages(pen.id(), left).await;
        waited.map_err(|e| pen.problem(&e))?;
    }
}

fn taken(written: &SelfWritten) -> Answer {
    let again_at = match written.reply {
        Reply::Taken { again_at, .. } => again_at,
        Reply::Done | Reply::Posted { .. } => None,
    };
    let now = model::clock::now();
    let taken = Taken {
        revision: written.revision,
        messages: written.messages.iter().map(|message| show::message(message, now)).collect(),
        again_at: again_at.map(Into::into),
    };
    shown(taken.revision, &taken)
}

/// `POST self/inbox/ack`.
pub(super) async fn ack(State(control): State<Control>, pen: Pen, body: JsonBody) -> Answer {
    let MessagesAck { seqs } = body.to()?;
    let revision = pen.write(&control, Write::Ack { seqs }).await?.revision;
    let depth = record(&control, &pen.on)?.selfhood.inbox.depth;
    shown(revision, &Acked { revision, depth })
}

/// `GET self/inbox/dead?limit=`.
pub(super) async fn dead(State(control): State<Control>, Read(on): Read, params: Params) -> Answer {
    let limit = poll::limit(&params, MESSAGE_PAGE_MAX)?;
    let id = &on.record.id;
    let selfhood = record(&control, &on)?.selfhood;
    let found = control.self_dead_letters(id, limit);
    let found = found.map_err(|e| Problem::from_control(&e, Some(id)))?;
    let now = model::clock::now();
    let letters = DeadLetters {
        revision: selfhood.revision,
        dead: selfhood.inbox.dead,
        messages: found.iter().map(|message| show::message(message, now)).collect(),
    };
    shown(letters.revision, &letters)
}

#[cfg(test)]
mod tests;
