//! Events: the newest ones as a list, or each as it happens.
//!
//! The same paths answer with a stream to whoever accepts `text/event-stream`, as the `EventSource` of
//! browsers does. A follower that comes again says what it has seen with `Last-Event-ID`.

use super::Answer;
use super::extract::{Read, ReadApp};
use super::query::{Params, wrong};
use super::{reply, view};
use crate::auth::Identity;
use crate::contract::events::MachineEvent;
use crate::problem::Problem;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::IntoResponse as _;
use control::{Control, ControlError, EventFollower, EventsOf};
use futures_util::stream;
use model::EventId;
use std::convert::Infallible;
use std::time::Duration;
use store::EventRecord;

/// Events in one answer when the caller names no limit, and at most. Source: machines-api 1.6.
pub(super) const LIMIT_DEFAULT: u64 = 20;
pub(super) const LIMIT_MAX: u64 = 50;

/// Header by which a follower says what it has seen. Source: HTML, 9.2.3.
const LAST_SEEN: &str = "last-event-id";

/// Silence after which a follower is told that somebody is still there: shorter than what idle
/// connections are given on their way.
const STILL_HERE_AFTER: Duration = Duration::from_secs(15);

/// What a stream begins with: the pause before a follower that was cut off comes again, in
/// milliseconds.
const GREETING: &str = "retry: 1000\n\n";

/// `GET …/machines/{id}/events?limit=`.
pub(super) async fn of_machine(
    State(control): State<Control>,
    Read(on): Read,
    headers: HeaderMap,
    params: Params,
) -> Answer {
    let id = &on.record.id;
    if wants_stream(&headers) {
        let of = EventsOf::Machine(id.clone());
        return follow(&control, of, &on.who, (&headers, &params));
    }
    let events = control.events(id, limit(&params)?).map_err(|e| on.problem(&e))?;
    reply::ok(&events.iter().map(view::event).collect::<Vec<_>>())
}

/// `GET /v1/apps/{app}/events?limit=` (our addition).
pub(super) async fn of_app(
    State(control): State<Control>,
    ReadApp(app, who): ReadApp,
    headers: HeaderMap,
    params: Params,
) -> Answer {
    if wants_stream(&headers) {
        return follow(&control, EventsOf::App(app), &who, (&headers, &params));
    }
    let events = control.events_of_app(&app, limit(&params)?).map_err(of_control)?;
    reply::ok(&events.iter().map(shown).collect::<Vec<_>>())
}

fn limit(params: &Params) -> Result<usize, Problem> {
    let limit = params.number("limit")?.unwrap_or(LIMIT_DEFAULT).clamp(1, LIMIT_MAX);
    Ok(usize::try_from(limit).expect("at most LIMIT_MAX"))
}

fn wants_stream(headers: &HeaderMap) -> bool {
    let mut accepted = headers.get_all(header::ACCEPT).iter().filter_map(|v| v.to_str().ok());
    accepted.any(|value| value.contains("text/event-stream"))
}

fn follow(
    control: &Control,
    of: EventsOf,
    who: &Identity,
    (headers, params): (&HeaderMap, &Params),
) -> Answer {
    let last = last_seen(headers, params)?;
    let is_inside = matches!(who, Identity::Guest(_));
    let follower = control.follow_events(of, last.as_ref(), is_inside).map_err(of_control)?;
    let kinds = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    let begun =
        stream::once(async { Ok::<_, Infallible>(Bytes::from_static(GREETING.as_bytes())) });
    let news = stream::unfold(follower, |mut follower| async move {
        let text = next(&mut follower).await?;
        Some((Ok::<_, Infallible>(Bytes::from(text)), follower))
    });
    let body = Body::from_stream(futures_util::StreamExt::chain(begun, news));
    Ok((kinds, body).into_response())
}

fn last_seen(headers: &HeaderMap, params: &Params) -> Result<Option<EventId>, Problem> {
    let header = headers.get(LAST_SEEN).and_then(|value| value.to_str().ok());
    match header.map(str::trim).filter(|text| !text.is_empty()) {
        Some(text) => {
            text.parse().map(Some).map_err(|_no_id| wrong(LAST_SEEN, text, "the id of an event"))
        }
        None => params.parsed::<EventId>("from_event_id"),
    }
}

/// The next events as text, or a sign of life; `None` at the end.
async fn next(follower: &mut EventFollower) -> Option<String> {
    match tokio::time::timeout(STILL_HERE_AFTER, follower.next()).await {
        Ok(Ok(events)) if events.is_empty() => None,
        Ok(Ok(events)) => Some(events.iter().map(message).collect()),
        Ok(Err(error)) => {
            tracing::warn!(%error, "events cannot be followed any more");
            None
        }
        Err(_silence) => Some(": still here\n\n".to_owned()),
    }
}

/// One event as the stream has it; its JSON has no line break.
fn message(record: &EventRecord) -> String {
    let event = shown(record);
    let data = serde_json::to_string(&event).expect("an event has only plain fields");
    format!("id: {}\nevent: {}\ndata: {data}\n\n", event.event.id, event.event.r#type)
}

fn shown(record: &EventRecord) -> MachineEvent {
    MachineEvent { machine_id: record.machine.to_string(), event: view::event(record) }
}

fn of_control(error: ControlError) -> Problem {
    Problem::from_control(&error, None)
}
