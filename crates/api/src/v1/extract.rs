//! What a handler gets: the caller, the thing in the path with the right to it. Bodies: `body`.

use crate::auth::{Identity, Need, Target};
use crate::contract::lease::NONCE_HEADER;
use crate::problem::Problem;
use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use control::{Control, ControlError};
use model::{AppName, Cause, LeaseNonce, MachineId, State};
use store::MachineRecord;

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

/// A machine, with the caller's right to it checked: that of the path, or on a path that names none
/// the one that calls.
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

impl OnMachine {
    /// What control answered about this machine.
    pub(super) fn problem(&self, error: &ControlError) -> Problem {
        Problem::from_control(error, Some(&self.record.id))
    }
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
    let record = match path_of(parts, control).await? {
        (app, id) if app.is_empty() && id.is_empty() => own_machine(&who, control)?,
        (app, id) => {
            let app = app.parse().map_err(|_invalid| Problem::app_not_found())?;
            let id = id.parse().map_err(|_invalid| Problem::malformed_machine_id(&id))?;
            who.check(need, Target::Machine(&app, &id))?;
            named_machine(&app, &id, control)?
        }
    };
    if need != Need::Read && matches!(record.machine.state, State::Destroyed { .. }) {
        return Err(Problem::machine_not_found());
    }
    let nonce = header_text(parts, NONCE_HEADER);
    let cause = match &who {
        Identity::Guest(_) => Cause::Guest,
        Identity::Local { .. } | Identity::Token(_) => Cause::Api {
            actor: who.actor(),
            overrides_deny: who.is_owner() && asks_override(parts.uri.query()),
            nonce: nonce.clone().map(LeaseNonce),
        },
    };
    Ok(OnMachine { record, cause, who, nonce })
}

fn named_machine(
    app: &AppName,
    id: &MachineId,
    control: &Control,
) -> Result<MachineRecord, Problem> {
    control.machine(Some(app), id).or_else(|error| {
        // The app's absence is the better answer than the machine's.
        if matches!(error, ControlError::NotFound { what: "machine" }) {
            control.app(app).map_err(|e| Problem::from_control(&e, None))?;
        }
        Err(Problem::from_control(&error, Some(id)))
    })
}

/// The machine that calls, on a path that names none: it may do there whatever a machine may.
fn own_machine(who: &Identity, control: &Control) -> Result<MachineRecord, Problem> {
    let Identity::Guest(id) = who else { return Err(Problem::inside_only()) };
    control.machine(None, id).map_err(|e| Problem::from_control(&e, Some(id)))
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
    let params = path_params(parts, control).await?;
    Ok((pick(&params, "app"), pick(&params, "id")))
}

async fn path_params(parts: &mut Parts, control: &Control) -> Result<RawPathParams, Problem> {
    RawPathParams::from_request_parts(parts, control)
        .await
        .map_err(|error| Problem::invalid("invalid_path", error.body_text()))
}

fn pick(params: &RawPathParams, name: &str) -> String {
    params.iter().find(|(key, _)| *key == name).map_or("", |(_, value)| value).to_owned()
}

/// `{key}` of the path, whatever else is in it.
#[derive(Debug)]
pub(super) struct Key(pub(super) String);

impl FromRequestParts<Control> for Key {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Control) -> Result<Self, Problem> {
        Ok(Self(pick(&path_params(parts, state).await?, "key")))
    }
}
