//! The body of every error.

use serde::{Deserialize, Serialize};

/// Body of every error: what Fly's clients read (`error`, `status`) and what robots need (`code`,
/// `retryable`, `hint`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// A sentence; its texts are part of the contract, because clients search in them.
    pub error: String,
    /// Word of the Machines API, only where that API has one, e.g. `name_taken`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Stable word for this kind of error.
    #[serde(default)]
    pub code: String,
    /// Whether the same request may succeed later without any change by the caller.
    #[serde(default)]
    pub retryable: bool,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl ErrorBody {
    /// Without the word of the Machines API: in a line whose `status` means something else.
    #[must_use]
    pub fn without_word(self) -> Self {
        Self { status: None, ..self }
    }
}
