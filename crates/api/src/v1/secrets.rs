//! Secrets of an app. Machines get them with their next configuration, not before.

use super::body::JsonBody;
use super::extract::{OperateApp, ReadApp};
use super::query::Params;
use super::{Answer, reply};
use crate::auth::{Identity, Need, Target};
use crate::contract::moment::rfc3339;
use crate::contract::secrets::{
    AppSecret, AppSecretList, AppSecretSet, AppSecretsSet, SecretsVersion, SetAppSecret,
    SetAppSecrets,
};
use crate::problem::Problem;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use control::{AppSecrets, Control, ControlError};
use model::AppName;
use std::collections::BTreeMap;

/// `GET /v1/apps/{app}/secrets?min_version=&show_secrets=`.
pub(super) async fn list(
    State(control): State<Control>,
    ReadApp(app, who): ReadApp,
    params: Params,
) -> Answer {
    let found = read(&control, &app, &who, &params)?;
    let version = found.version;
    reply::ok(&AppSecretList { secrets: found.secrets.into_iter().map(view).collect(), version })
}

/// `POST /v1/apps/{app}/secrets`.
pub(super) async fn set(
    State(control): State<Control>,
    OperateApp(app, _who): OperateApp,
    body: JsonBody,
) -> Answer {
    let wish: SetAppSecrets = body.to()?;
    let values = wish.values.unwrap_or_default();
    let version = control.set_app_secrets(&app, values).await.map_err(of_control)?;
    let all = control.app_secrets(&app, false).map_err(of_control)?;
    reply::ok(&AppSecretsSet {
        secrets: all.secrets.into_iter().map(view).collect(),
        version: version.into(),
    })
}

/// `GET /v1/apps/{app}/secrets/{name}?min_version=&show_secrets=`.
pub(super) async fn show(
    State(control): State<Control>,
    ReadApp(app, who): ReadApp,
    Path((_, name)): Path<(String, String)>,
    params: Params,
) -> Answer {
    let found = read(&control, &app, &who, &params)?;
    reply::ok(&one(found, &name)?)
}

/// `POST /v1/apps/{app}/secrets/{name}`.
pub(super) async fn set_one(
    State(control): State<Control>,
    OperateApp(app, _who): OperateApp,
    Path((_, name)): Path<(String, String)>,
    body: JsonBody,
) -> Answer {
    let wish: SetAppSecret = body.to()?;
    let Some(value) = wish.value else {
        return Err(Problem::invalid("value_missing", "value is required")
            .hint("send `{\"value\": \"…\"}`; `DELETE` removes a secret"));
    };
    let changes = BTreeMap::from([(name.clone(), Some(value))]);
    let version = control.set_app_secrets(&app, changes).await.map_err(of_control)?;
    let secret = one(control.app_secrets(&app, false).map_err(of_control)?, &name)?;
    reply::json(StatusCode::CREATED, &AppSecretSet { secret, version: version.into() })
}

/// `DELETE /v1/apps/{app}/secrets/{name}`.
pub(super) async fn remove(
    State(control): State<Control>,
    OperateApp(app, _who): OperateApp,
    Path((_, name)): Path<(String, String)>,
) -> Answer {
    let version = control.remove_app_secret(&app, &name).await.map_err(of_control)?;
    reply::ok(&SecretsVersion::from(version))
}

/// The secrets, if the caller may see as much of them as it asks for, and they are new enough.
fn read(
    control: &Control,
    app: &AppName,
    who: &Identity,
    params: &Params,
) -> Result<AppSecrets, Problem> {
    let shows_values = params.flag("show_secrets")?;
    if shows_values {
        who.check(Need::Operate, Target::App(app))?;
    }
    let found = control.app_secrets(app, shows_values).map_err(of_control)?;
    expect_version(params, found.version)?;
    Ok(found)
}

/// Refuses to answer with an older version than the caller knows of; `version` is the name that one
/// client has for it.
pub(super) fn expect_version(params: &Params, version: u64) -> Result<(), Problem> {
    let least = match params.number("min_version")? {
        None => params.number("version")?,
        least => least,
    };
    if least.is_none_or(|least| least <= version) {
        return Ok(());
    }
    Err(of_control(ControlError::Precondition {
        code: "stale_secrets",
        message: format!("the app's secrets are at version {version}"),
        hint: "`min_version` is the version that setting a secret has answered",
    }))
}

fn one(found: AppSecrets, name: &str) -> Result<AppSecret, Problem> {
    let secret = found.secrets.into_iter().find(|secret| secret.name == name);
    secret.map(view).ok_or_else(|| of_control(ControlError::NotFound { what: "secret" }))
}

fn view(secret: control::AppSecret) -> AppSecret {
    let control::AppSecret { name, digest, value, created_at, updated_at } = secret;
    let (created_at, updated_at) = (rfc3339(created_at), rfc3339(updated_at));
    AppSecret { name, digest, value, created_at, updated_at }
}

fn of_control(error: ControlError) -> Problem {
    Problem::from_control(&error, None)
}
