//! Leases.

use super::body::JsonBody;
use super::extract::{Operate, Read};
use super::query::Params;
use super::{Answer, reply, view};
use crate::contract::lease::{TTL_DEFAULT_S, TTL_MAX_S};
use crate::contract::{LeaseReply, LeaseRequest};
use crate::problem::Problem;
use axum::extract::State;
use axum::http::StatusCode;
use control::{Control, LeaseWish};
use model::DurationMs;
use serde_json::json;

/// `GET …/lease`: the nonce is shown to its holder only.
pub(super) async fn show(State(control): State<Control>, Read(on): Read) -> Answer {
    let id = &on.record.id;
    let lease = control.lease(id).map_err(|e| Problem::from_control(&e, Some(id)))?;
    let is_holder = on.nonce.as_deref() == Some(lease.nonce.as_str());
    reply::ok(&LeaseReply::from(view::lease(&lease, is_holder)))
}

/// `POST …/lease?ttl=`: takes it, or extends it with the nonce.
pub(super) async fn take(
    State(control): State<Control>,
    Operate(on): Operate,
    params: Params,
    body: JsonBody,
) -> Answer {
    let wish: LeaseRequest = body.to()?;
    let ttl_s = wish.ttl.or(params.number("ttl")?).filter(|s| *s > 0).unwrap_or(TTL_DEFAULT_S);
    if ttl_s > TTL_MAX_S {
        return Err(ttl_out_of_range(ttl_s));
    }
    let wish = LeaseWish {
        ttl: DurationMs::from_secs(ttl_s),
        description: wish.description.unwrap_or_default(),
        owner: on.who.lease_owner(),
        nonce: on.nonce,
    };
    let id = &on.record.id;
    let lease =
        control.take_lease(id, wish).await.map_err(|e| Problem::from_control(&e, Some(id)))?;
    reply::json(StatusCode::CREATED, &LeaseReply::from(view::lease(&lease, true)))
}

/// 400: longer than a lease may be.
pub(super) fn ttl_out_of_range(ttl_s: u64) -> Problem {
    Problem::invalid("invalid_ttl", format!("a lease of {ttl_s} s is too long"))
        .hint(format!("take at most {TTL_MAX_S} s and extend it while you work"))
}

/// `DELETE …/lease`.
pub(super) async fn release(State(control): State<Control>, Operate(on): Operate) -> Answer {
    let id = &on.record.id;
    let nonce = on.nonce.as_deref().unwrap_or_default();
    control.release_lease(id, nonce).await.map_err(|e| Problem::from_control(&e, Some(id)))?;
    reply::ok(&json!({"status": "success", "data": {"ok": true}}))
}
