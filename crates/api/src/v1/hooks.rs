//! Hooks: made and shown by those who may operate an app, posted to by anybody.

use super::body::{BODY_TIMEOUT, JsonBody, read_body};
use super::extract::{OperateApp, ReadApp};
use super::{Answer, reply};
use crate::auth::Identity;
use crate::contract::hooks::{
    self as contract, HookSecret, HookSignature, OldSecret, PutHook, RotateHook,
    RotateSigningSecret, SigningSecret,
};
use crate::contract::selfhood::Span;
use crate::problem::Problem;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use control::{
    Control, ControlError, HOOK_PER_SECOND, HookPost, HookRefused, HookWish, OVERLAP, Retiring,
    SecretWish,
};
use govern::limits::MESSAGE_BYTES_MAX;
use policy::period::Period;
use std::collections::BTreeMap;

/// `GET /v1/apps/{app}/hooks`.
pub(super) async fn list(State(control): State<Control>, ReadApp(app, _who): ReadApp) -> Answer {
    let hooks = control.hooks(&app).map_err(of_control)?;
    reply::ok(&hooks.iter().map(shown).collect::<Vec<_>>())
}

/// `GET /v1/apps/{app}/hooks/{name}`: without its secret.
pub(super) async fn show(
    State(control): State<Control>,
    ReadApp(app, _who): ReadApp,
    Path((_, name)): Path<(String, String)>,
) -> Answer {
    reply::ok(&shown(&control.hook(&app, &name).map_err(of_control)?))
}

/// `PUT /v1/apps/{app}/hooks/{name}`.
pub(super) async fn put(
    State(control): State<Control>,
    OperateApp(app, _who): OperateApp,
    Path((_, name)): Path<(String, String)>,
    body: JsonBody,
) -> Answer {
    let wish = wish(body.to()?)?;
    let (hook, secret) = control.put_hook(&app, &name, wish).await.map_err(of_control)?;
    reply::ok(&contract::Hook { secret, ..shown(&hook) })
}

/// `DELETE /v1/apps/{app}/hooks/{name}`.
pub(super) async fn remove(
    State(control): State<Control>,
    OperateApp(app, _who): OperateApp,
    Path((_, name)): Path<(String, String)>,
) -> Answer {
    control.remove_hook(&app, &name).await.map_err(of_control)?;
    reply::done()
}

/// `POST /v1/apps/{app}/hooks/{name}/rotate`.
pub(super) async fn rotate(
    State(control): State<Control>,
    OperateApp(app, _who): OperateApp,
    Path((_, name)): Path<(String, String)>,
    body: JsonBody,
) -> Answer {
    let RotateHook { secret, overlap } = body.to()?;
    let given = match secret {
        None | Some(HookSecret::Draw { .. }) => None,
        Some(HookSecret::Given(secret)) => Some(secret),
    };
    let overlap = overlap.map_or(OVERLAP, Span::to_ms);
    let rotated = control.rotate_hook_secret(&app, &name, given, overlap).await;
    let (hook, secret) = rotated.map_err(of_control)?;
    reply::ok(&contract::Hook { secret, ..shown(&hook) })
}

/// `GET /v1/apps/{app}/signing-secret`: a right to operate is needed, because it is a secret.
pub(super) async fn signing_secret(
    State(control): State<Control>,
    OperateApp(app, _who): OperateApp,
) -> Answer {
    reply::ok(&shown_secret(control.signing_secret(&app).await.map_err(of_control)?))
}

/// `POST /v1/apps/{app}/signing-secret/rotate`.
pub(super) async fn rotate_signing_secret(
    State(control): State<Control>,
    OperateApp(app, _who): OperateApp,
    body: JsonBody,
) -> Answer {
    let RotateSigningSecret { overlap } = body.to()?;
    let overlap = overlap.map_or(OVERLAP, Span::to_ms);
    let secret = control.rotate_signing_secret(&app, overlap).await.map_err(of_control)?;
    reply::ok(&shown_secret(secret))
}

fn shown_secret(known: control::SigningSecret) -> SigningSecret {
    let control::SigningSecret { secret, old_secrets } = known;
    SigningSecret { secret, old_secrets: shown_old(&old_secrets) }
}

fn shown_old(old: &[Retiring]) -> Vec<OldSecret> {
    old.iter().map(|old| OldSecret { until: old.until.into() }).collect()
}

/// `POST /v1/hooks/{app}/{name}`: no token is needed. The body is the message, as it is.
pub(super) async fn post(
    State(control): State<Control>,
    Path((app, name)): Path<(String, String)>,
    request: Request,
) -> Answer {
    let is_guest = matches!(request.extensions().get(), Some(Identity::Guest(_)));
    let headers = texts(request.headers());
    // Read before anything is looked up: who posts to nowhere waits as long as anybody.
    let bytes = read_body(BODY_TIMEOUT, MESSAGE_BYTES_MAX, request).await.map_err(|problem| {
        problem.hint("a message has at most 256 KiB: let the sender post a reference to it")
    })?;
    let body = String::from_utf8(bytes).map_err(|_binary| {
        Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "binary_body",
            "the body is not UTF-8 text",
        )
        .hint("send text, such as JSON; binary data fits in as base64")
    })?;
    // A machine reaches others by `/v1/peers`, and no other app at all.
    let app = app.parse().ok().filter(|_| !is_guest).ok_or_else(unknown)?;
    let posted = control.post_to_hook(&app, &name, HookPost { headers, body }).await;
    let posted = posted.map_err(refused)?;
    let answer = contract::HookPosted { seq: posted.seq, new: posted.is_new };
    reply::json(StatusCode::ACCEPTED, &answer)
}

/// Headers that are text; names are in lower case by themselves.
fn texts(headers: &HeaderMap) -> BTreeMap<String, String> {
    let text = |value: &axum::http::HeaderValue| value.to_str().ok().map(str::to_owned);
    headers.iter().filter_map(|(name, value)| Some((name.to_string(), text(value)?))).collect()
}

fn wish(put: PutHook) -> Result<HookWish, Problem> {
    if put.machine.is_empty() {
        return Err(Problem::invalid("missing_machine", "`machine` is missing")
            .hint("send the id or name of a machine of this app"));
    }
    let secret = match put.secret {
        None | Some(HookSecret::Draw { generate: false }) => SecretWish::Keep,
        Some(HookSecret::Draw { generate: true }) => SecretWish::Generate,
        Some(HookSecret::Given(secret)) => SecretWish::Given(secret),
    };
    let signature = put.signature.map(|by| {
        let tolerance = by.tolerance.map(Span::to_ms);
        let (header, prefix) = (by.header.as_deref(), by.prefix.as_deref());
        control::HookSignature::new(by.scheme, header, prefix, tolerance).map_err(|why| {
            Problem::invalid("invalid_hook_signature", why)
                .hint("`docs/governance.md` has the schemes and what each needs")
        })
    });
    let signature = signature.transpose()?;
    Ok(HookWish { machine: put.machine, wake: put.wake.unwrap_or(true), secret, signature })
}

fn shown(hook: &control::Hook) -> contract::Hook {
    contract::Hook {
        name: hook.name.clone(),
        app: hook.app.to_string(),
        machine: hook.machine.to_string(),
        wake: hook.wake,
        path: format!("/v1/hooks/{}/{}", hook.app, hook.name),
        signature: hook.signature.as_ref().map(shown_signature),
        created_at: hook.created_at.0,
        secret: None,
        old_secrets: shown_old(&hook.old_secrets),
    }
}

/// Only what the scheme leaves open, so that it can be sent again as it is.
fn shown_signature(by: &control::HookSignature) -> HookSignature {
    let control::HookSignature { scheme, header, prefix, tolerance } = by.clone();
    let is_open = matches!(
        scheme,
        control::SignatureScheme::HmacSha256Hex | control::SignatureScheme::HmacSha256Base64
    );
    HookSignature {
        scheme,
        header: is_open.then_some(header),
        prefix: Some(prefix).filter(|prefix| is_open && !prefix.is_empty()),
        tolerance: (tolerance.0 > 0).then_some(Span(Period(tolerance))),
    }
}

fn of_control(error: ControlError) -> Problem {
    Problem::from_control(&error, None)
}

/// The same words whatever it is that is not there.
fn unknown() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "hook_not_found", "not_found: hook not found")
        .hint("check app and name of the hook with whoever gave you this address")
}

fn refused(refused: HookRefused) -> Problem {
    match refused {
        HookRefused::Unknown => unknown(),
        HookRefused::Signature(why) => {
            let text = format!("unauthenticated: {why}");
            Problem::new(StatusCode::UNAUTHORIZED, "bad_signature", text)
                .hint("sign the body as it is sent, with the secret of this hook, now")
        }
        HookRefused::Rate { .. } => {
            let text = format!("rate limit exceeded: {refused}");
            Problem::new(StatusCode::TOO_MANY_REQUESTS, "hook_rate", text)
                .retryable()
                .hint(format!("send at most {HOOK_PER_SECOND} posts a second"))
        }
        HookRefused::Inbox(error @ ControlError::Self_(_)) => of_control(error),
        HookRefused::Inbox(error) => {
            // It may name the machine, and that is nothing for strangers.
            tracing::warn!(%error, "a post to a hook was not stored");
            let text = "unavailable: the message could not be stored";
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "hook_unavailable", text)
                .retryable()
                .hint("send it again, under the same id")
        }
    }
}
