//! The host: health, regions, doctor, metered use.

use super::extract::Caller;
use super::query::Params;
use super::{Answer, reply, view};
use crate::auth::{Need, Target};
use crate::contract::{Doctor, Ok};
use crate::problem::Problem;
use axum::extract::State;
use axum::http::StatusCode;
use control::Control;
use model::AppName;

/// `GET /healthz`: no token needed, nothing told.
pub(super) async fn healthz() -> axum::Json<Ok> {
    axum::Json(Ok { ok: true })
}

/// `GET /v1/doctor`.
pub(super) async fn doctor(State(control): State<Control>, who: Caller) -> Answer {
    who.0.check(Need::Read, Target::Host)?;
    reply::ok(&Doctor { findings: control.doctor().await })
}

/// `GET /v1/proxy?app=`.
pub(super) async fn proxy(State(control): State<Control>, who: Caller, params: Params) -> Answer {
    let app = params.parsed::<AppName>("app")?;
    who.0.check(Need::Read, app.as_ref().map_or(Target::Host, Target::App))?;
    match control.proxies(app.map(|app| app.to_string())).await {
        Some(proxies) => reply::ok(&proxies),
        None => Err(Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "no_proxy",
            "the proxy does not answer",
        )
        .hint("it is started by `dormouse up` unless `--no-proxy` is given; its log says more")
        .retryable()),
    }
}

/// `GET /v1/usage?app=`.
pub(super) async fn usage(State(control): State<Control>, who: Caller, params: Params) -> Answer {
    let app = params.parsed::<AppName>("app")?;
    let target = app.as_ref().map_or(Target::Host, Target::App);
    who.0.check(Need::Read, target)?;
    let metered =
        control.metered(app.as_ref(), None).map_err(|e| Problem::from_control(&e, None))?;
    reply::ok(&view::usage(&metered))
}
