//! The trace of a machine: read, verified, replayed; and its whole self on the way from host to host.

use super::super::{Answer, Control};
use crate::error::ControlError;
use crate::facade::TraceCheck;
use crate::inner::Inner;
use crate::machine::Command;
use govern::trace::{ChainCheck, TraceHead};
use govern::{Export, Replay, Selfhood, TraceEntry, Writer};
use model::{Digest, MachineId};
use policy::Policy;
use std::sync::Arc;
use store::{Reader, TraceRecord};
use tokio::sync::{Semaphore, SemaphorePermit};

/// Most entries that one call shows.
const PAGE_MAX: u32 = 1_000;

/// Entries that are in memory together while a whole trace is walked through: 1 MiB of 4 KiB each.
pub(super) const WALK_PAGE: u32 = 256;

/// Whole traces that are read at once on this host, for whomever: each takes a CPU and a reader of
/// the store, and one that is exported the few MiB of an inbox.
const WHOLE_READS_MAX: usize = 2;

static WHOLE_READS: Semaphore = Semaphore::const_new(WHOLE_READS_MAX);

/// The turn of whoever reads a whole trace, until it is dropped.
#[derive(Debug)]
pub(super) struct WholeRead(
    #[expect(dead_code, reason = "held, not read")] SemaphorePermit<'static>,
);

impl WholeRead {
    pub(super) async fn turn() -> Answer<Self> {
        let permit = WHOLE_READS.acquire().await;
        permit.map(Self).map_err(|_closed| ControlError::ShuttingDown)
    }
}

impl Control {
    /// Entries with greater numbers than `after`, oldest first, at most 1,000.
    ///
    /// # Errors
    /// [`ControlError::NotFound`]; [`ControlError::SelfUnreadable`].
    pub fn self_trace(&self, id: &MachineId, after: u64, limit: u32) -> Answer<Vec<TraceEntry>> {
        self.live(id)?;
        read_trace(&self.inner, id, after, limit.min(PAGE_MAX))
    }

    /// The newest entries, at most 1,000, newest first; with `before` those with smaller numbers.
    ///
    /// # Errors
    /// As [`Control::self_trace`].
    pub fn self_trace_before(
        &self,
        id: &MachineId,
        before: Option<u64>,
        limit: u32,
    ) -> Answer<Vec<TraceEntry>> {
        self.live(id)?;
        let limit = limit.min(PAGE_MAX);
        let rows = self.inner.store.read(|reader| reader.trace_before(id, before, limit))?;
        rows.iter().map(|row| entry_of(id, row)).collect()
    }

    /// Whether the trace is as it was written.
    ///
    /// # Errors
    /// As [`Control::self_trace`].
    pub async fn self_verify(&self, id: &MachineId) -> Answer<TraceCheck> {
        self.live(id)?;
        let id = id.clone();
        let turn = WholeRead::turn().await?;
        self.blocking(move |inner| {
            let _turn = turn;
            inner.store.read(|reader| Ok(check(reader, &id)))?
        })
        .await
    }

    /// Decides again what was decided: one entry, or all that are kept, by number.
    ///
    /// # Errors
    /// [`ControlError::NotFound`] also for an entry that is not kept.
    pub async fn self_replay(
        &self,
        id: &MachineId,
        seq: Option<u64>,
    ) -> Answer<Vec<(u64, Replay)>> {
        self.live(id)?;
        let id = id.clone();
        let turn = WholeRead::turn().await?;
        self.blocking(move |inner| {
            let _turn = turn;
            match seq {
                None => replay_all(inner, &id),
                Some(seq) => replay_one(inner, &id, seq).map(|replay| vec![(seq, replay)]),
            }
        })
        .await
    }

    /// Puts a self in the place of the machine's own; the machine must be down. The revision then.
    ///
    /// # Errors
    /// [`ControlError::Import`], [`ControlError::Self_`], [`ControlError::Precondition`] while it is
    /// up.
    pub async fn self_import(&self, id: &MachineId, export: Export, writer: Writer) -> Answer<u64> {
        let export = Box::new(export);
        self.ask(id, |reply| Command::SelfImport { export, writer, reply }).await
    }
}

/// Checks the trace as it is at one moment.
fn check(reader: &Reader<'_>, id: &MachineId) -> Answer<TraceCheck> {
    let head = match reader.selfhood(id)? {
        None => TraceHead::default(),
        Some(record) => {
            let read = Selfhood::read(&record.record);
            read.map_err(|error| ControlError::unreadable(id, error))?.trace
        }
    };
    let (mut chain, mut entries) = (ChainCheck::new(&head), 0);
    walk(reader, id, |entry| {
        entries += 1;
        chain.add(&entry);
        Ok(())
    })?;
    Ok(TraceCheck { entries, first: head.first, broken: chain.end().err() })
}

/// Shows the entries to `see`, oldest first, of which no more than a page is in memory.
fn walk(
    reader: &Reader<'_>,
    id: &MachineId,
    mut see: impl FnMut(TraceEntry) -> Answer<()>,
) -> Answer<()> {
    let mut after = 0;
    loop {
        let rows = reader.trace(id, after, WALK_PAGE)?;
        let Some(last) = rows.last() else { return Ok(()) };
        after = last.seq;
        rows.iter().try_for_each(|row| see(entry_of(id, row)?))?;
    }
}

fn replay_all(inner: &Inner, id: &MachineId) -> Answer<Vec<(u64, Replay)>> {
    let mut replays = Vec::new();
    let mut after = 0;
    loop {
        let page = read_trace(inner, id, after, WALK_PAGE)?;
        let Some(last) = page.last() else { return Ok(replays) };
        after = last.seq;
        for entry in &page {
            replays.push((entry.seq, replay(inner, id, entry)?));
        }
    }
}

fn replay_one(inner: &Inner, id: &MachineId, seq: u64) -> Answer<Replay> {
    let found = read_trace(inner, id, seq.saturating_sub(1), 1)?;
    match found.first().filter(|entry| entry.seq == seq) {
        Some(entry) => replay(inner, id, entry),
        None => Err(ControlError::NotFound { what: "trace entry" }),
    }
}

fn read_trace(inner: &Inner, id: &MachineId, after: u64, limit: u32) -> Answer<Vec<TraceEntry>> {
    let rows = inner.store.read(|reader| reader.trace(id, after, limit))?;
    rows.iter().map(|row| entry_of(id, row)).collect()
}

pub(super) fn entry_of(id: &MachineId, row: &TraceRecord) -> Answer<TraceEntry> {
    serde_json::from_str(&row.json).map_err(|error| ControlError::unreadable(id, error))
}

/// A decision that was made under a policy of old is judged by that, as long as its text is kept.
fn replay(inner: &Inner, id: &MachineId, entry: &TraceEntry) -> Answer<Replay> {
    let policy = match &entry.body.policy_hash {
        None => inner.policies.none(),
        Some(hash) => match policy_of(inner, id, hash)? {
            Some(policy) => policy,
            None => return Ok(Replay::NotApplicable),
        },
    };
    Ok(govern::replay(entry, &policy))
}

fn policy_of(inner: &Inner, id: &MachineId, hash: &Digest) -> Answer<Option<Arc<Policy>>> {
    let text = || inner.store.read(|reader| reader.policy(hash));
    inner.policies.get(id, hash, text)
}
