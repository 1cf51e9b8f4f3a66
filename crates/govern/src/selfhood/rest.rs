//! A machine's own `rest until`.

use model::{Depth, UnixMs};
use serde::{Deserialize, Serialize};

/// What a machine said when it went to rest by itself. One shot: it is over when the machine is up
/// again, whoever woke it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestUntil {
    /// How deep.
    pub mode: Depth,
    /// The condition that wakes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// The moment that wakes it, if the condition did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<UnixMs>,
    /// Why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// The revision at which it was written; its name in explanations: `self:<rev>`.
    pub rev: u64,
    /// How far it has come.
    #[serde(flatten)]
    pub phase: RestPhase,
}

/// How far a `rest until` has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "snake_case")]
pub enum RestPhase {
    /// The machine asked for it, and is still up.
    Asked {
        /// When.
        since: UnixMs,
        /// The time up, by its number, in which it asked; in another one it is over.
        up: u64,
    },
    /// It rests.
    Resting {
        /// Since.
        since: UnixMs,
    },
}

impl RestUntil {
    /// What it waits for, in words.
    #[must_use]
    pub fn waits_for(&self) -> Option<String> {
        self.until.as_ref().map(|until| format!("`{until}`"))
    }
}
