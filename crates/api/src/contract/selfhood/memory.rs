//! Facts and intent.

use super::Moment;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// A merge patch (RFC 7386) over the facts, by key: `null` deletes, objects are merged.
pub type MemoryPatch = BTreeMap<String, Value>;

/// Answer to `GET self/memory`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Memory {
    /// The machine's revision.
    pub revision: u64,
    /// The facts that count, by key.
    pub facts: BTreeMap<String, Fact>,
}

/// A fact.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Fact {
    /// Its value; `null` when it is secret.
    pub value: Value,
    /// Nobody has written it: this is what the policy says it is then.
    #[serde(default, rename = "default", skip_serializing_if = "std::ops::Not::not")]
    pub is_default: bool,
    /// Who wrote it: `self`, `owner`, `token:NAME`, `peer:NAME`, `platform`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writer: Option<String>,
    /// At which revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rev: Option<u64>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Moment>,
    /// Until when it counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Moment>,
    /// Its value is shown nowhere.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub secret: bool,
}

/// Answer to `GET self/memory/{key}`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FactReply {
    /// The machine's revision.
    pub revision: u64,
    /// Its key.
    pub key: String,
    /// The fact.
    #[serde(flatten)]
    pub fact: Fact,
}

/// What a machine is for, and how far it has come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Intent {
    /// As its owner says.
    pub objective: String,
    /// What it is busy with, as it says itself.
    pub phase: String,
    /// Its objective is reached.
    pub done: bool,
    /// Revision of the last change.
    pub rev: u64,
}

/// Answer to `GET self/intent`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IntentReply {
    /// The machine's revision.
    pub revision: u64,
    /// The intent.
    #[serde(flatten)]
    pub intent: Intent,
}

/// Body of `PATCH self/intent`; what is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct IntentChange {
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub objective: Option<String>,
    /// What it is busy with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// Whether its objective is reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub done: Option<bool>,
}
