//! What went wrong, and the exit code for it.

use serde_json::{Value, json};
use std::fmt;
use std::io;

/// What went wrong.
#[derive(Debug)]
pub enum Failure {
    /// The words make no sense.
    Usage {
        /// What is wrong with them.
        message: String,
        /// What would be right.
        hint: String,
    },
    /// The host said no.
    Refused {
        /// HTTP status.
        status: u16,
        /// The body of its answer.
        body: Value,
    },
    /// Nobody answered, or nobody who speaks as the host does.
    Unreachable {
        /// What was tried.
        what: String,
        /// What came of it, if the system says so.
        source: Option<io::Error>,
    },
    /// Nobody reads the answer.
    Output(io::Error),
}

/// `code` of the answer to a call while the host's daemon is away.
const AWAY: &str = "control_unavailable";

impl Failure {
    /// Wrong words.
    #[must_use]
    pub fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Usage { message: message.into(), hint: hint.into() }
    }

    /// A refusal, from the body of the answer.
    #[must_use]
    pub fn refused(status: u16, body: &[u8]) -> Self {
        let body = serde_json::from_slice(body).unwrap_or_else(|_not_json| {
            let text = String::from_utf8_lossy(body);
            let text = text.trim();
            let error = if text.is_empty() { format!("HTTP status {status}") } else { text.into() };
            json!({ "error": error })
        });
        Self::Refused { status, body }
    }

    /// The daemon is away, and will be back.
    #[must_use]
    pub fn is_away(&self) -> bool {
        matches!(self, Self::Refused { body, .. } if body["code"] == AWAY)
    }

    /// 1 refused, 2 wrong usage, 3 nobody answered.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Refused { .. } if self.is_away() => 3,
            Self::Refused { .. } | Self::Output(_) => 1,
            Self::Usage { .. } => 2,
            Self::Unreachable { .. } => 3,
        }
    }

    /// For standard error.
    #[must_use]
    pub fn text(&self, is_json: bool) -> String {
        let hint = self.hint();
        if !is_json {
            let hint = hint.map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
            return format!("dm: {self}{}{hint}", self.excerpts());
        }
        match self {
            Self::Refused { body, .. } => body.to_string(),
            _ => json!({ "error": self.to_string(), "hint": hint }).to_string(),
        }
    }

    /// The parts of conditions that are wrong, with carets below.
    fn excerpts(&self) -> String {
        let Self::Refused { body, .. } = self else { return String::new() };
        let findings = body["findings"].as_array().into_iter().flatten();
        let excerpts = findings.filter_map(|finding| finding["excerpt"].as_str());
        excerpts.flat_map(str::lines).map(|line| format!("\n  | {line}")).collect()
    }

    fn hint(&self) -> Option<&str> {
        match self {
            Self::Usage { hint, .. } => Some(hint),
            Self::Refused { body, .. } => body["hint"].as_str(),
            Self::Unreachable { .. } => Some("`dm` speaks to the host from within a machine"),
            Self::Output(_) => None,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage { message, .. } => f.write_str(message),
            Self::Refused { status, body } => match body["error"].as_str() {
                Some(error) => f.write_str(error),
                None => write!(f, "HTTP status {status}"),
            },
            Self::Unreachable { what, source: Some(source) } => write!(f, "{what}: {source}"),
            Self::Unreachable { what, source: None } => f.write_str(what),
            Self::Output(error) => write!(f, "cannot write the answer: {error}"),
        }
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unreachable { source: Some(source), .. } | Self::Output(source) => Some(source),
            Self::Unreachable { source: None, .. } | Self::Usage { .. } | Self::Refused { .. } => {
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(failure: &Failure, code: u8, text: &str) {
        assert_eq!((failure.exit_code(), failure.text(false).as_str()), (code, text));
    }

    #[test]
    fn exit_codes_and_texts() {
        check(&Failure::usage("no", "yes"), 2, "dm: no\nhint: yes");
        let body = br#"{"error":"not now","code":"self_rate","hint":"later"}"#;
        check(&Failure::refused(429, body), 1, "dm: not now\nhint: later");
        let body = br#"{"error":"wrong","findings":[{"excerpt":"a > x\n    ^"}],"hint":"see"}"#;
        check(&Failure::refused(422, body), 1, "dm: wrong\n  | a > x\n  |     ^\nhint: see");
        check(&Failure::refused(404, b"nothing here\n"), 1, "dm: nothing here");
        check(&Failure::refused(500, b""), 1, "dm: HTTP status 500");
        check(&Failure::refused(500, b"{}"), 1, "dm: HTTP status 500");
        let away = br#"{"error":"control is away","code":"control_unavailable"}"#;
        check(&Failure::refused(503, away), 3, "dm: control is away");
        let source = Some(io::Error::from(io::ErrorKind::NotFound));
        let nobody = Failure::Unreachable { what: "cannot connect".to_owned(), source };
        assert_eq!(nobody.exit_code(), 3);
        assert!(nobody.text(false).starts_with("dm: cannot connect: "));
    }

    #[test]
    fn as_json_a_refusal_is_the_answer() {
        let body = r#"{"code":"x","error":"no"}"#;
        assert_eq!(Failure::refused(409, body.as_bytes()).text(true), body);
        assert_eq!(Failure::usage("no", "yes").text(true), r#"{"error":"no","hint":"yes"}"#);
    }
}
