//! What a reader of a policy has to say about it.

use crate::text::{Position, TextError};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Something worth saying about a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// The field: `rules[0].when`; empty for the whole document.
    pub path: String,
    /// The place inside the field's text, when the field is a condition; inside the document, when
    /// that cannot be read.
    pub position: Option<Position>,
    /// The line of that text with carets below the part that is meant.
    pub excerpt: Option<String>,
    /// What is wrong, as a sentence without a full stop.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Good to know.
    Note,
    /// Probably not what was meant.
    Warning,
    /// The policy is refused.
    Error,
}

impl Finding {
    pub(crate) fn new(severity: Severity, path: String, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { severity, path, position: None, excerpt: None, message, hint: None }
    }

    pub(crate) fn error(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, path.into(), message)
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// A condition that does not compile.
    pub(crate) fn of_text(path: String, text: &str, error: TextError) -> Self {
        Self {
            severity: Severity::Error,
            path,
            position: Some(error.position(text)),
            excerpt: Some(error.excerpt(text)),
            message: error.message,
            hint: error.hint,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.severity {
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        let path = if self.path.is_empty() { "policy" } else { &self.path };
        write!(f, "{word}: {path}: {}", self.message)?;
        for line in self.excerpt.iter().flat_map(|excerpt| excerpt.lines()) {
            write!(f, "\n  | {line}")?;
        }
        self.hint.iter().try_for_each(|hint| write!(f, "\n  hint: {hint}"))
    }
}
