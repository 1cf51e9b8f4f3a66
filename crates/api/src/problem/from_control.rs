//! What control answers, with the status and in the words of the Machines API.
//!
//! Code, hint and whether a retry helps are control's: [`ControlError::advice`]. Source of statuses
//! and texts: machines-api 1.3 and 3.4.

use super::{Problem, of_self};
use crate::contract::moment::rfc3339;
use axum::http::StatusCode;
use control::{ControlError, Fault, StateConflict};
use image::ImageError;
use model::admit::{Asked, Gate, Refused};
use model::{MachineId, UnixMs};
use registry::RegistryError;
use std::error::Error;
use store::StoreError;

/// Codes that the Machines API has too, as `status`.
const SHARED_WORDS: [&str; 2] = ["name_taken", "insufficient_capacity"];

pub(super) fn problem(error: &ControlError, machine: Option<&MachineId>) -> Problem {
    let error = error.root();
    if let ControlError::Self_(refused) = error {
        return of_self::refusal(refused);
    }
    let advice = error.advice();
    let (status, text) = answer(error, machine);
    let mut problem = Problem::new(status, advice.code, text).hint(advice.hint);
    if advice.is_retryable {
        problem = problem.retryable();
    }
    if SHARED_WORDS.contains(&advice.code) {
        problem = problem.word(advice.code);
    }
    if let ControlError::Refused(refused) = error {
        (problem.body.gate, problem.body.reason) = of_self::gate(refused);
    }
    problem
}

/// Status and `error` text.
fn answer(error: &ControlError, machine: Option<&MachineId>) -> (StatusCode, String) {
    match error {
        ControlError::StartFailed { message, .. } => failed_start(error, message),
        _ if error.is_disk_full() => {
            (StatusCode::INSUFFICIENT_STORAGE, exhausted("no space left on the data file system"))
        }
        ControlError::Refused(refused) => refusal(refused, machine),
        ControlError::NotFound { what } => (StatusCode::NOT_FOUND, missing(what)),
        ControlError::Taken { what: "app", .. } => (
            StatusCode::UNPROCESSABLE_ENTITY,
            "Validation failed: Name has already been taken".to_owned(),
        ),
        ControlError::Taken { what, name } => (
            StatusCode::CONFLICT,
            format!("already_exists: unique {what} name violation, `{name}` is taken"),
        ),
        ControlError::Invalid { message, .. } => {
            (StatusCode::BAD_REQUEST, format!("invalid_argument: {message}"))
        }
        ControlError::Unfit { message, .. } => (StatusCode::UNPROCESSABLE_ENTITY, message.clone()),
        ControlError::Precondition { message, .. } => precondition(message),
        ControlError::Hostname(refused) => {
            (StatusCode::UNPROCESSABLE_ENTITY, format!("Validation failed: {refused}"))
        }
        ControlError::StaleVersion { current } => {
            precondition(format!("current version mismatch, the machine is at {current}"))
        }
        ControlError::WaitTimeout { .. } | ControlError::ExecTimeout { .. } => {
            (StatusCode::REQUEST_TIMEOUT, format!("deadline_exceeded: {error}"))
        }
        ControlError::Self_(refused) => of_self::answer(refused),
        ControlError::Import(cause) => {
            (StatusCode::UNPROCESSABLE_ENTITY, format!("invalid_argument: {}", sentence(&**cause)))
        }
        ControlError::SelfUnreadable { .. } => internal(error),
        ControlError::SelfRate { .. }
        | ControlError::Busy { .. }
        | ControlError::TooManyFollowers { .. }
        | ControlError::TooManyStreams { .. } => {
            (StatusCode::TOO_MANY_REQUESTS, format!("rate limit exceeded: {error}"))
        }
        ControlError::DiskPressure { .. } => (StatusCode::INSUFFICIENT_STORAGE, exhausted(error)),
        ControlError::Store(cause) => of_store(error, cause),
        ControlError::Image(cause) => of_image(cause),
        ControlError::Registry(cause) => of_registry(cause),
        ControlError::NoWayOut { .. } => denied(error),
        ControlError::LittleRoom { .. } => (StatusCode::INSUFFICIENT_STORAGE, exhausted(error)),
        ControlError::Shared(cause) => answer(cause, machine),
        ControlError::Disk(_)
        | ControlError::Net(_)
        | ControlError::Host { .. }
        | ControlError::Vm { .. }
        | ControlError::Shim { .. }
        | ControlError::Planted { .. }
        | ControlError::ShuttingDown => unavailable(sentence(error)),
        ControlError::UnknownStep { .. }
        | ControlError::Sealed { .. }
        | ControlError::Bug { .. } => internal(error),
    }
}

/// The image's or the configuration's fault is a precondition; the host's may pass.
fn failed_start(error: &ControlError, message: &str) -> (StatusCode, String) {
    let text = format!("machine failed to start: {message}");
    match error.fault() {
        Fault::Caller => precondition(text),
        Fault::Host if error.is_disk_full() => (StatusCode::INSUFFICIENT_STORAGE, exhausted(text)),
        Fault::Host | Fault::Upstream => unavailable(text),
    }
}

fn refusal(refused: &Refused, machine: Option<&MachineId>) -> (StatusCode, String) {
    match refused {
        Refused::Lease(lease) => aborted(format!(
            "machine ID {} lease currently held by {}, expires at {}",
            machine.map_or("?", MachineId::as_str),
            lease.owner,
            rfc3339(lease.expires_at)
        )),
        Refused::Capacity(why) => aborted(format!("could not reserve resource for machine: {why}")),
        Refused::DiskPressure { free } => {
            let text = format!("it was frozen because the data disk has only {free} free");
            (StatusCode::INSUFFICIENT_STORAGE, exhausted(text))
        }
        Refused::HeldDown { reason } => aborted(format!("machine is held down: {reason}")),
        Refused::Denied { rule } => precondition(format!("rule `{rule}` denies it")),
        Refused::AutostartOff => precondition("autostart is off for this service"),
        Refused::KeptAwake { gate, by, not_before } => {
            precondition(kept_awake(*gate, by.as_deref(), *not_before))
        }
        Refused::State { state, asked } => in_state(state, *asked),
        Refused::Unsupported { message } => precondition(message),
        Refused::StaleRun => aborted("the run this was about has ended"),
    }
}

fn kept_awake(gate: Gate, by: Option<&str>, not_before: Option<UnixMs>) -> String {
    let by = by.map(|name| format!(" by `{name}`")).unwrap_or_default();
    let until = not_before.map(|at| format!(" until {}", rfc3339(at))).unwrap_or_default();
    format!("machine is kept awake{by}{until} ({gate:?})")
}

fn in_state(state: &str, asked: Asked) -> (StatusCode, String) {
    let verb = verb(asked);
    match StateConflict::of(state, asked) {
        StateConflict::StillStarting => aborted("machine still attempting to start"),
        StateConflict::BeingReplaced if asked == Asked::Update => {
            aborted("machine getting replaced, refusing to update")
        }
        StateConflict::BeingReplaced => {
            precondition(format!("machine getting replaced, refusing to {verb}"))
        }
        StateConflict::InTransition => aborted(format!("machine still {state}")),
        StateConflict::Passing | StateConflict::Lasting => {
            precondition(format!("unable to {verb} machine from current state: '{state}'"))
        }
        StateConflict::NotStopped => precondition(
            "unable to destroy machine, not currently stopped, suspended, failed or created",
        ),
        StateConflict::NotRunning => precondition("machine not running"),
        StateConflict::Gone => (StatusCode::NOT_FOUND, missing("machine")),
        StateConflict::Report => {
            let text = "internal: an event of the host was refused";
            (StatusCode::INTERNAL_SERVER_ERROR, text.to_owned())
        }
    }
}

const fn verb(asked: Asked) -> &'static str {
    match asked {
        Asked::Start => "start",
        Asked::Stop => "stop",
        Asked::Suspend => "suspend",
        Asked::Restart => "restart",
        Asked::Update => "update",
        Asked::Destroy => "destroy",
        Asked::Guest => "reach",
        Asked::Report => "report on",
    }
}

fn of_store(error: &ControlError, cause: &StoreError) -> (StatusCode, String) {
    match cause {
        StoreError::NotFound { .. } => (StatusCode::NOT_FOUND, format!("not_found: {cause}")),
        StoreError::Referenced { .. } => precondition(cause),
        StoreError::Taken { .. } | StoreError::Conflict { .. } | StoreError::PlanActive { .. } => {
            aborted(cause)
        }
        _ if error.is_retryable() => unavailable(sentence(error)),
        _ => internal(error),
    }
}

fn of_image(error: &ImageError) -> (StatusCode, String) {
    match error {
        ImageError::Missing { .. } => (StatusCode::NOT_FOUND, missing("image")),
        ImageError::Damaged { .. } => unavailable(sentence(error)),
        ImageError::UnderWay { .. } => aborted(error),
        error if error.is_host_fault() => unavailable(sentence(error)),
        error => {
            let text = format!("invalid_argument: {}", sentence(error));
            (StatusCode::UNPROCESSABLE_ENTITY, text)
        }
    }
}

/// A registry's word is passed on, but never as 401: that is about the caller's token here.
fn of_registry(error: &RegistryError) -> (StatusCode, String) {
    let text = sentence(error);
    match error {
        RegistryError::Reference(_) => {
            (StatusCode::BAD_REQUEST, format!("invalid_argument: {text}"))
        }
        RegistryError::NotAllowed { .. }
        | RegistryError::AddressRefused { .. }
        | RegistryError::EgressDenied { .. }
        | RegistryError::Unauthorized { .. }
        | RegistryError::Denied { .. } => denied(text),
        RegistryError::NotFound { .. } => (StatusCode::NOT_FOUND, format!("not_found: {text}")),
        RegistryError::TooLarge { .. }
        | RegistryError::Manifest { .. }
        | RegistryError::DockerConfig(_) => {
            (StatusCode::UNPROCESSABLE_ENTITY, format!("invalid_argument: {text}"))
        }
        RegistryError::RateLimited { .. } => {
            (StatusCode::TOO_MANY_REQUESTS, format!("rate limit exceeded: {text}"))
        }
        RegistryError::Timeout { .. } => {
            (StatusCode::GATEWAY_TIMEOUT, format!("deadline_exceeded: {text}"))
        }
        RegistryError::Certificates { .. } => unavailable(text),
        // Everything else is the registry's, or of the way to it.
        _ => (StatusCode::BAD_GATEWAY, format!("unavailable: {text}")),
    }
}

fn denied(text: impl std::fmt::Display) -> (StatusCode, String) {
    (StatusCode::FORBIDDEN, format!("permission_denied: {text}"))
}

fn missing(what: &str) -> String {
    match what {
        "app" => "Could not find App".to_owned(),
        "lease" => "lease not found".to_owned(),
        what => format!("not_found: {what} not found"),
    }
}

fn precondition(text: impl std::fmt::Display) -> (StatusCode, String) {
    (StatusCode::PRECONDITION_FAILED, format!("failed_precondition: {text}"))
}

fn aborted(text: impl std::fmt::Display) -> (StatusCode, String) {
    (StatusCode::CONFLICT, format!("aborted: {text}"))
}

fn unavailable(text: impl std::fmt::Display) -> (StatusCode, String) {
    (StatusCode::SERVICE_UNAVAILABLE, format!("unavailable: {text}"))
}

fn internal(error: &dyn Error) -> (StatusCode, String) {
    (StatusCode::INTERNAL_SERVER_ERROR, sentence(error))
}

fn exhausted(text: impl std::fmt::Display) -> String {
    format!("resource_exhausted: {text}")
}

/// An error with its causes, as one sentence.
fn sentence(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    text
}

#[cfg(test)]
mod tests;
