//! Apps.

use super::body::JsonBody;
use super::extract::{Caller, OperateApp, ReadApp};
use super::query::Params;
use super::{Answer, reply, view};
use crate::auth::{Need, Target};
use crate::contract::{AppCreated, AppList, CreateApp};
use crate::problem::Problem;
use axum::extract::State;
use axum::http::StatusCode;
use control::Control;
use model::{AppName, NetworkName};

/// `GET /v1/apps?org_slug=`: the apps that the caller may see.
pub(super) async fn list(State(control): State<Control>, who: Caller, params: Params) -> Answer {
    let records =
        control.apps(params.text("org_slug")).map_err(|e| Problem::from_control(&e, None))?;
    let apps: Vec<_> = records
        .iter()
        .filter(|(record, _)| who.0.check(Need::Read, Target::App(&record.name)).is_ok())
        .map(|(record, machine_count)| view::app(record, *machine_count))
        .collect();
    reply::ok(&AppList { total_apps: apps.len(), apps })
}

/// `POST /v1/apps`.
pub(super) async fn create(State(control): State<Control>, who: Caller, body: JsonBody) -> Answer {
    who.0.check(Need::Operate, Target::Host)?;
    let wish: CreateApp = body.to()?;
    let org = wish.org_slug.filter(|org| !org.is_empty()).ok_or_else(|| {
        let text = "authorization: request doesn't contain org_slug";
        Problem::new(StatusCode::BAD_REQUEST, "org_missing", text)
            .hint("send `\"org_slug\": \"personal\"`")
    })?;
    let name = wish.name.or(wish.app_name).unwrap_or_default();
    let name: AppName = name.parse().map_err(|error| invalid_name("Name", &name, &error))?;
    let network = wish.network.filter(|network| !network.is_empty());
    let network = network
        .map(|text| {
            text.parse::<NetworkName>().map_err(|error| invalid_name("Network", &text, &error))
        })
        .transpose()?;
    let app = control
        .create_app(name, org, network)
        .await
        .map_err(|e| Problem::from_control(&e, None))?;
    reply::json(StatusCode::CREATED, &AppCreated { id: app.id, created_at: app.created_at.0 })
}

fn invalid_name(what: &str, name: &str, error: &model::ids::InvalidId) -> Problem {
    let text = format!("Validation failed: {what} `{name}` is invalid");
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_name", text).hint(error.to_string())
}

/// `GET /v1/apps/{app}`.
pub(super) async fn show(State(control): State<Control>, ReadApp(name, _who): ReadApp) -> Answer {
    let app = control.app(&name).map_err(|e| Problem::from_control(&e, None))?;
    let apps = control.apps(Some(&app.org)).map_err(|e| Problem::from_control(&e, None))?;
    let machine_count = apps.iter().find(|(other, _)| other.name == name).map_or(0, |(_, n)| *n);
    reply::ok(&view::app(&app, machine_count))
}

/// `DELETE /v1/apps/{app}?force=`: with its machines if `force`.
pub(super) async fn remove(
    State(control): State<Control>,
    OperateApp(name, _who): OperateApp,
    params: Params,
) -> Answer {
    let force = params.flag("force")?;
    control.delete_app(&name, force).await.map_err(|e| Problem::from_control(&e, None))?;
    Ok(reply::empty(StatusCode::ACCEPTED))
}
