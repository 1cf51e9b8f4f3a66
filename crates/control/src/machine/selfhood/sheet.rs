//! What one transaction stores of a machine's self: the next record, the entries of its trace, the
//! rows beside it.

use super::own::Own;
use super::{flood, rows};
use crate::notify;
use govern::trace::{checkpoint, cut_due};
use govern::write::{Ground, NoRows, Reply, RowOp, Rows};
use govern::{Report, TraceEntry, Verdict, Write, WriteRefused, Writer, apply, refusal};
use model::{BootId, Cause, Event, MachineId, UnixMs};
use std::sync::Arc;
use store::{OutboxRecord, SelfhoodRecord, StoreError, Tx};

/// A number that no entry reaches.
const WHOLE_TRACE: u64 = i64::MAX.cast_unsigned();

/// A self in the making: what it was, and what is added to it.
#[derive(Debug)]
pub(in crate::machine) struct Sheet {
    /// The self as it will be.
    pub(in crate::machine) own: Own,
    /// What follows for the machine's life, to be stepped in the same transaction.
    pub(in crate::machine) event: Option<Event>,
    /// What rules read has changed.
    pub(in crate::machine) is_relevant: bool,
    /// Others may see another fact.
    pub(in crate::machine) has_new_facts: bool,
    /// Why an evaluation wishes what follows, in words.
    words: Option<(Cause, String)>,
    boot: BootId,
    is_changed: bool,
    entries: Vec<TraceEntry>,
    ops: Vec<RowOp>,
    outbox: Vec<OutboxRecord>,
    cut: Option<u64>,
    replaces: bool,
}

impl Sheet {
    /// A sheet with nothing on it yet.
    pub(in crate::machine) fn new(own: &Own, boot: &BootId) -> Self {
        Self {
            own: own.clone(),
            event: None,
            is_relevant: false,
            has_new_facts: false,
            words: None,
            boot: boot.clone(),
            is_changed: false,
            entries: Vec::new(),
            ops: Vec::new(),
            outbox: Vec::new(),
            cut: None,
            replaces: false,
        }
    }

    /// Whether there is anything to be stored.
    pub(in crate::machine) fn is_empty(&self) -> bool {
        !self.is_changed && self.entries.is_empty() && self.outbox.is_empty()
    }

    /// Whether it sends messages to others.
    pub(super) fn notifies(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// Applies a write.
    ///
    /// # Errors
    /// [`WriteRefused`]; nothing was added.
    pub(in crate::machine) fn write(
        &mut self,
        write: &Write,
        writer: &Writer,
        rows: &dyn Rows,
        inbox_room: u64,
        now: UnixMs,
    ) -> Result<Reply, WriteRefused> {
        let Own { selfhood, policy, .. } = &self.own;
        let ground = Ground { selfhood, policy, rows, inbox_room, now };
        let applied = apply(&ground, write, writer)?;
        self.is_changed |= applied.next != *selfhood || !applied.ops.is_empty();
        self.has_new_facts |= !Arc::ptr_eq(&applied.next.facts, &selfhood.facts);
        self.is_relevant |= applied.is_wake_relevant;
        self.own.selfhood = applied.next;
        if let Some(policy) = applied.policy {
            self.own.policy = Arc::new(policy);
        }
        if let Some(entry) = applied.entry {
            self.entries.push(self.own.selfhood.record(entry, now, &self.boot));
        }
        self.ops.extend(applied.ops);
        self.event = applied.event.or(self.event.take());
        Ok(applied.reply)
    }

    /// As [`Sheet::write`], for what the platform writes without rows.
    ///
    /// # Errors
    /// [`WriteRefused`].
    pub(in crate::machine) fn write_by_platform(
        &mut self,
        write: &Write,
        now: UnixMs,
    ) -> Result<(), WriteRefused> {
        self.write(write, &Writer::Platform, &NoRows, u64::MAX, now).map(drop)
    }

    /// Notes something that the platform noticed.
    pub(in crate::machine) fn report(&mut self, report: Report, now: UnixMs) {
        self.write_by_platform(&Write::Report(report), now)
            .expect("the platform may report, and a report has no limits");
    }

    /// Notes a write that was refused; `n_untraced` before it were not noted.
    pub(super) fn refuse(
        &mut self,
        write: &Write,
        writer: &Writer,
        why: &WriteRefused,
        n_untraced: u64,
        now: UnixMs,
    ) {
        let Own { selfhood, policy, .. } = &self.own;
        let ground = Ground { selfhood, policy, rows: &NoRows, inbox_room: u64::MAX, now };
        let mut body = refusal(&ground, write, writer, why);
        body.changes.extend(flood::untraced(n_untraced));
        self.entries.push(self.own.selfhood.record(body, now, &self.boot));
        self.is_changed = true;
    }

    /// Takes what an evaluation says of the record, and its messages to others.
    pub(super) fn decide(&mut self, verdict: &Verdict, outbox: Vec<OutboxRecord>, now: UnixMs) {
        self.own.selfhood = verdict.next.clone();
        self.is_changed |= verdict.is_changed;
        if let Some(body) = &verdict.entry {
            self.entries.push(self.own.selfhood.record(body.clone(), now, &self.boot));
        }
        self.outbox.extend(outbox);
        let words = govern::wish_words(verdict, &self.own.policy);
        self.words = verdict.wish.as_ref().map(|(_, cause)| cause.clone()).zip(words);
        // Moments that have moved away are not worth a commit: a look too early finds nothing to do.
        let is_sooner = match (verdict.next_at, self.own.next_at) {
            (Some(next), Some(stored)) => next < stored,
            (Some(_), None) => true,
            (None, _) => false,
        };
        self.is_changed |= is_sooner;
        self.own.next_at = verdict.next_at;
    }

    /// Why something happens to the machine, if this sheet knows.
    pub(super) fn words_of(&self, cause: &Cause) -> Option<&str> {
        let (known, words) = self.words.as_ref()?;
        (known == cause).then_some(words)
    }

    /// Puts another self in the place of this one.
    pub(super) fn replace(&mut self, own: Own, trace: Vec<TraceEntry>, ops: Vec<RowOp>) {
        self.own = own;
        self.entries = trace;
        self.ops = ops;
        self.replaces = true;
        self.is_changed = true;
        self.is_relevant = true;
        self.has_new_facts = true;
    }

    /// The stored trace goes: it does not hold, so a new one begins.
    pub(super) fn forget_trace(&mut self) {
        self.cut = Some(WHOLE_TRACE);
    }

    /// Adds an entry of the platform's or a writer's own.
    pub(super) fn add(&mut self, body: govern::TraceBody, now: UnixMs) {
        self.entries.push(self.own.selfhood.record(body, now, &self.boot));
        self.is_changed = true;
    }

    /// Cuts the oldest entries off, if there are too many or they are too old. `read` gives a stored
    /// entry.
    pub(super) fn trim<E>(
        &mut self,
        first_at: UnixMs,
        now: UnixMs,
        read: impl FnOnce(u64) -> Result<Option<TraceEntry>, E>,
    ) -> Result<(), E> {
        let Some(through) = cut_due(&self.own.selfhood.trace, first_at, now) else { return Ok(()) };
        if let Some(last) = read(through)? {
            let entry = checkpoint(&mut self.own.selfhood, &last, now, &self.boot);
            self.entries.push(entry);
            self.cut = Some(through);
            self.is_changed = true;
        }
        Ok(())
    }

    /// The texts to be stored; `deepens` when the machine is to sleep deeper some day.
    pub(in crate::machine) fn to_stored(&self, machine: &MachineId, deepens: bool) -> Stored {
        let Own { selfhood, next_at, .. } = &self.own;
        let json = |entry: &TraceEntry| {
            serde_json::to_string(entry).expect("an entry has text keys and finite numbers")
        };
        Stored {
            record: SelfhoodRecord {
                machine: machine.clone(),
                revision: selfhood.revision,
                next_at: *next_at,
                policy: selfhood.policy.as_ref().map(|policy| policy.hash.clone()),
                is_governed: self.own.governs() || deepens,
                record: selfhood.to_text(),
            },
            entries: self.entries.iter().map(|entry| (entry.seq, entry.at, json(entry))).collect(),
            ops: self.ops.clone(),
            outbox: self.outbox.clone(),
            cut: self.cut,
            replaces: self.replaces,
        }
    }
}

/// A sheet as the store takes it.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    record: SelfhoodRecord,
    entries: Vec<(u64, UnixMs, String)>,
    ops: Vec<RowOp>,
    outbox: Vec<OutboxRecord>,
    cut: Option<u64>,
    replaces: bool,
}

impl Stored {
    /// Stores it. A policy's text comes before the record that names it, messages after it.
    pub(crate) fn write(&self, tx: &Tx<'_>) -> Result<(), StoreError> {
        let machine = &self.record.machine;
        if self.replaces {
            tx.remove_selfhood(machine)?;
            tx.cut_trace(machine, WHOLE_TRACE)?;
        }
        let is_policy = |op: &&RowOp| matches!(op, RowOp::PutPolicy { .. });
        for op in self.ops.iter().filter(is_policy) {
            rows::carry_out(tx, machine, op)?;
        }
        tx.put_selfhood(&self.record)?;
        for op in self.ops.iter().filter(|op| !is_policy(op)) {
            rows::carry_out(tx, machine, op)?;
        }
        if let Some(through) = self.cut {
            tx.cut_trace(machine, through)?;
        }
        for (seq, at, json) in &self.entries {
            tx.append_trace(machine, *seq, *at, json)?;
        }
        notify::put(tx, &self.outbox)
    }
}
