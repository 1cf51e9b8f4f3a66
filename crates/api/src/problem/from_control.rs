//! What control answers, in the words of the Machines API.
//!
//! One row for each refusal of the table "what each call does in each state". Source: machines-api
//! 1.3 and 3.4.

use super::Problem;
use crate::contract::moment::rfc3339;
use axum::http::StatusCode;
use control::ControlError;
use image::ImageError;
use model::admit::{Asked, Refused};
use model::{MachineId, UnixMs};
use std::error::Error;
use std::io::ErrorKind;
use store::StoreError;

const START_HINT: &str = "`GET …/events` says more, `GET …/logs` what the program printed; correct `config.init` with \
     an update";

pub(super) fn problem(error: &ControlError, machine: Option<&MachineId>) -> Problem {
    match error {
        ControlError::Refused(refused) => refusal(refused, machine),
        ControlError::NotFound { what } => not_found(what),
        ControlError::Taken { what: "app", .. } => Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "name_taken",
            "Validation failed: Name has already been taken",
        )
        .word("name_taken")
        .hint("choose another name, or use the app that has it"),
        ControlError::Taken { what, name } => Problem::new(
            StatusCode::CONFLICT,
            "name_taken",
            format!("already_exists: unique {what} name violation, `{name}` is taken"),
        )
        .word("name_taken")
        .hint("choose another name, or leave `name` out to have one drawn"),
        ControlError::Invalid { code, message, hint } => {
            Problem::invalid(code, message).hint(hint.as_str())
        }
        ControlError::StaleVersion { current } => precondition(
            "stale_version",
            format!("current version mismatch, the machine is at {current}"),
        )
        .hint("read the machine again and decide again"),
        ControlError::WaitTimeout { wanted, actual } => Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "wait_timeout",
            format!(
                "deadline_exceeded: machine failed to reach desired state, {wanted}, currently \
                 {actual}"
            ),
        )
        .retryable()
        .hint("wait again, or look at `GET …/events` for what happened"),
        ControlError::StartFailed { code, message } => {
            let text = format!("machine failed to start: {message}");
            let problem = precondition(code, text).hint(START_HINT);
            if is_of_the_host(code) { problem.retryable() } else { problem }
        }
        ControlError::Busy { queued, .. } => Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too_many_requests",
            format!("rate limit exceeded: {queued} requests wait for this machine already"),
        )
        .retryable()
        .hint("wait for the answers to earlier requests before sending more"),
        ControlError::ExecTimeout { timeout_ms } => Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "exec_timeout",
            format!("deadline_exceeded: the command did not end within {timeout_ms} ms"),
        )
        .hint("give a longer `timeout` (at most 60 s), or use `exec/attach`, which has no limit"),
        ControlError::Store(error) => of_store(error),
        ControlError::Image(error) => of_image(error),
        ControlError::Disk(error) if error.is_disk_full() => disk_full(),
        ControlError::Disk(error) => Problem::internal(sentence(error)),
        ControlError::Net(error) => Problem::internal(sentence(error)),
        ControlError::Shim { message } => {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "machine_unreachable", message.as_str())
                .retryable()
                .hint("the machine may just have ended: read its state and try again")
        }
        ControlError::Host { source, .. } if source.kind() == ErrorKind::StorageFull => disk_full(),
        ControlError::Host { .. }
        | ControlError::UnknownStep { .. }
        | ControlError::Planted { .. }
        | ControlError::Bug { .. } => Problem::internal(sentence(error)),
        ControlError::ShuttingDown => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "shutting_down",
            "unavailable: the daemon is shutting down",
        )
        .retryable()
        .hint("machines keep running; try again when the daemon is back"),
    }
}

/// Start failures whose cause is this host: the same start may work later.
fn is_of_the_host(code: &str) -> bool {
    matches!(code, "disk" | "cgroup" | "namespace" | "shim" | "shim_lost" | "timeout")
}

fn refusal(refused: &Refused, machine: Option<&MachineId>) -> Problem {
    match refused {
        Refused::Lease(lease) => aborted(
            "lease_held",
            format!(
                "machine ID {} lease currently held by {}, expires at {}",
                machine.map_or("?", MachineId::as_str),
                lease.owner,
                rfc3339(lease.expires_at)
            ),
        )
        .retryable()
        .hint("send the holder's nonce in `fly-machine-lease-nonce`, or wait until it expires"),
        Refused::Capacity(why) => {
            aborted("no_capacity", format!("could not reserve resource for machine: {why}"))
                .word("insufficient_capacity")
                .retryable()
                .hint("stop a machine, make this one smaller, or raise the overcommit factors")
        }
        Refused::HeldDown { reason } => {
            aborted("held_down", format!("machine is held down: {reason}"))
                .hint("release the hold-down first")
        }
        Refused::Denied { rule } => precondition("denied", format!("rule `{rule}` denies it"))
            .hint("the owner may pass `override=1`; it is traced"),
        Refused::AutostartOff => precondition("autostart_off", "autostart is off for this service")
            .hint("start the machine with `POST …/start`"),
        Refused::KeptAwake { gate, by, not_before } => {
            kept_awake(*gate, by.as_deref(), *not_before)
        }
        Refused::State { state, asked } => in_state(state, *asked),
        Refused::Unsupported { message } => precondition("unsupported_depth", *message)
            .hint("leave `depth` out, or use `depth=freeze`; `dormouse doctor` lists guarantees"),
        Refused::StaleRun => aborted("stale_run", "the run this was about has ended")
            .retryable()
            .hint("read the machine again"),
    }
}

fn kept_awake(gate: model::admit::Gate, by: Option<&str>, not_before: Option<UnixMs>) -> Problem {
    let by = by.map(|name| format!(" by `{name}`")).unwrap_or_default();
    let until = not_before.map(|at| format!(" until {}", rfc3339(at))).unwrap_or_default();
    precondition("kept_awake", format!("machine is kept awake{by}{until} ({gate:?})"))
        .retryable()
        .hint("`POST …/stop` stops it all the same")
}

/// The table of 3.4: what is asked for makes no sense in this state.
fn in_state(state: &str, asked: Asked) -> Problem {
    let is_gone = state == "destroyed";
    match (asked, state) {
        (Asked::Start, "starting") => {
            aborted("still_starting", "machine still attempting to start").retryable().hint(WAIT)
        }
        (Asked::Start | Asked::Update, "replacing") => precondition(
            "being_replaced",
            format!("machine getting replaced, refusing to {}", verb(asked)),
        )
        .retryable()
        .hint(WAIT),
        (Asked::Start, _) => wrong_state(state, asked),
        (_, _) if is_gone => Problem::machine_not_found(),
        (Asked::Restart, "starting" | "stopping" | "suspending" | "restarting") => {
            aborted("in_transition", format!("machine still {state}")).retryable().hint(WAIT)
        }
        (Asked::Destroy, _) => precondition(
            "not_stopped",
            "unable to destroy machine, not currently stopped, suspended, failed or created",
        )
        .hint("stop it first, or add `?force=true`"),
        (Asked::Guest, _) => precondition("not_running", "machine not running")
            .hint("start it with `POST …/start` and wait for `started`"),
        (Asked::Stop | Asked::Suspend | Asked::Restart | Asked::Update, _) => {
            wrong_state(state, asked)
        }
        (Asked::Report, _) => Problem::internal("an event of the host was refused"),
    }
}

const WAIT: &str = "wait for it with `GET …/wait?state=settled`, then try again";

fn wrong_state(state: &str, asked: Asked) -> Problem {
    let verb = verb(asked);
    let text = format!("unable to {verb} machine from current state: '{state}'");
    let problem = precondition("wrong_state", text);
    let passes_by_itself = matches!(
        state,
        "created" | "starting" | "stopping" | "restarting" | "suspending" | "replacing"
    );
    if passes_by_itself {
        problem.retryable().hint(WAIT)
    } else {
        problem.hint("`GET …/events` says how it came there")
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

fn not_found(what: &str) -> Problem {
    let missing = |code: &str, text: String| Problem::new(StatusCode::NOT_FOUND, code, text);
    match what {
        "app" => Problem::app_not_found(),
        "machine" => Problem::machine_not_found(),
        "lease" => missing("lease_not_found", "lease not found".to_owned())
            .hint("it has expired or was never taken: take one with `POST …/lease`"),
        "image" => missing("image_not_found", "not_found: image not found".to_owned()).hint(
            "`dormouse image list` shows what this host has; `dormouse image import` adds one",
        ),
        other => missing("not_found", format!("not_found: {other} not found")),
    }
}

fn of_store(error: &StoreError) -> Problem {
    match error {
        StoreError::DiskFull => disk_full(),
        StoreError::NotFound { .. } => {
            Problem::new(StatusCode::NOT_FOUND, "not_found", format!("not_found: {error}"))
        }
        StoreError::Referenced { .. } => {
            precondition("in_use", error.to_string()).hint("remove what refers to it first")
        }
        StoreError::Taken { .. } | StoreError::Conflict { .. } | StoreError::PlanActive { .. } => {
            aborted("conflict", error.to_string())
                .retryable()
                .hint("somebody else was faster: read again and decide again")
        }
        error if error.is_transient() => {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "store_unavailable", sentence(error))
                .retryable()
                .hint("nothing was changed; look at the disk below the data directory")
        }
        error => Problem::internal(sentence(error)),
    }
}

fn of_image(error: &ImageError) -> Problem {
    match error {
        error if error.is_disk_full() => disk_full(),
        ImageError::Missing { .. } => not_found("image"),
        ImageError::Helper { .. } | ImageError::Mkfs { .. } | ImageError::Damaged { .. } => {
            Problem::internal(sentence(error)).hint("`dormouse doctor` checks the tools it needs")
        }
        error => {
            let text = format!("invalid_argument: {}", sentence(error));
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_image", text).hint(
                "give a whole root file system tarball, OCI layout or `docker save` file, and a \
                 name like `demo:1`",
            )
        }
    }
}

fn disk_full() -> Problem {
    Problem::new(
        StatusCode::INSUFFICIENT_STORAGE,
        "disk_full",
        "resource_exhausted: no space left on the data file system",
    )
    .retryable()
    .hint("destroy a machine or remove an image; destroying always works")
}

fn precondition(code: &str, text: impl std::fmt::Display) -> Problem {
    Problem::new(StatusCode::PRECONDITION_FAILED, code, format!("failed_precondition: {text}"))
}

fn aborted(code: &str, text: impl std::fmt::Display) -> Problem {
    Problem::new(StatusCode::CONFLICT, code, format!("aborted: {text}"))
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
