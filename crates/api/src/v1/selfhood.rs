//! `self/`: what a machine remembers, and what follows from it.
//!
//! The same handlers outside (`/v1/apps/{app}/machines/{id}/self/…`) and inside (`/v1/self/…`): the
//! machine is that of the path, or the one that calls. Who writes follows from who calls
//! ([`crate::auth::Identity::writer`]); who may, which values and how much is for `govern` to say.
//!
//! * `on`: a machine to write into. `show`: records as answers show them. `poll`: waiting.
//! * `memory`, `inbox`, `outbox`, `holds`, `alarms`, `rest`, `policy`, `trace`, `moving`, `peers`: the calls.

mod alarms;
mod dry_run;
mod holds;
mod inbox;
mod memory;
mod moving;
mod on;
mod outbox;
mod peers;
mod policy;
mod poll;
mod rest;
mod show;
mod text;
mod trace;
mod whole;

pub(super) use policy::lint_anywhere as lint;
pub(super) use show::decision;

use super::life;
use axum::Router;
use axum::routing::{delete, get, post};
use control::Control;

/// What stands behind `self`, outside and inside.
pub(super) fn routes() -> Router<Control> {
    Router::new()
        .route("/", get(whole::show))
        .route("/memory", get(memory::show).patch(memory::change))
        .route("/memory/{key}", get(memory::one).put(memory::put).delete(memory::remove))
        .route("/intent", get(memory::intent).patch(memory::change_intent))
        .route("/inbox", get(inbox::look).post(inbox::post))
        .route("/inbox/take", post(inbox::take))
        .route("/inbox/ack", post(inbox::ack))
        .route("/inbox/dead", get(inbox::dead))
        .route("/holds", get(holds::list))
        .route("/holds/{key}", axum::routing::put(holds::put).delete(holds::remove))
        .route("/alarms", get(alarms::list))
        .route("/alarms/{key}", axum::routing::put(alarms::put).delete(alarms::remove))
        .route("/alarms/{key}/ack", post(alarms::ack))
        .route("/rest", post(rest::ask).delete(rest::clear))
        .route("/wake", get(rest::wake))
        .route("/beat", post(rest::beat))
        .route("/notices", get(rest::notices))
        .route("/stop", post(life::stop))
        .route("/suspend", post(life::suspend))
        .route("/hold-down", get(rest::held).put(rest::hold_down).delete(rest::let_go))
        .route("/breaker", delete(rest::reset_breaker))
        .route("/policy", get(policy::show).put(policy::set).delete(policy::remove))
        .route("/policy/lint", post(policy::lint))
        .route("/policy/dry-run", post(dry_run::dry_run))
        .route("/explain", get(trace::explain))
        .route("/trace", get(trace::page))
        .route("/trace/verify", get(trace::verify))
        .route("/trace/replay", get(trace::replay))
        .route("/signals", get(whole::signals))
        .route("/outbox", get(outbox::list))
        .route("/export", get(moving::export))
        .route("/import", post(moving::import))
}

/// What only a machine can ask: about itself and about others of its network.
pub(super) fn inside_routes() -> Router<Control> {
    Router::new()
        .nest("/self", routes())
        .route("/peers/{key}/memory", get(peers::memory).patch(peers::change))
        .route("/peers/{key}/inbox", post(peers::post))
        .route("/peers/{key}/state", get(peers::state))
}
