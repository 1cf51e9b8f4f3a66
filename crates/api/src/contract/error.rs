//! The body of every error.

use super::selfhood::Finding;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Body of every error: what Fly's clients read (`error`, `status`) and what robots need (`code`,
/// `retryable`, `hint`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
    /// The gate that is shut, when a machine could not be brought up or down for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<String>,
    /// What shuts it: the id of a rule, the name of a hold, the reason of a hold-down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The revision of the machine's self, when the caller had another one in mind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// Everything that is wrong with a policy or a condition, with its place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
}

impl ErrorBody {
    /// Without the word of the Machines API: in a line whose `status` means something else.
    #[must_use]
    pub fn without_word(self) -> Self {
        Self { status: None, ..self }
    }
}
