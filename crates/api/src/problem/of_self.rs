//! What a machine's self says no to, and which gate was shut.

use super::Problem;
use crate::contract::selfhood::Finding;
use axum::http::StatusCode;
use govern::WriteRefused;
use model::admit::{Gate, Refused};

/// A write that was refused, with everything that is wrong with it.
pub(super) fn refusal(refused: &WriteRefused) -> Problem {
    let (status, text) = answer(refused);
    let mut problem = Problem::new(status, refused.code(), text);
    problem.body.hint = Some(refused.hint().unwrap_or_else(|| general_hint(status).to_owned()));
    problem.body.retryable = status == StatusCode::TOO_MANY_REQUESTS;
    match refused {
        WriteRefused::Policy { findings } => {
            problem.body.findings = findings.iter().map(Finding::from).collect();
        }
        WriteRefused::Condition { error, excerpt } => {
            problem.body.findings = vec![of_condition(error, excerpt)];
        }
        WriteRefused::Revision { is, .. } => problem.body.revision = Some(*is),
        _ => {}
    }
    problem
}

/// Status and `error` text of a write that was refused.
pub(super) fn answer(refused: &WriteRefused) -> (StatusCode, String) {
    let status = StatusCode::from_u16(refused.status()).expect("a refusal has a valid status");
    let word = match refused.status() {
        403 => "permission_denied",
        404 => "not_found",
        409 => "aborted",
        412 => "failed_precondition",
        413 | 429 => "resource_exhausted",
        _ => "invalid_argument",
    };
    (status, format!("{word}: {refused}"))
}

/// A next step where the refusal itself knows none.
const fn general_hint(status: StatusCode) -> &'static str {
    match status {
        StatusCode::FORBIDDEN => "`GET …/self/policy` shows who may do what",
        StatusCode::NOT_FOUND => "`GET …/self` lists what there is",
        StatusCode::PRECONDITION_FAILED => "read it again, and decide again",
        _ => "`docs/governance.md` has the fields and their limits",
    }
}

/// What is wrong with a condition; its line is the one that is shown.
fn of_condition(error: &policy::TextError, excerpt: &str) -> Finding {
    let carets = excerpt.lines().nth(1).unwrap_or_default();
    Finding {
        severity: "error".to_owned(),
        path: "until".to_owned(),
        line: None,
        column: Some(carets.chars().take_while(|c| *c == ' ').count() + 1),
        excerpt: Some(excerpt.to_owned()),
        message: error.message.clone(),
        hint: error.hint.clone(),
    }
}

/// The gate that is shut, and what shuts it.
pub(super) fn gate(refused: &Refused) -> (Option<String>, Option<String>) {
    let (gate, reason) = match refused {
        Refused::Lease(lease) => (Gate::Lease, Some(lease.owner.clone())),
        Refused::Capacity(why) => (Gate::Capacity, Some(why.clone())),
        Refused::DiskPressure { .. } => (Gate::DiskPressure, None),
        Refused::HeldDown { reason } => (Gate::HoldDown, Some(reason.clone())),
        Refused::Denied { rule } => (Gate::Deny, Some(rule.clone())),
        Refused::AutostartOff => (Gate::Autostart, None),
        Refused::KeptAwake { gate, by, .. } => (*gate, by.clone()),
        Refused::State { .. } | Refused::Unsupported { .. } | Refused::StaleRun => {
            return (None, None);
        }
    };
    (Some(gate_word(gate).to_owned()), reason)
}

/// The word for a gate, as traces have it.
pub(crate) const fn gate_word(gate: Gate) -> &'static str {
    match gate {
        Gate::Lease => "lease",
        Gate::DiskPressure => "disk_pressure",
        Gate::Capacity => "capacity",
        Gate::HoldDown => "hold_down",
        Gate::Deny => "deny",
        Gate::Autostart => "autostart",
        Gate::Hold => "hold",
        Gate::MinRest => "min_rest",
        Gate::MinRun => "min_run",
        Gate::WakeBudget => "wake_budget",
        Gate::Breaker => "breaker",
        Gate::Progress => "progress",
        Gate::RestPermit => "rest_permit",
    }
}

#[cfg(test)]
mod tests;
