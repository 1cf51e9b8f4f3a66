//! Access tokens.

use super::body::JsonBody;
use super::extract::{Caller, OperateApp};
use super::{Answer, reply, view};
use crate::auth::Identity;
use crate::contract::app::DEFAULT_ORG;
use crate::contract::host::{CreateDeployToken, DeployToken};
use crate::contract::shapes::{CurrentToken, CurrentTokens};
use crate::contract::{CreateToken, GoDuration, TokenCreated};
use crate::problem::Problem;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use control::{Control, HOOK_WRITER_PREFIX};

use store::{TokenReach, TokenRecord, TokenRight, TokenScope};

/// Longest name of a token.
const NAME_MAX_BYTES: usize = 64;

/// `GET /v1/tokens`.
pub(super) async fn list(State(control): State<Control>, who: Caller) -> Answer {
    who.must_be_owner()?;
    let tokens = control.tokens().map_err(|e| Problem::from_control(&e, None))?;
    reply::ok(&tokens.iter().map(view::token).collect::<Vec<_>>())
}

/// `POST /v1/tokens`: by the owner, or attenuated by the holder of a token that may operate.
pub(super) async fn create(State(control): State<Control>, who: Caller, body: JsonBody) -> Answer {
    let parent = maker(&who.0)?;
    let wish: CreateToken = body.to()?;
    let name = name(parent, &wish.name)?;
    let scope = TokenScope { reach: reach(&control, parent, &wish)?, right: right(&wish)? };
    let (record, token) = make(&control, parent, name, scope, wish.ttl).await?;
    reply::json(StatusCode::CREATED, &TokenCreated { token, info: view::token(&record) })
}

/// `POST /v1/apps/{app}/deploy_token`.
pub(super) async fn create_for_app(
    State(control): State<Control>,
    OperateApp(app, who): OperateApp,
    body: JsonBody,
) -> Answer {
    let parent = maker(&who)?;
    let wish: CreateDeployToken = body.to()?;
    let name = name(parent, "deploy")?;
    let scope = TokenScope { reach: TokenReach::App(app), right: TokenRight::Operate };
    let (_, token) = make(&control, parent, name, scope, wish.expiry).await?;
    reply::ok(&DeployToken { token })
}

/// The token with which another one is made; `None` for the owner, whose tokens stand alone.
fn maker(who: &Identity) -> Result<Option<&TokenRecord>, Problem> {
    match who {
        who if who.is_owner() => Ok(None),
        Identity::Token(token) if token.scope.right == TokenRight::Operate => Ok(Some(token)),
        Identity::Local { .. } | Identity::Token(_) | Identity::Guest(_) => {
            Err(Problem::forbidden(
                "only who may operate makes tokens",
                "use a token with the right `operate`, or the unix socket as root",
            ))
        }
    }
}

/// A name says who writes, and policies go by it: what is made with a token carries its name first.
fn name(parent: Option<&TokenRecord>, wished: &str) -> Result<String, Problem> {
    let name = match parent {
        Some(parent) if !wished.is_empty() => format!("{}.{wished}", parent.name),
        Some(_) | None => wished.to_owned(),
    };
    if name.is_empty() || name.len() > NAME_MAX_BYTES {
        return Err(Problem::invalid("invalid_name", "a token needs a name of 1 to 64 bytes")
            .hint("name who will use it: it is shown in events, after the name of its maker"));
    }
    if name.starts_with(HOOK_WRITER_PREFIX) {
        return Err(Problem::invalid("invalid_name", "writers of this name are hooks")
            .hint(format!("choose a name that does not begin with `{HOOK_WRITER_PREFIX}`")));
    }
    Ok(name)
}

async fn make(
    control: &Control,
    parent: Option<&TokenRecord>,
    name: String,
    scope: TokenScope,
    ttl: Option<GoDuration>,
) -> Result<(TokenRecord, String), Problem> {
    let ttl = ttl.map(GoDuration::to_ms).filter(|ttl| ttl.0 > 0);
    let made = control.create_token_with(parent, name, scope, ttl).await;
    made.map_err(|e| Problem::from_control(&e, None))
}

/// What a token shall reach, never more than the one with which it is made.
fn reach(
    control: &Control,
    parent: Option<&TokenRecord>,
    wish: &CreateToken,
) -> Result<TokenReach, Problem> {
    let own = parent.map_or(&TokenReach::All, |parent| &parent.scope.reach);
    let names_none = |name: &Option<String>| name.as_deref().is_none_or(str::is_empty);
    if names_none(&wish.app) && names_none(&wish.machine) {
        return Ok(own.clone());
    }
    let wished = wished_reach(control, wish)?;
    let is_within = match (own, &wished) {
        (TokenReach::All, _) => true,
        (TokenReach::App(own), TokenReach::Machine(id)) => control.machine(Some(own), id).is_ok(),
        (own, wished) => own == wished,
    };
    if is_within {
        return Ok(wished);
    }
    Err(Problem::forbidden(
        "a token cannot reach further than the one it is made with",
        "`GET /v1/tokens/current` shows what this one reaches",
    ))
}

fn wished_reach(control: &Control, wish: &CreateToken) -> Result<TokenReach, Problem> {
    let app = wish.app.as_deref().filter(|app| !app.is_empty());
    let machine = wish.machine.as_deref().filter(|id| !id.is_empty());
    if let Some(id) = machine {
        let id = id.parse().map_err(|_invalid| Problem::malformed_machine_id(id))?;
        let record =
            control.machine(None, &id).map_err(|e| Problem::from_control(&e, Some(&id)))?;
        let is_in_app = app.is_none_or(|app| app == record.app.as_str());
        return if is_in_app {
            Ok(TokenReach::Machine(id))
        } else {
            Err(Problem::machine_not_found())
        };
    }
    let Some(app) = app else { return Ok(TokenReach::All) };
    let app = app.parse().map_err(|_invalid| Problem::app_not_found())?;
    control.app(&app).map_err(|e| Problem::from_control(&e, None))?;
    Ok(TokenReach::App(app))
}

fn right(wish: &CreateToken) -> Result<TokenRight, Problem> {
    match wish.rights.as_deref() {
        Some("read") => Ok(TokenRight::Read),
        None | Some("" | "operate") => Ok(TokenRight::Operate),
        Some("self-write") => Ok(TokenRight::SelfWrite),
        Some(other) => Err(Problem::invalid("invalid_rights", format!("rights `{other}` unknown"))
            .hint("use `read`, `operate` or `self-write`")),
    }
}

/// `DELETE /v1/tokens/{token}`.
pub(super) async fn revoke(
    State(control): State<Control>,
    who: Caller,
    Path(token): Path<String>,
) -> Answer {
    who.must_be_owner()?;
    control.revoke_token(&token).await.map_err(|e| Problem::from_control(&e, None))?;
    reply::done()
}

/// `GET /v1/tokens/current`: what the caller holds.
pub(super) async fn current(who: Caller) -> Answer {
    let (token_id, user, reach) = match who.0 {
        Identity::Local { uid } => {
            (format!("uid:{uid}"), Some("local".to_owned()), TokenReach::All)
        }
        Identity::Token(token) => (token.id, Some(token.name), token.scope.reach),
        Identity::Guest(machine) => {
            let held =
                held(format!("machine:{machine}"), None, TokenReach::Machine(machine.clone()));
            let held = CurrentToken { source_machine_id: Some(machine.to_string()), ..held };
            return reply::ok(&CurrentTokens { tokens: vec![held] });
        }
    };
    reply::ok(&CurrentTokens { tokens: vec![held(token_id, user, reach)] })
}

fn held(token_id: String, user: Option<String>, reach: TokenReach) -> CurrentToken {
    let (apps, machine) = match reach {
        TokenReach::All => (vec!["*".to_owned()], None),
        TokenReach::App(app) => (vec![app.to_string()], None),
        TokenReach::Machine(machine) => (Vec::new(), Some(machine.to_string())),
    };
    CurrentToken {
        token_id,
        user,
        org_slug: DEFAULT_ORG.to_owned(),
        organization: DEFAULT_ORG.to_owned(),
        apps,
        restricted_to_machine: machine,
        source_machine_id: None,
    }
}
