//! Answers of others, remembered for as long as they allow.

use crate::forward::Ask;
use crate::screen::Resolved;
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

#[cfg(test)]
mod tests;

/// Most answers remembered.
pub(crate) const ENTRIES_MAX: usize = 4_096;

/// Most records in an answer that is remembered: with [`ENTRIES_MAX`] it bounds the memory.
pub(crate) const RECORDS_MAX: usize = 64;

/// Most bytes of an answer that is remembered. With [`ENTRIES_MAX`]: 16 MiB.
pub(crate) const ENTRY_MAX_BYTES: usize = 4_096;

/// Answers by question. When it is full, what would be forgotten first goes first.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    entries: HashMap<Ask, Entry>,
    by_end: BTreeMap<(Instant, u64), Ask>,
    next: u64,
}

#[derive(Debug)]
struct Entry {
    resolved: Resolved,
    since: Instant,
    end: (Instant, u64),
}

impl Cache {
    /// The answer as it is worth at `now`: its records have aged.
    pub(crate) fn get(&self, ask: &Ask, now: Instant) -> Option<Resolved> {
        let entry = self.entries.get(ask)?;
        (now < entry.end.0).then(|| {
            let age = now.duration_since(entry.since).as_secs();
            entry.resolved.aged(u32::try_from(age).unwrap_or(u32::MAX))
        })
    }

    /// Remembers an answer, unless it allows no time or is too large.
    pub(crate) fn put(&mut self, ask: &Ask, resolved: &Resolved, n_bytes: usize, now: Instant) {
        self.forget(ask);
        let is_large = resolved.n_records() > RECORDS_MAX || n_bytes > ENTRY_MAX_BYTES;
        if resolved.ttl_secs == 0 || is_large {
            return;
        }
        if self.entries.len() >= ENTRIES_MAX
            && let Some((_, first)) = self.by_end.pop_first()
        {
            self.entries.remove(&first);
        }
        let end = (now + Duration::from_secs(resolved.ttl_secs.into()), self.next);
        self.next += 1;
        self.by_end.insert(end, ask.clone());
        self.entries.insert(ask.clone(), Entry { resolved: resolved.clone(), since: now, end });
    }

    fn forget(&mut self, ask: &Ask) {
        if let Some(entry) = self.entries.remove(ask) {
            self.by_end.remove(&entry.end);
        }
    }
}
