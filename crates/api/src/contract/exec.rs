//! Commands run beside a machine's program.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Seconds a command may run when the caller names none.
pub const TIMEOUT_DEFAULT_S: u64 = 30;

/// Longest run of a one-shot command in seconds: what front ends allow one request to take. Longer
/// ones are for `exec/attach`.
pub const TIMEOUT_MAX_S: u64 = 60;

/// Body of `POST …/exec`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ExecRequest {
    /// Program and arguments; a single text is split as a shell would.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<Line>,
    /// The same as one line, split as a shell would (or already split). Deprecated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cmd: Option<Line>,
    /// All of its input.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stdin: Option<String>,
    /// Longest run in seconds, at most [`TIMEOUT_MAX_S`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u64>,
    /// Container to run in; machines here have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// Added to the machine's environment (our addition).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env: Option<BTreeMap<String, String>>,
    /// `user[:group]` (our addition).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Working directory (our addition).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<String>,
}

/// A command as a line or as words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Line {
    /// One line.
    Text(String),
    /// Split already.
    Words(Vec<String>),
}

impl Line {
    /// Whether there is nothing in it.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        match self {
            Self::Text(line) => line.is_empty(),
            Self::Words(words) => words.is_empty(),
        }
    }
}

/// Answer to `POST …/exec`: also when the command failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExecReply {
    /// Exit code; 128 + n for signal n.
    pub exit_code: i32,
    /// Signal that ended it, 0 for none.
    pub exit_signal: i32,
    /// Its output; bytes that are not UTF-8 are replaced.
    pub stdout: String,
    /// Its error output; bytes that are not UTF-8 are replaced.
    pub stderr: String,
    /// Whether output was cut (our addition).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
}

/// Body of `POST …/exec/attach`; after the answer `101` both sides speak [`super::frame`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AttachRequest {
    /// Program and arguments.
    pub command: Vec<String>,
    /// Added to the machine's environment.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// `user[:group]`; the machine's when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Working directory; the machine's when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<String>,
    /// Give it a terminal of this size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tty: Option<TerminalSize>,
    /// Whether input will be sent.
    #[serde(default)]
    pub stdin: bool,
}

/// Size of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TerminalSize {
    /// Rows.
    pub rows: u16,
    /// Columns.
    pub cols: u16,
}
