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
    let mut check = ChainCheck::new(head);
    entries.iter().for_each(|entry| check.add(entry));
    check.end()
}

/// [`verify`] of one entry after the other, so that nobody needs to hold them all.
#[derive(Clone, Debug)]
pub struct ChainCheck {
    head: TraceHead,
    /// The number and the predecessor that the next entry should have.
    seq: u64,
    prev: Option<Digest>,
    /// What the first one says that it follows.
    follows: Option<Digest>,
    last_cut: Option<CutAt>,
    broken: Option<FirstBroken>,
}

impl ChainCheck {
    /// Of the entries that are kept, against the head of the record.
    #[must_use]
    pub fn new(head: &TraceHead) -> Self {
        Self {
            head: head.clone(),
            seq: head.first,
            prev: None,
            follows: None,
            last_cut: None,
            broken: None,
        }
    }

    /// The next entry.
    pub fn add(&mut self, entry: &TraceEntry) {
        if let Some(cut) = &entry.body.cut {
            self.last_cut = Some(cut.clone());
        }
        if self.broken.is_none() {
            self.broken = self.wrong_with(entry).map(|why| FirstBroken { seq: self.seq, why });
            self.prev = Some(entry.hash.clone());
            self.seq += 1;
        }
    }

    fn wrong_with(&mut self, entry: &TraceEntry) -> Option<&'static str> {
        if entry.seq != self.seq {
            return Some("it is missing");
        }
        match &self.prev {
            Some(prev) if entry.prev_hash != *prev => return Some(UNCHAINED),
            Some(_) => {}
            None => self.follows = Some(entry.prev_hash.clone()),
        }
        (hash_of(entry) != entry.hash).then_some("it was changed")
    }

    /// There are no more.
    ///
    /// # Errors
    /// As of [`verify`].
    pub fn end(self) -> Result<(), FirstBroken> {
        let broken = |seq, why| Err(FirstBroken { seq, why });
        let first = self.head.first;
        let Some(beginning) = self.beginning() else {
            return broken(first, "nothing says what came before it");
        };
        if self.follows.as_ref().is_some_and(|follows| *follows != beginning) {
            return broken(first, UNCHAINED);
        }
        if let Some(broken) = self.broken {
            return Err(broken);
        }
        if self.seq != self.head.seq + 1 {
            return broken(self.seq, "it is missing");
        }
        if self.prev.unwrap_or(beginning) != self.head.hash {
            return broken(self.head.seq, "it is not the one that the record names");
        }
        Ok(())
    }

    /// What the first kept entry must follow: the beginning, or what the last cut left.
    fn beginning(&self) -> Option<Digest> {
        if self.head.first == 1 {
            return Some(genesis());
        }
        let cut = self.last_cut.as_ref().filter(|cut| cut.through + 1 == self.head.first);
        cut.map(|cut| cut.hash.clone())
    }
}

const UNCHAINED: &str = "it does not follow the entry before";
