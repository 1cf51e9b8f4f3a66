//! The chain: each entry carries the hash of the one before.
//!
//! Edits, gaps and reordering are found; that the end was cut off by somebody with the rights of the
//! daemon is not, so heads are exported.

use super::{TraceBody, TraceEntry, TraceHead, genesis};
use crate::canonical::digest;
use crate::limits::{TRACE_AGE_MAX, TRACE_CUT, TRACE_ENTRIES_MAX};
use crate::rights::Action;
use crate::selfhood::Selfhood;
use model::{BootId, Digest, UnixMs};
use policy::Writer;
use serde::{Deserialize, Serialize};

/// Where the oldest entries were cut off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CutAt {
    /// The last entry that went.
    pub through: u64,
    /// Its hash: what the first kept entry follows.
    pub hash: Digest,
}

/// The first entry that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("entry {seq} is broken: {why}")]
pub struct FirstBroken {
    /// Its number, as it should be.
    pub seq: u64,
    /// What is wrong with it.
    pub why: &'static str,
}

impl Selfhood {
    /// Adds an entry to the chain: the record's head moves on to it.
    pub fn record(&mut self, body: TraceBody, at: UnixMs, boot: &BootId) -> TraceEntry {
        let mut entry = TraceEntry {
            seq: self.trace.seq + 1,
            at,
            boot: boot.clone(),
            body,
            prev_hash: self.trace.hash.clone(),
            hash: genesis(),
        };
        entry.hash = hash_of(&entry);
        self.trace.seq = entry.seq;
        self.trace.hash = entry.hash.clone();
        entry
    }
}

/// The hash of an entry: of everything in it but the hash itself.
fn hash_of(entry: &TraceEntry) -> Digest {
    let mut json = serde_json::to_value(entry).expect("an entry has text keys and finite numbers");
    if let Some(fields) = json.as_object_mut() {
        fields.remove("hash");
    }
    digest(&json)
}

/// The last entry to be cut off now, if the trace has grown too long or its first entry too old.
/// `first_at`: when the first kept entry was made.
#[must_use]
pub fn cut_due(head: &TraceHead, first_at: UnixMs, now: UnixMs) -> Option<u64> {
    let n_kept = (head.seq + 1).saturating_sub(head.first);
    let is_due = n_kept > TRACE_ENTRIES_MAX || (n_kept > 1 && now.since(first_at) > TRACE_AGE_MAX);
    is_due.then(|| (head.first + TRACE_CUT - 1).min(head.seq - 1))
}

/// Cuts off everything through `last`, the entry that [`cut_due`] named: the entry that says so. The
/// rows through its number go in the same transaction.
pub fn checkpoint(
    selfhood: &mut Selfhood,
    last: &TraceEntry,
    at: UnixMs,
    boot: &BootId,
) -> TraceEntry {
    selfhood.trace.first = last.seq + 1;
    let body = TraceBody {
        cut: Some(CutAt { through: last.seq, hash: last.hash.clone() }),
        ..TraceBody::new(Writer::Platform, Action::Checkpoint, selfhood)
    };
    selfhood.record(body, at, boot)
}

/// Checks the entries that are kept, oldest first, against the head of the record.
///
/// # Errors
/// [`FirstBroken`] names the first entry that is not as it was written.
pub fn verify(entries: &[TraceEntry], head: &TraceHead) -> Result<(), FirstBroken> {
    let broken = |seq, why| Err(FirstBroken { seq, why });
    let mut seq = head.first;
    let mut prev = match beginning(entries, head) {
        Some(hash) => hash,
        None => return broken(seq, "nothing says what came before it"),
    };
    for entry in entries {
        if entry.seq != seq {
            return broken(seq, "it is missing");
        }
        if entry.prev_hash != prev {
            return broken(seq, "it does not follow the entry before");
        }
        if hash_of(entry) != entry.hash {
            return broken(seq, "it was changed");
        }
        prev = entry.hash.clone();
        seq += 1;
    }
    if seq != head.seq + 1 {
        return broken(seq, "it is missing");
    }
    if prev != head.hash {
        return broken(head.seq, "it is not the one that the record names");
    }
    Ok(())
}

/// What the first kept entry must follow: the beginning, or what the last cut left.
fn beginning(entries: &[TraceEntry], head: &TraceHead) -> Option<Digest> {
    if head.first == 1 {
        return Some(genesis());
    }
    let cuts = entries.iter().rev().filter_map(|entry| entry.body.cut.as_ref());
    cuts.take(1).find(|cut| cut.through + 1 == head.first).map(|cut| cut.hash.clone())
}
