//! Holds: what keeps a machine awake for a while.

use super::on::{Pen, record, shown};
use super::show;
use crate::contract::selfhood::{HoldPut, Holds};
use crate::problem::Problem;
use crate::v1::Answer;
use crate::v1::body::JsonBody;
use crate::v1::extract::{Key, Read};
use axum::extract::State;
use control::Control;
use govern::Write;

/// `GET self/holds`.
pub(super) async fn list(State(control): State<Control>, Read(on): Read) -> Answer {
    let selfhood = record(&control, &on)?.selfhood;
    let holds = show::holds(&selfhood, model::clock::now());
    shown(selfhood.revision, &Holds { revision: selfhood.revision, holds })
}

/// `PUT self/holds/{name}`.
pub(super) async fn put(
    State(control): State<Control>,
    pen: Pen,
    Key(name): Key,
    body: JsonBody,
) -> Answer {
    pen.written(&control, hold(name, body.to()?)?).await
}

/// The write for a hold.
pub(super) fn hold(name: String, put: HoldPut) -> Result<Write, Problem> {
    let Some(lasts) = put.ttl.or(put.lasts) else {
        return Err(Problem::invalid("ttl_missing", "a hold needs `ttl`: it always ends")
            .hint("send e.g. `{\"ttl\": \"10m\", \"reason\": \"…\"}`, and renew it in time"));
    };
    let reason = put.reason.unwrap_or_default();
    Ok(Write::Hold { name, lasts: lasts.to_ms(), reason })
}

/// `DELETE self/holds/{name}`.
pub(super) async fn remove(State(control): State<Control>, pen: Pen, Key(name): Key) -> Answer {
    pen.written(&control, Write::DropHold { name }).await
}
