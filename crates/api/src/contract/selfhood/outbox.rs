//! Notifications that wait.

use super::Moment;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Answer to `GET self/outbox`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Outbox {
    /// What waits to be delivered, oldest first.
    pub letters: Vec<Letter>,
}

/// A notification that waits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Letter {
    /// Its id: the same in every try.
    pub id: String,
    /// The rule that sends it.
    pub rule: String,
    /// Where to.
    pub to: String,
    /// When it was decided.
    pub at: Moment,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is tried next.
    pub next_at: Moment,
    /// When it is given up.
    pub until: Moment,
    /// Why the last try failed, in a word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_code: Option<String>,
    /// Why the last try failed, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}
