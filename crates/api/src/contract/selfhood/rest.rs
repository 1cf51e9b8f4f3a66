//! Rests, wakes, notices, hold-down, decisions.

use super::Moment;
use crate::contract::shapes;
use model::{Cause, Depth};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Body of `POST self/rest`: the machine goes to rest by its own word.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RestPut {
    /// How deep: `freeze`, `suspend` or `stop`, which it is when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shapes::Depth>")]
    pub mode: Option<Depth>,
    /// The condition that wakes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// The moment that wakes it, if the condition did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Moment>,
    /// Why; at most 256 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Answer to `POST self/rest`; the rest itself follows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RestAsked {
    /// The revision after it.
    pub revision: u64,
    /// Its name in explanations: `self:<revision>`.
    pub name: String,
}

/// A machine's own `rest until`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rest {
    /// Its name in explanations: `self:<revision>`.
    pub name: String,
    /// How deep.
    #[schemars(with = "shapes::Depth")]
    pub mode: Depth,
    /// The condition that wakes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// The moment that wakes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Moment>,
    /// Why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// `asked` while it is still up, `resting` afterwards.
    pub phase: String,
    /// Since when it is in this phase.
    pub since: Moment,
}

/// Why a machine was last woken, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Wake {
    /// Why: `{"cause":"message"}`, `{"cause":"rule","rule":ID}`…
    #[serde(flatten)]
    #[schemars(with = "shapes::Cause")]
    pub cause: Cause,
    /// When.
    pub at: Moment,
    /// Budgets count it: it was neither a call nor a knock nor a restart.
    pub governed: bool,
    /// Its program came to run.
    pub reached: bool,
    /// A resume was meant, and it had to start from nothing.
    pub cold: bool,
    /// An ack, a fact or a request came of it.
    pub progressed: bool,
    /// The machine has rested since.
    pub ended: bool,
}

/// Answer to `GET self/wake`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WakeReply {
    /// The machine's revision.
    pub revision: u64,
    /// The last wake; `null` before the first.
    pub wake: Option<Wake>,
}

/// A rest that is about to happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Notice {
    /// How deep.
    #[schemars(with = "shapes::Depth")]
    pub mode: Depth,
    /// Why.
    #[serde(flatten)]
    #[schemars(with = "shapes::Cause")]
    pub cause: Cause,
    /// A hold that is put before then is heard.
    pub deadline: Moment,
    /// How often that is still possible.
    pub vetoes_left: u8,
}

/// Answer to `GET self/notices`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NoticeReply {
    /// `null` when none came in time.
    pub notice: Option<Notice>,
}

/// Body of `PUT self/hold-down`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HoldDownPut {
    /// Why; at most 256 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Until; until it is released when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Moment>,
}

/// An explicit hold-down.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HoldDown {
    /// Why.
    pub reason: String,
    /// Until.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Moment>,
}

/// Answer to `GET self/hold-down`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HoldDownReply {
    /// The machine's revision.
    pub revision: u64,
    /// `null` when it is not held down.
    pub hold_down: Option<HoldDown>,
}

/// What the governor has decided.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Decision {
    /// `up`, `owed`, `down`, `kept`, `held`, `stay`.
    pub stance: String,
    /// Who wants it: ``rule `ID` ``, `self:REVISION`, ``alarm `NAME` ``, `a message`, ``hold `NAME` ``.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// How deep a rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shapes::Depth>")]
    pub depth: Option<Depth>,
    /// The gate that is shut.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<String>,
    /// Hold or rule behind the gate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate_by: Option<String>,
    /// Since when it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Moment>,
    /// All of it in a line, as in the header `Dormouse-Decision`.
    pub line: String,
}
