//! A whole self on its way from one host to another.
//!
//! * `sane`: the limits that an export must keep, as everything that was written here has.

mod sane;

pub(crate) use sane::recount;

use crate::refused::WriteRefused;
use crate::rights::Action;
use crate::selfhood::{RecordError, Selfhood, VERSION};
use crate::trace::{FirstBroken, TraceBody, TraceEntry, verify};
use crate::write::{MessageRow, RowOp, cut};
use model::{MachineId, UnixMs};
use policy::{Finding, Policy, Writer};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The version of the shape that this program writes.
pub const EXPORT_VERSION: u32 = 1;

/// Everything that a machine remembers, without its secrets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Export {
    /// Version of the shape: [`EXPORT_VERSION`].
    pub v: u32,
    /// When it was made.
    pub at: UnixMs,
    /// Of which machine.
    pub machine: MachineId,
    /// The record; its `trace.hash` is the head of the chain.
    pub selfhood: Selfhood,
    /// The policy's canonical text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// Messages that wait for an ack, oldest first.
    #[serde(default)]
    pub inbox: Vec<ExportedMessage>,
    /// The trace, oldest first.
    #[serde(default)]
    pub trace: Vec<TraceEntry>,
}

/// A message of an export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportedMessage {
    /// Its row.
    #[serde(flatten)]
    pub row: MessageRow,
    /// Its text.
    pub body: String,
}

/// Why an export cannot be brought in.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// It was made by a later release.
    #[error("the export has version {found}, newer than {EXPORT_VERSION}")]
    Newer {
        /// Its version.
        found: u32,
    },
    /// Its record was.
    #[error(transparent)]
    Record(RecordError),
    /// Its chain does not hold.
    #[error("the trace of the export does not hold: {0}")]
    Chain(FirstBroken),
    /// Its policy is none, or not the one that the record names.
    #[error("the policy of the export is not the one that its record names")]
    Policy(Vec<Finding>),
    /// Its messages are not those that the record counts.
    #[error("the export has {found} messages, and its record counts {counted}")]
    Inbox {
        /// How many there are.
        found: usize,
        /// How many there should be.
        counted: u32,
    },
    /// Something of it is outside the limits of every machine.
    #[error("the export cannot be of a machine: {what}")]
    Beyond {
        /// What, and where the limit is.
        what: &'static str,
    },
    /// A fact of it is.
    #[error("the export has a fact that no memory can hold: {0}")]
    Fact(#[source] Box<policy::WriteRefused>),
    /// Not by this writer.
    #[error(transparent)]
    Refused(WriteRefused),
}

/// A self that was brought in.
#[derive(Debug)]
pub struct Imported {
    /// The record.
    pub next: Selfhood,
    /// Its policy.
    pub policy: Policy,
    /// Messages and policy text to be stored, and the old entries of the trace as they are.
    pub ops: Vec<RowOp>,
    /// The entry that says so.
    pub entry: TraceBody,
}

/// Makes an export. Values of secret facts stay behind, as they are shown nowhere.
#[must_use]
pub fn export(
    machine: &MachineId,
    selfhood: &Selfhood,
    policy: &Policy,
    inbox: Vec<ExportedMessage>,
    trace: Vec<TraceEntry>,
    at: UnixMs,
) -> Export {
    let mut selfhood = selfhood.clone();
    if selfhood.facts.values().any(|fact| fact.secret) {
        Arc::make_mut(&mut selfhood.facts).retain(|_, fact| !fact.secret);
    }
    let policy = selfhood.policy.is_some().then(|| policy.document().canonical());
    Export { v: EXPORT_VERSION, at, machine: machine.clone(), selfhood, policy, inbox, trace }
}

/// Brings an export in: checks its chain and that its parts belong together. What depends on the old
/// host (why it is up, what was silenced) stays behind.
///
/// # Errors
/// [`ImportError`] says what does not fit; nothing has changed.
pub fn import(export: &Export, writer: &Writer) -> Result<Imported, ImportError> {
    Action::Import.check(writer).map_err(ImportError::Refused)?;
    if export.v > EXPORT_VERSION {
        return Err(ImportError::Newer { found: export.v });
    }
    if export.selfhood.v > VERSION {
        return Err(ImportError::Record(RecordError::Newer { found: export.selfhood.v }));
    }
    verify(&export.trace, &export.selfhood.trace).map_err(ImportError::Chain)?;
    let text = export.policy.as_deref().unwrap_or("{}");
    let policy = Policy::parse(text.as_bytes()).map_err(ImportError::Policy)?;
    if let Some(named) = &export.selfhood.policy
        && named.hash != *policy.hash()
    {
        return Err(ImportError::Policy(Vec::new()));
    }
    let counted = export.selfhood.inbox.depth;
    if usize::try_from(counted) != Ok(export.inbox.len()) {
        return Err(ImportError::Inbox { found: export.inbox.len(), counted });
    }
    sane::check(export)?;
    let mut next = export.selfhood.clone();
    recount(&mut next.inbox, export.inbox.iter().map(|message| &message.row));
    next.wake = None;
    next.rested = None;
    next.usage.up_since = None;
    next.mutes = crate::selfhood::Mutes::default();
    next.revision += 1;
    let mut ops: Vec<RowOp> = export
        .inbox
        .iter()
        .map(|m| RowOp::PutMessage { row: m.row.clone(), body: m.body.clone() })
        .collect();
    if export.policy.is_some() {
        let hash = policy.hash().clone();
        ops.push(RowOp::PutPolicy { hash, text: policy.document().canonical() });
    }
    let entry = TraceBody {
        changes: vec![cut(&format!("moved here from machine {}", export.machine))],
        rev_after: next.revision,
        ..TraceBody::new(writer.clone(), Action::Import, &export.selfhood)
    };
    Ok(Imported { next, policy, ops, entry })
}
