//! Rests, wakes, beats, notices, hold-down, the circuit breaker.

use super::on::{Pen, record, shown};
use super::{poll, show};
use crate::auth::Identity;
use crate::contract::selfhood::{
    HoldDownPut, HoldDownReply, NoticeReply, POLL_MAX_S, RestAsked, RestPut, WakeReply,
};
use crate::problem::Problem;
use crate::v1::body::JsonBody;
use crate::v1::extract::{OnMachine, OperateSelf, Read};
use crate::v1::query::Params;
use crate::v1::{Answer, reply};
use axum::extract::State;
use control::Control;
use govern::Write;
use model::Depth;
use model::state::HoldDown;

/// `POST self/rest`: answered before the rest begins.
pub(super) async fn ask(State(control): State<Control>, pen: Pen, body: JsonBody) -> Answer {
    let revision = pen.write(&control, rest(body.to()?)).await?.revision;
    shown(revision, &RestAsked { revision, name: format!("self:{revision}") })
}

/// The write for a rest.
pub(super) fn rest(put: RestPut) -> Write {
    Write::RestUntil {
        mode: put.mode.unwrap_or(Depth::Stop),
        until: put.until,
        at: put.at.map(|at| at.0),
        note: put.note.unwrap_or_default(),
    }
}

/// `DELETE self/rest`.
pub(super) async fn clear(State(control): State<Control>, pen: Pen) -> Answer {
    pen.written(&control, Write::ClearRest).await
}

/// `GET self/wake`: why it was last woken, and what came of it.
pub(super) async fn wake(State(control): State<Control>, Read(on): Read) -> Answer {
    let selfhood = record(&control, &on)?.selfhood;
    let revision = selfhood.revision;
    shown(revision, &WakeReply { revision, wake: selfhood.wake.as_ref().map(show::wake) })
}

/// Refuses everyone but the machine itself.
fn must_be_itself(on: &OnMachine, what: &str) -> Result<(), Problem> {
    match on.who {
        Identity::Guest(_) => Ok(()),
        Identity::Local { .. } | Identity::Token(_) => Err(Problem::forbidden(
            format!("{what} come from inside the machine alone"),
            "call `/v1/self/…` on `/.fly/api` in the machine",
        )),
    }
}

/// `POST self/beat`: "I am alive". Nothing is stored.
pub(super) async fn beat(State(control): State<Control>, OperateSelf(on): OperateSelf) -> Answer {
    must_be_itself(&on, "beats")?;
    let id = &on.record.id;
    control.self_beat(id).map_err(|e| Problem::from_control(&e, Some(id)))?;
    reply::done()
}

/// `GET self/notices?timeout=`: waits for a rest that is coming. While it is open, rests by rule are
/// told first.
pub(super) async fn notices(
    State(control): State<Control>,
    Read(on): Read,
    params: Params,
) -> Answer {
    must_be_itself(&on, "calls for notices")?;
    let timeout = poll::timeout(&params, POLL_MAX_S)?;
    let id = &on.record.id;
    let notice = control.self_notice(id, timeout).await;
    let notice = notice.map_err(|e| Problem::from_control(&e, Some(id)))?;
    reply::ok(&NoticeReply { notice: notice.as_ref().map(show::notice) })
}

/// `GET self/hold-down`.
pub(super) async fn held(State(control): State<Control>, Read(on): Read) -> Answer {
    let revision = record(&control, &on)?.selfhood.revision;
    let hold_down = show::hold_down(&on.record.machine, model::clock::now());
    shown(revision, &HoldDownReply { revision, hold_down })
}

/// `PUT self/hold-down`.
pub(super) async fn hold_down(State(control): State<Control>, pen: Pen, body: JsonBody) -> Answer {
    pen.written(&control, Write::HoldDown(Some(holding(body.to()?)))).await
}

/// A hold-down as it is wished.
pub(super) fn holding(put: HoldDownPut) -> HoldDown {
    HoldDown { reason: put.reason.unwrap_or_default(), until: put.until.map(|until| until.0) }
}

/// `DELETE self/hold-down`.
pub(super) async fn let_go(State(control): State<Control>, pen: Pen) -> Answer {
    pen.written(&control, Write::HoldDown(None)).await
}

/// `DELETE self/breaker`: closes the circuit breaker, and forgets wakes without progress.
pub(super) async fn reset_breaker(State(control): State<Control>, pen: Pen) -> Answer {
    pen.written(&control, Write::ResetBreaker).await
}
