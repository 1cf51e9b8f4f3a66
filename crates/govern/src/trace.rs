//! What was written, refused and decided, and why: a chain of entries that nobody can edit unseen.
//!
//! * `chain`: adding, cutting, verifying. `replay`: deciding again from what was read then.

mod chain;
mod replay;

pub use chain::{ChainCheck, CutAt, FirstBroken, checkpoint, cut_due, verify};
pub use replay::{Difference, Replay, replay};

use crate::rights::Action;
use crate::selfhood::Selfhood;
use crate::verdict::{Candidate, RuleResult, Stance};
use model::{BootId, Cause, Digest, UnixMs, Want};
use policy::{Read, Writer};
use serde::{Deserialize, Serialize};

/// One entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TraceEntry {
    /// Its number, from 1, without gaps.
    pub seq: u64,
    /// When, by the host's wall clock.
    pub at: UnixMs,
    /// In which boot of the host.
    pub boot: BootId,
    /// What.
    #[serde(flatten)]
    pub body: TraceBody,
    /// The hash of the entry before.
    pub prev_hash: Digest,
    /// SHA-256 of all the other fields, as JSON with sorted keys and no blanks.
    pub hash: Digest,
}

/// What an entry says, before it has its place in the chain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TraceBody {
    /// Who.
    pub actor: Writer,
    /// What was done.
    pub action: Action,
    /// It was refused: the stable word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// What changed, in words; values of secrets are not among them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<String>,
    /// The revision before.
    pub rev_before: u64,
    /// The revision after.
    pub rev_after: u64,
    /// The policy then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_hash: Option<Digest>,
    /// The rule that prevailed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Everything that was read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reads: Vec<Read>,
    /// What each rule answered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub results: Vec<RuleResult>,
    /// What the machine was to be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wish: Option<(Want, Cause)>,
    /// What was decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Stance>,
    /// Who wanted what; those that did not prevail say why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<Candidate>,
    /// The oldest entries were cut off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<CutAt>,
}

/// The end of a chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceHead {
    /// Number of the first entry that is kept; 1 when nothing was cut off.
    pub first: u64,
    /// Number of the last one; 0 without any.
    pub seq: u64,
    /// Its hash.
    pub hash: Digest,
}

/// What the first entry follows: 64 zeros.
#[must_use]
pub fn genesis() -> Digest {
    format!("sha256:{}", "0".repeat(64)).parse().expect("64 hex digits")
}

impl Default for TraceHead {
    fn default() -> Self {
        Self { first: 1, seq: 0, hash: genesis() }
    }
}

impl TraceBody {
    /// An entry about `selfhood` as it is, to be filled in.
    #[must_use]
    pub fn new(actor: Writer, action: Action, selfhood: &Selfhood) -> Self {
        Self {
            actor,
            action,
            refused: None,
            changes: Vec::new(),
            rev_before: selfhood.revision,
            rev_after: selfhood.revision,
            policy_hash: selfhood.policy.as_ref().map(|policy| policy.hash.clone()),
            rule: None,
            reads: Vec::new(),
            results: Vec::new(),
            wish: None,
            decision: None,
            candidates: Vec::new(),
            cut: None,
        }
    }
}
