//! Explain, trace, verify, replay.
//!
//! Entries of the trace are passed on exactly as they are hashed, so that anybody can check the chain:
//! their moments are Unix milliseconds.

use super::Moment;
use crate::contract::shapes;
use govern::TraceEntry;
use govern::trace::Difference;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Answer to `GET self/explain`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Explanation {
    /// The machine's revision.
    pub revision: u64,
    /// State of the machine.
    pub state: String,
    /// The whole of it in one sentence.
    pub sentence: String,
    /// What it rests on, the more important first.
    pub because: Vec<String>,
    /// What comes next by time alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Next>,
    /// Why it was last woken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub woken: Option<String>,
    /// Who keeps it awake; empty while it is not up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub awake: Vec<Keeper>,
}

/// Somebody or something that keeps a machine awake.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Keeper {
    /// `requests`, `connections`, `exec`, `outbound`, `direct`, `cpu`, `hold`, `rule`, `alarm`,
    /// `message`, `self`, `min_run`, `min_machines_running`, `lease`, `nothing`.
    pub by: String,
    /// How many, where it is something that is counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub n: Option<u32>,
    /// Name of the hold, rule or alarm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Until when, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Moment>,
    /// In words.
    pub text: String,
}

/// What comes next by time alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Next {
    /// What.
    pub what: String,
    /// When.
    pub at: Moment,
}

/// Answer to `GET self/trace`. With `follow` the answer is its entries alone, one a line.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TracePage {
    /// The machine's revision.
    pub revision: u64,
    /// The end of the chain.
    pub head: TraceHead,
    /// Entries in their order; the next page is `?after=` the last of them.
    #[schemars(with = "Vec<shapes::TraceEntry>")]
    pub entries: Vec<TraceEntry>,
}

/// The end of a chain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TraceHead {
    /// Number of the first entry that is kept.
    pub first: u64,
    /// Number of the last one; 0 without any.
    pub seq: u64,
    /// Its hash: to be kept elsewhere by whoever does not trust this host.
    pub hash: String,
}

/// Answer to `GET self/trace/verify`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TraceCheck {
    /// The chain holds.
    pub ok: bool,
    /// Entries that were checked.
    pub entries: u64,
    /// Number of the first of them.
    pub first: u64,
    /// The end of the chain.
    pub head: TraceHead,
    /// The first entry that is not as it was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broken: Option<BrokenEntry>,
}

/// An entry that is not as it was written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BrokenEntry {
    /// Its number, as it should be.
    pub seq: u64,
    /// What is wrong with it.
    pub why: String,
}

/// Answer to `GET self/trace/replay`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Replays {
    /// No decision differs.
    pub ok: bool,
    /// Decisions that were made again with the same outcome.
    pub agreed: u64,
    /// Decisions that come out differently.
    pub differed: u64,
    /// Each decision of the trace.
    pub replays: Vec<Replayed>,
}

/// One decision, made again from what it read then.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Replayed {
    /// Number of its entry.
    pub seq: u64,
    /// `agrees`, `differs`, or `not_applicable` when another policy was in force.
    pub outcome: String,
    /// Rules that read a secret, which no trace holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unjudged: Vec<String>,
    /// Where it differs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<Value>,
}

impl Replayed {
    /// A replay of entry `seq` that differs.
    pub(crate) fn differing(seq: u64, differences: &[Difference]) -> Self {
        let shown = |d| serde_json::to_value(d).expect("a difference has only plain fields");
        let differences = differences.iter().map(shown).collect();
        Self { seq, outcome: "differs".to_owned(), differences, ..Self::default() }
    }
}
