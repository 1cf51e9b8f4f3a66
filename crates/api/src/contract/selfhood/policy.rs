//! Policies: set, linted, tried.

use super::{
    AlarmPut, Decision, HoldDownPut, HoldPut, IntentChange, MemoryPatch, Moment, Post, RestPut,
};
use crate::contract::shapes;
use model::{Cause, Depth, Want};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// Answer to `GET self/policy`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Policy {
    /// The machine's revision.
    pub revision: u64,
    /// Name of its content: `sha256:…`; absent without a policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
    /// When it was set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Moment>,
    /// By whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// At which revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rev: Option<u64>,
    /// The document; `null` without a policy.
    pub policy: Value,
}

/// Answer to `PUT self/policy`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PolicySet {
    /// The revision after it.
    pub revision: u64,
    /// Name of its content.
    pub hash: String,
    /// What a careful reader would say about it; none of it is an error.
    pub findings: Vec<Finding>,
}

/// Something worth saying about a policy or condition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// `error`, `warning`, `note`.
    pub severity: String,
    /// The field: `rules[0].when`; empty for the whole document.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// Line in the field's text, or in the document when that cannot be read; from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// Column in that line, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
    /// The line with carets below the part that is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub excerpt: Option<String>,
    /// What is wrong, as a sentence without a full stop.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl From<&::policy::Finding> for Finding {
    fn from(finding: &::policy::Finding) -> Self {
        let severity = match finding.severity {
            ::policy::Severity::Error => "error",
            ::policy::Severity::Warning => "warning",
            ::policy::Severity::Note => "note",
        };
        Self {
            severity: severity.to_owned(),
            path: finding.path.clone(),
            line: finding.position.map(|place| place.line),
            column: finding.position.map(|place| place.column),
            excerpt: finding.excerpt.clone(),
            message: finding.message.clone(),
            hint: finding.hint.clone(),
        }
    }
}

/// Answer to `POST …/policy/lint`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Lint {
    /// It could be set: no finding is an error.
    pub ok: bool,
    /// Name of its content, if it is a policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
    /// Worst first.
    pub findings: Vec<Finding>,
}

/// Body of `POST self/policy/dry-run`; the policy comes first, then the memory, then the writes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DryRunRequest {
    /// The policy that would be set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<Value>,
    /// The facts that would be written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryPatch>,
    /// What would be written besides, in this order; at most [`super::DRY_WRITES_MAX`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub writes: Option<Vec<DryWrite>>,
    /// Who would write: `self`, `token:NAME`…; only the owner can speak for others.
    #[serde(rename = "as", skip_serializing_if = "Option::is_none")]
    pub writer: Option<String>,
}

/// A write of a dry run: `{"post": {"body": "…"}}`, `{"hold": {"NAME": {"ttl": 60}}}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DryWrite {
    /// Facts.
    Memory(MemoryPatch),
    /// Intent.
    Intent(IntentChange),
    /// Holds, by name.
    Hold(BTreeMap<String, HoldPut>),
    /// A hold removed.
    DropHold(String),
    /// Alarms, by name.
    Alarm(BTreeMap<String, AlarmPut>),
    /// An alarm removed.
    DropAlarm(String),
    /// An alarm acknowledged.
    AckAlarm(String),
    /// A message.
    Post(#[schemars(with = "shapes::Post")] Post),
    /// `rest until`.
    Rest(RestPut),
    /// That taken back.
    ClearRest,
    /// A policy.
    Policy(Value),
    /// Hold-down; `null` releases it.
    HoldDown(Option<HoldDownPut>),
    /// A stop.
    Stop,
}

/// Answer to `POST self/policy/dry-run`: what would be. Nothing has changed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DryRun {
    /// The revision that would be.
    pub revision: u64,
    /// What would be decided.
    pub decision: Decision,
    /// What the machine would be told, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<(shapes::Want, shapes::Cause)>")]
    pub wish: Option<(Want, Cause)>,
    /// When it would be looked at again although nothing happens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Moment>,
    /// What each rule would say.
    pub rules: Vec<RuleSays>,
    /// Who would want what, and why it would lose, if it did.
    pub candidates: Vec<Candidate>,
    /// What time alone would have done.
    pub happened: Vec<String>,
    /// What would be sent.
    pub notify: Vec<Notification>,
    /// A `retire` rule would stand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retire: Option<String>,
}

/// What a rule says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RuleSays {
    /// Its id.
    pub id: String,
    /// What it does while it stands.
    pub effect: String,
    /// Whether it stands.
    pub stands: bool,
    /// The answer of `when`.
    pub when: Answer,
    /// The answer of `until`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Answer>,
    /// When time alone next changes one of the two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Moment>,
}

/// The answer of a condition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Answer {
    /// `true`, `false`, `unknown`.
    pub is: String,
    /// Why it is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The value of each name in it.
    pub reads: Vec<ValueRead>,
}

/// A name, and what was read for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ValueRead {
    /// The name as written.
    pub name: String,
    /// Its value as conditions write it; `(secret)`, `unknown`.
    pub value: String,
}

/// Somebody who wants something, and what becomes of that.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Candidate {
    /// Who.
    pub source: String,
    /// What: the word of rules serves for all.
    pub effect: String,
    /// How deep a rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shapes::Depth>")]
    pub depth: Option<Depth>,
    /// Why it does not prevail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<String>,
}

/// A message of a `notify` rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Notification {
    /// The rule.
    pub rule: String,
    /// Where to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}
