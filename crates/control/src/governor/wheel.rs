//! The timer wheel: when each machine must be evaluated although nothing happens.
//!
//! Moments belong to the wall clock, waits to the monotonic one. One task sleeps until the first
//! moment and not a moment less: with nothing to come it sleeps for ever. When the wall clock jumps,
//! the kernel says so ([`super::clock::JumpWatch`]) and the wait is measured anew.

use super::clock::Clock;
use super::ready::{Lane, Ready};
use model::{MachineId, UnixMs};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// Machines that are handed on at once, before others have their turn on this thread.
const BATCH: usize = 256;

/// Longest single wait: what lies further off is looked at again then. A bound of the runtime's
/// clock, which counts two years.
const WAIT_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// When each machine must be evaluated next.
#[derive(Debug, Default)]
pub(super) struct Wheel {
    moments: Mutex<Moments>,
    rung: Notify,
}

#[derive(Debug, Default)]
struct Moments {
    of: HashMap<MachineId, UnixMs>,
    in_order: BTreeSet<(UnixMs, MachineId)>,
}

impl Wheel {
    /// The machine must be evaluated at this moment, and at no other.
    pub(super) fn set(&self, id: &MachineId, at: Option<UnixMs>) {
        let mut moments = self.lock();
        let first = moments.first();
        moments.set(id, at);
        let is_first_changed = moments.first() != first;
        drop(moments);
        if is_first_changed {
            self.rung.notify_one();
        }
    }

    /// As [`Wheel::set`] for machines that have no moment yet: what they have is newer.
    pub(super) fn fill(&self, timers: impl IntoIterator<Item = (MachineId, UnixMs)>) {
        let mut moments = self.lock();
        for (id, at) in timers {
            if !moments.of.contains_key(&id) {
                moments.set(&id, Some(at));
            }
        }
        drop(moments);
        self.rung.notify_one();
    }

    /// The wall clock has jumped.
    pub(super) fn measure_anew(&self) {
        self.rung.notify_one();
    }

    /// Hands machines on when their moments have come, for as long as control lives.
    pub(super) async fn turn_for_ever(&self, clock: &Clock, ready: &Ready) {
        loop {
            let now = clock.now();
            let due = self.lock().take_due(now);
            if !due.is_empty() {
                ready.push_all(due, Lane::Now);
                tokio::task::yield_now().await;
                continue;
            }
            let first = self.lock().first();
            match first {
                Some(at) => {
                    let wait = at.since(now).to_std().min(WAIT_MAX);
                    // Rung or not, the first moment may have come.
                    drop(tokio::time::timeout(wait, self.rung.notified()).await);
                }
                None => self.rung.notified().await,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Moments> {
        self.moments.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn at(&self, id: &MachineId) -> Option<UnixMs> {
        self.lock().of.get(id).copied()
    }
}

impl Moments {
    fn first(&self) -> Option<UnixMs> {
        self.in_order.first().map(|(at, _)| *at)
    }

    fn set(&mut self, id: &MachineId, at: Option<UnixMs>) {
        let old = match at {
            Some(at) => self.of.insert(id.clone(), at),
            None => self.of.remove(id),
        };
        if old == at {
            return;
        }
        if let Some(old) = old {
            self.in_order.remove(&(old, id.clone()));
        }
        if let Some(at) = at {
            self.in_order.insert((at, id.clone()));
        }
    }

    /// At most [`BATCH`] machines whose moments have come, earliest first.
    fn take_due(&mut self, now: UnixMs) -> Vec<MachineId> {
        let mut due = Vec::new();
        while due.len() < BATCH
            && let Some((at, _)) = self.in_order.first()
            && *at <= now
            && let Some((_, id)) = self.in_order.pop_first()
        {
            self.of.remove(&id);
            due.push(id);
        }
        due
    }
}

#[cfg(test)]
mod tests;
