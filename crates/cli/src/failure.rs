//! Errors on their way out: a sentence, its causes, a hint, an exit code.

use crate::output;
use api::contract::selfhood::Finding;
use client::ClientError;
use serde_json::json;
use std::io::ErrorKind;
use std::process::ExitCode;

/// Exit code of what was refused or failed.
pub(crate) const FAILED: u8 = 1;
/// Exit code when the daemon cannot be reached.
pub(crate) const UNREACHABLE: u8 = 3;
/// Exit code when there is no such thing.
pub(crate) const NOT_FOUND: u8 = 4;
/// Exit code of `exec` and `run` when the command could not be run.
pub(crate) const NOT_RUN: u8 = 125;

/// Exit code for a program that could not be run, by the API's word for why: as shells have it.
pub(crate) fn not_run_code(word: &str) -> u8 {
    match word {
        "not_found" => 127,
        "not_executable" => 126,
        _ => NOT_RUN,
    }
}

/// An error of this program's own, with a next step.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    pub(crate) code: u8,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl Failure {
    pub(crate) fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: Some(hint.into()), code: FAILED }
    }

    pub(crate) fn with_code(self, code: u8) -> Self {
        Self { code, ..self }
    }
}

/// Tells the user what went wrong; the answer is the exit code.
pub(crate) fn report(error: &anyhow::Error, is_json: bool) -> ExitCode {
    let is_reader_gone = |e: &std::io::Error| e.kind() == ErrorKind::BrokenPipe;
    if error.downcast_ref::<std::io::Error>().is_some_and(is_reader_gone) {
        return ExitCode::SUCCESS;
    }
    let message = format!("{error:#}");
    let (hint, findings) = (hint(error), findings(error));
    if is_json {
        let api = error.downcast_ref::<ClientError>();
        let body = json!({
            "error": message,
            "code": api.and_then(ClientError::code).unwrap_or("client"),
            "retryable": api.is_some_and(ClientError::is_retryable),
            "hint": hint,
            "findings": findings,
        });
        output::notice(&body.to_string());
    } else {
        // Findings say where, which the rest of the message cannot say as well.
        let first_line = message.lines().next().filter(|_| !findings.is_empty());
        output::notice(&format!("error: {}", first_line.unwrap_or(&message)));
        findings.iter().for_each(|finding| output::notice(&finding_text(finding)));
        let is_said = |hint: &&str| findings.iter().any(|f| f.hint.as_deref() == Some(*hint));
        if let Some(hint) = hint.filter(|hint| !is_said(hint)) {
            output::notice(&format!("hint: {hint}"));
        }
    }
    ExitCode::from(code(error))
}

/// What is wrong with a policy that was refused.
fn findings(error: &anyhow::Error) -> &[Finding] {
    match error.downcast_ref::<ClientError>() {
        Some(ClientError::Api { body, .. }) => &body.findings,
        _ => &[],
    }
}

/// A finding as a person reads it: what, where, and what to do.
pub(crate) fn finding_text(finding: &Finding) -> String {
    let path = if finding.path.is_empty() { "policy" } else { &finding.path };
    let mut text = format!("{}: {path}: {}", finding.severity, finding.message);
    for line in finding.excerpt.iter().flat_map(|excerpt| excerpt.lines()) {
        text += &format!("\n  | {line}");
    }
    text + &finding.hint.iter().map(|hint| format!("\n  hint: {hint}")).collect::<String>()
}

fn hint(error: &anyhow::Error) -> Option<&str> {
    let of_api = || error.downcast_ref::<ClientError>().and_then(ClientError::hint);
    error.downcast_ref::<Failure>().and_then(|f| f.hint.as_deref()).or_else(of_api)
}

fn code(error: &anyhow::Error) -> u8 {
    if let Some(failure) = error.downcast_ref::<Failure>() {
        return failure.code;
    }
    match error.downcast_ref::<ClientError>() {
        Some(ClientError::Connect { .. }) => UNREACHABLE,
        Some(error) if error.status() == Some(404) => NOT_FOUND,
        Some(_) | None => FAILED,
    }
}

#[cfg(test)]
mod tests {
    use super::{Failure, code, hint};
    use anyhow::Context as _;
    use api::contract::ErrorBody;
    use client::ClientError;

    #[test]
    fn exit_codes_tell_kinds_of_errors_apart() {
        let api = |status| ClientError::Api { status, body: Box::new(ErrorBody::default()) };
        assert_eq!(code(&anyhow::Error::new(api(404))), 4);
        assert_eq!(code(&anyhow::Error::new(api(409))), 1);
        let source = std::io::Error::other("no");
        let unreachable = ClientError::Connect { target: "x".to_owned(), source };
        let wrapped = Err::<(), _>(unreachable).context("listing machines").expect_err("an error");
        assert_eq!(code(&wrapped), 3);
        assert!(hint(&wrapped).expect("a hint").contains("dormouse up"));
        assert_eq!(code(&Failure::new("no", "yes").with_code(125).into()), 125);
    }
}
