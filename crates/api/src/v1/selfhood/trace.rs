//! Explain, trace, verify, replay.

use super::on::{record, shown};
use super::{poll, show};
use crate::contract::selfhood::{
    BrokenEntry, Explanation, Keeper, Moment, Next, POLL_MAX_S, Replayed, Replays, TRACE_PAGE_MAX,
    TraceCheck, TracePage,
};
use crate::problem::Problem;
use crate::v1::extract::{OnMachine, Read};
use crate::v1::query::Params;
use crate::v1::{Answer, reply};
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use control::Control;
use futures_util::stream;
use govern::{Replay, TraceEntry};
use model::MachineId;
use std::convert::Infallible;
use std::time::Duration;

/// `GET self/explain`.
pub(super) async fn explain(State(control): State<Control>, Read(on): Read) -> Answer {
    let id = &on.record.id;
    let revision = record(&control, &on)?.selfhood.revision;
    let why = control.self_explain(id).await;
    let why = why.map_err(|e| Problem::from_control(&e, Some(id)))?;
    shown(
        revision,
        &Explanation {
            revision,
            state: on.record.machine.state.api_name().to_owned(),
            sentence: why.sentence,
            because: why.because,
            next: why.next.map(|next| Next { what: next.what, at: Moment(next.at) }),
            woken: why.woken,
            awake: why.awake.into_iter().map(keeper).collect(),
        },
    )
}

fn keeper(keeper: govern::Keeper) -> Keeper {
    let govern::Keeper { by, n, name, until, text } = keeper;
    Keeper { by: by.to_owned(), n, name, until: until.map(Moment), text }
}

/// `GET self/trace?after=&limit=&tail=&follow=`: a page, or with `follow` the entries one a line,
/// without end.
pub(super) async fn page(State(control): State<Control>, Read(on): Read, params: Params) -> Answer {
    let selfhood = record(&control, &on)?.selfhood;
    let head = show::trace_head(&selfhood.trace);
    let (mut after, mut limit) =
        (params.number("after")?.unwrap_or(0), poll::limit(&params, TRACE_PAGE_MAX)?);
    if let Some(tail) = params.number("tail")? {
        after = after.max(head.seq.saturating_sub(tail));
        limit = u32::try_from(tail).unwrap_or(TRACE_PAGE_MAX).clamp(1, TRACE_PAGE_MAX);
    }
    if params.flag("follow")? {
        return Ok(follow(control, on, after));
    }
    let id = &on.record.id;
    let entries = control.self_trace(id, after, limit);
    let entries = entries.map_err(|e| Problem::from_control(&e, Some(id)))?;
    shown(selfhood.revision, &TracePage { revision: selfhood.revision, head, entries })
}

/// Ends when the caller leaves or the machine is gone.
fn follow(control: Control, on: OnMachine, after: u64) -> Response {
    let body = stream::unfold((control, on.record.id, after), |(control, id, after)| async move {
        let (lines, last) = next_lines(&control, &id, after).await?;
        Some((Ok::<_, Infallible>(lines), (control, id, last)))
    });
    let kind = (header::CONTENT_TYPE, "application/x-ndjson");
    ([kind], Body::from_stream(body)).into_response()
}

/// The entries after number `after`, as soon as there are any, and the number of the last.
async fn next_lines(control: &Control, id: &MachineId, after: u64) -> Option<(Bytes, u64)> {
    let timeout = Duration::from_secs(POLL_MAX_S);
    loop {
        match control.self_trace_wait(id, after, TRACE_PAGE_MAX, timeout).await {
            Ok(entries) => {
                let Some(last) = entries.last().map(|entry| entry.seq) else { continue };
                return Some((entries.iter().flat_map(line).collect(), last));
            }
            Err(error) => {
                tracing::debug!(machine = %id, %error, "nobody can follow this trace any more");
                return None;
            }
        }
    }
}

fn line(entry: &TraceEntry) -> Vec<u8> {
    let mut text = serde_json::to_vec(entry).expect("an entry has text keys and finite numbers");
    text.push(b'\n');
    text
}

/// `GET self/trace/verify`.
pub(super) async fn verify(State(control): State<Control>, Read(on): Read) -> Answer {
    let id = &on.record.id;
    let selfhood = record(&control, &on)?.selfhood;
    let check = control.self_verify(id).await;
    let check = check.map_err(|e| Problem::from_control(&e, Some(id)))?;
    let broken = check.broken.as_ref();
    shown(
        selfhood.revision,
        &TraceCheck {
            ok: broken.is_none(),
            entries: check.entries,
            first: check.first,
            head: show::trace_head(&selfhood.trace),
            broken: broken.map(|at| BrokenEntry { seq: at.seq, why: at.why.to_owned() }),
        },
    )
}

/// `GET self/trace/replay?seq=`.
pub(super) async fn replay(
    State(control): State<Control>,
    Read(on): Read,
    params: Params,
) -> Answer {
    let id = &on.record.id;
    let seq = params.number("seq")?;
    let replays = control.self_replay(id, seq).await;
    let replays = replays.map_err(|e| Problem::from_control(&e, Some(id)))?;
    reply::ok(&replayed(&replays, seq.is_some()))
}

/// All decisions; entries that are none are left out unless one was asked for.
fn replayed(replays: &[(u64, Replay)], asked_for_one: bool) -> Replays {
    let mut shown = Replays { ok: true, ..Replays::default() };
    for (seq, replay) in replays {
        let seq = *seq;
        match replay {
            Replay::Agrees { unjudged } => {
                shown.agreed += 1;
                let outcome = "agrees".to_owned();
                let unjudged = unjudged.clone();
                shown.replays.push(Replayed { seq, outcome, unjudged, ..Replayed::default() });
            }
            Replay::Differs(differences) => {
                shown.ok = false;
                shown.differed += 1;
                shown.replays.push(Replayed::differing(seq, differences));
            }
            Replay::NotApplicable if asked_for_one => {
                let outcome = "not_applicable".to_owned();
                shown.replays.push(Replayed { seq, outcome, ..Replayed::default() });
            }
            Replay::NotApplicable => {}
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::{Replay, replayed};
    use govern::trace::Difference;

    #[test]
    fn one_difference_spoils_the_whole() {
        let agrees = Replay::Agrees { unjudged: Vec::new() };
        let differs = Replay::Differs(vec![Difference::NoRule("a".to_owned())]);
        let all = replayed(&[(1, Replay::NotApplicable), (2, agrees), (3, differs)], false);
        assert_eq!((all.ok, all.agreed, all.differed, all.replays.len()), (false, 1, 1, 2));
        let one = replayed(&[(1, Replay::NotApplicable)], true);
        assert_eq!((one.ok, one.replays[0].outcome.as_str()), (true, "not_applicable"));
    }
}
