//! What a handler gets: the caller, the thing in the path with the right to it, the body.

use crate::auth::{Identity, Need, Target};
use crate::contract::lease::NONCE_HEADER;
use crate::problem::Problem;
use crate::spec::typed;
use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, RawPathParams, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use control::{Control, ControlError};
use futures_util::StreamExt as _;
use model::{AppName, Cause, MachineId, State};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::time::Duration;
use store::MachineRecord;

/// Largest body that is read. Source: the bound on a machine's configuration in the design.
pub(super) const BODY_MAX_BYTES: usize = 1024 * 1024;

/// Bytes of a larger body that are thrown away so that the caller sees the answer, not a reset.
const DRAIN_MAX_BYTES: usize = 32 * 1024 * 1024;

/// Longest time a caller takes to send its body.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// The caller.
#[derive(Clone, Debug)]
pub(super) struct Caller(pub(super) Identity);

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        identity(parts).map(Self)
    }
}

impl Caller {
    /// Refuses everyone but the owner.
    pub(super) fn must_be_owner(&self) -> Result<(), Problem> {
        if self.0.is_owner() {
            return Ok(());
        }
        Err(Problem::forbidden(
            "only the owner of this host may do this",
            "use the unix socket as root, or a token of scope `all` with the right `operate`",
        ))
    }
}

fn identity(parts: &Parts) -> Result<Identity, Problem> {
    parts.extensions.get::<Identity>().cloned().ok_or_else(Problem::unauthenticated)
}

/// The app of the path, to look at.
#[derive(Debug)]
pub(super) struct ReadApp(pub(super) AppName, pub(super) Identity);

/// The app of the path, to change.
#[derive(Debug)]
pub(super) struct OperateApp(pub(super) AppName, pub(super) Identity);

impl FromRequestParts<Control> for ReadApp {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Control) -> Result<Self, Problem> {
        let (app, who) = app_of(parts, state, Need::Read).await?;
        Ok(Self(app, who))
    }
}

impl FromRequestParts<Control> for OperateApp {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Control) -> Result<Self, Problem> {
        let (app, who) = app_of(parts, state, Need::Operate).await?;
        Ok(Self(app, who))
    }
}

async fn app_of(
    parts: &mut Parts,
    control: &Control,
    need: Need,
) -> Result<(AppName, Identity), Problem> {
    let who = identity(parts)?;
    let (app, _) = path_of(parts, control).await?;
    let app: AppName = app.parse().map_err(|_invalid| Problem::app_not_found())?;
    who.check(need, Target::App(&app))?;
    control.app(&app).map_err(|e| Problem::from_control(&e, None))?;
    Ok((app, who))
}

/// A machine, with the caller's right to it checked.
#[derive(Debug)]
pub(super) struct OnMachine {
    /// The machine.
    pub(super) record: MachineRecord,
    /// Why something is done to it.
    pub(super) cause: Cause,
    /// Who does it.
    pub(super) who: Identity,
    /// The nonce the caller sent.
    pub(super) nonce: Option<String>,
}

/// The machine of the path, to look at.
#[derive(Debug)]
pub(super) struct Read(pub(super) OnMachine);

/// The machine of the path, to change.
#[derive(Debug)]
pub(super) struct Operate(pub(super) OnMachine);

/// The machine of the path, to change in a way that it may ask for itself.
#[derive(Debug)]
pub(super) struct OperateSelf(pub(super) OnMachine);

impl FromRequestParts<Control> for Read {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Control) -> Result<Self, Problem> {
        machine_of(parts, state, Need::Read).await.map(Self)
    }
}

impl FromRequestParts<Control> for Operate {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Control) -> Result<Self, Problem> {
        machine_of(parts, state, Need::Operate).await.map(Self)
    }
}

impl FromRequestParts<Control> for OperateSelf {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Control) -> Result<Self, Problem> {
        machine_of(parts, state, Need::OperateSelf).await.map(Self)
    }
}

async fn machine_of(
    parts: &mut Parts,
    control: &Control,
    need: Need,
) -> Result<OnMachine, Problem> {
    let who = identity(parts)?;
    let (app, id) = path_of(parts, control).await?;
    let app: AppName = app.parse().map_err(|_invalid| Problem::app_not_found())?;
    let id: MachineId = id.parse().map_err(|_invalid| Problem::malformed_machine_id(&id))?;
    who.check(need, Target::Machine(&app, &id))?;
    let record = control.machine(Some(&app), &id).or_else(|error| {
        // The app's absence is the better answer than the machine's.
        if matches!(error, ControlError::NotFound { what: "machine" }) {
            control.app(&app).map_err(|e| Problem::from_control(&e, None))?;
        }
        Err(Problem::from_control(&error, Some(&id)))
    })?;
    if need != Need::Read && matches!(record.machine.state, State::Destroyed { .. }) {
        return Err(Problem::machine_not_found());
    }
    let nonce = header_text(parts, NONCE_HEADER);
    let cause = match &who {
        Identity::Guest(_) => Cause::Guest,
        Identity::Local { .. } | Identity::Token(_) => Cause::Api {
            actor: who.actor(),
            overrides_deny: who.is_owner() && asks_override(parts.uri.query()),
            holds_lease: control.passes_lease(&record, nonce.as_deref()),
        },
    };
    Ok(OnMachine { record, cause, who, nonce })
}

fn asks_override(query: Option<&str>) -> bool {
    query.is_some_and(|q| q.split('&').any(|pair| pair == "override=1" || pair == "override=true"))
}

fn header_text(parts: &Parts, name: &str) -> Option<String> {
    let value = parts.headers.get(name)?.to_str().ok()?.trim();
    (!value.is_empty()).then(|| value.to_owned())
}

/// `{app}` and `{id}` of the path; empty when the route has none.
async fn path_of(parts: &mut Parts, control: &Control) -> Result<(String, String), Problem> {
    let params = RawPathParams::from_request_parts(parts, control)
        .await
        .map_err(|error| Problem::invalid("invalid_path", error.body_text()))?;
    let pick = |name| params.iter().find(|(key, _)| *key == name).map_or("", |(_, value)| value);
    Ok((pick("app").to_owned(), pick("id").to_owned()))
}

/// The body as a JSON object; an empty body is `{}`, whatever its content type.
#[derive(Debug)]
pub(super) struct JsonBody(pub(super) Value);

impl<S: Send + Sync> FromRequest<S> for JsonBody {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        read_json(request).await.map(Self)
    }
}

impl JsonBody {
    /// The body as `T`.
    pub(super) fn to<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        typed(&self.0, "")
    }
}

/// Reads the body of `request` as a JSON object.
pub(super) async fn read_json(request: Request) -> Result<Value, Problem> {
    let bytes = read_body(request).await?;
    if bytes.trim_ascii().is_empty() {
        return Ok(Value::Object(serde_json::Map::new()));
    }
    let value: Value = serde_json::from_slice(&bytes).map_err(|error| {
        Problem::invalid("bad_json", format!("the body is not JSON: {error}"))
            .hint("send one JSON object; text must be UTF-8")
    })?;
    let kind = match &value {
        Value::Null => return Ok(Value::Object(serde_json::Map::new())),
        Value::Object(_) => return Ok(value),
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
    };
    let text = format!("json: cannot unmarshal {kind} into an object");
    Err(Problem::new(StatusCode::BAD_REQUEST, "wrong_type", text).hint("send one JSON object"))
}

async fn read_body(request: Request) -> Result<Vec<u8>, Problem> {
    let declared: Option<usize> = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse().ok());
    let body = request.into_body();
    let reading = async {
        if declared.is_some_and(|bytes| bytes > DRAIN_MAX_BYTES) {
            return Err(Problem::too_large(BODY_MAX_BYTES));
        }
        collect(body).await
    };
    tokio::time::timeout(BODY_TIMEOUT, reading).await.unwrap_or_else(|_elapsed| {
        Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", "the body came too slowly")
            .retryable())
    })
}

async fn collect(body: Body) -> Result<Vec<u8>, Problem> {
    let mut stream = body.into_data_stream();
    let mut bytes = Vec::new();
    let mut seen_bytes = 0_usize;
    while let Some(part) = stream.next().await {
        let part = part.map_err(|error| {
            Problem::invalid("bad_body", format!("the body could not be read: {error}")).retryable()
        })?;
        seen_bytes += part.len();
        if seen_bytes > DRAIN_MAX_BYTES {
            break;
        }
        if seen_bytes <= BODY_MAX_BYTES {
            bytes.extend_from_slice(&part);
        }
    }
    if seen_bytes > BODY_MAX_BYTES { Err(Problem::too_large(BODY_MAX_BYTES)) } else { Ok(bytes) }
}
