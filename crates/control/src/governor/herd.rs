//! Turns: how many machines are woken by their governance at the same time, and in which order.
//!
//! One app's thousand alarms must not keep another app's single one waiting, so apps take turns;
//! within an app the first to ask is the first to go. A machine whose turn has come is told to
//! evaluate and asks again; if it does not, because it wants nothing any more, its turn is passed on.

use super::ready::{Lane, Ready};
use model::{AppName, MachineId};
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Fewest governed wakes that may be under way: a start waits for disks more than for CPUs.
const AT_ONCE_MIN: usize = 8;

/// Governed wakes under way for each CPU of the host.
const AT_ONCE_PER_CPU: usize = 4;

/// How long a turn is kept for a machine that does not come to take it.
pub(super) const KEPT_FOR: Duration = Duration::from_secs(2);

/// Who wakes now, and who waits.
#[derive(Debug)]
pub(super) struct Herd {
    at_once: usize,
    turns: Mutex<Turns>,
    ready: Arc<Ready>,
    rung: Notify,
}

#[derive(Debug, Default)]
struct Turns {
    /// Turns in use; a machine has at most one.
    in_use: HashSet<MachineId>,
    /// Turns kept for machines that were told, and until when.
    kept: HashMap<MachineId, Instant>,
    /// Apps with waiting machines, the next one first.
    apps: VecDeque<AppName>,
    waiting: HashMap<AppName, VecDeque<MachineId>>,
    app_of: HashMap<MachineId, AppName>,
}

/// Leave to wake one machine. Given back when dropped: when its program runs, or cannot.
#[derive(Debug)]
pub(crate) struct Turn {
    herd: Arc<Herd>,
    id: MachineId,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut turns = self.herd.lock();
        turns.in_use.remove(&self.id);
        self.herd.pass_on(turns);
    }
}

impl Herd {
    pub(super) fn new(host_cpus: u64, ready: Arc<Ready>) -> Arc<Self> {
        let of_cpus = usize::try_from(host_cpus).unwrap_or(usize::MAX);
        let at_once = of_cpus.saturating_mul(AT_ONCE_PER_CPU).max(AT_ONCE_MIN);
        Arc::new(Self { at_once, turns: Mutex::default(), ready, rung: Notify::new() })
    }

    /// A turn for the machine, or `None`: it waits, and is told to evaluate when its turn has come.
    /// A machine that has its turn gets no second one.
    pub(super) fn turn(self: &Arc<Self>, id: &MachineId, app: &AppName) -> Option<Turn> {
        let mut turns = self.lock();
        if turns.in_use.contains(id) {
            return None;
        }
        let is_kept = turns.kept.remove(id).is_some();
        let is_free = turns.n_taken() < self.at_once && turns.apps.is_empty();
        if is_kept || is_free {
            turns.in_use.insert(id.clone());
            return Some(Turn { herd: Arc::clone(self), id: id.clone() });
        }
        turns.wait(id, app);
        None
    }

    /// The machine does not want to wake any more.
    pub(super) fn withdraw(&self, id: &MachineId) {
        let mut turns = self.lock();
        let was_kept = turns.kept.remove(id).is_some();
        if turns.leave(id) || was_kept {
            self.pass_on(turns);
        }
    }

    /// Passes on the turns that nobody takes, for as long as control lives.
    pub(super) async fn pass_on_for_ever(&self) {
        loop {
            let until = {
                let mut turns = self.lock();
                let now = Instant::now();
                turns.kept.retain(|_, until| now < *until);
                let until = turns.kept.values().min().copied();
                self.pass_on(turns);
                until
            };
            match until {
                // Rung or not, a kept turn may be over.
                Some(until) => drop(tokio::time::timeout_at(until, self.rung.notified()).await),
                None => self.rung.notified().await,
            }
        }
    }

    /// Keeps free turns for the next in line, and tells them.
    fn pass_on(&self, mut turns: MutexGuard<'_, Turns>) {
        let mut told = Vec::new();
        while turns.n_taken() < self.at_once
            && let Some(id) = turns.take_next()
        {
            turns.kept.insert(id.clone(), Instant::now() + KEPT_FOR);
            told.push(id);
        }
        drop(turns);
        if !told.is_empty() {
            self.ready.push_all(told, Lane::Now);
            self.rung.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turns {
    fn n_taken(&self) -> usize {
        self.in_use.len() + self.kept.len()
    }

    fn wait(&mut self, id: &MachineId, app: &AppName) {
        if self.app_of.contains_key(id) {
            return;
        }
        self.app_of.insert(id.clone(), app.clone());
        let waiting = self.waiting.entry(app.clone()).or_default();
        if waiting.is_empty() {
            self.apps.push_back(app.clone());
        }
        waiting.push_back(id.clone());
    }

    /// The first machine of the next app, which then goes to the end of the line.
    fn take_next(&mut self) -> Option<MachineId> {
        let app = self.apps.pop_front()?;
        let waiting = self.waiting.get_mut(&app)?;
        let id = waiting.pop_front()?;
        if waiting.is_empty() {
            self.waiting.remove(&app);
        } else {
            self.apps.push_back(app);
        }
        self.app_of.remove(&id);
        Some(id)
    }

    /// Takes a machine out of the line; whether it was there.
    fn leave(&mut self, id: &MachineId) -> bool {
        let Some(app) = self.app_of.remove(id) else { return false };
        if let Some(waiting) = self.waiting.get_mut(&app) {
            waiting.retain(|other| other != id);
            if waiting.is_empty() {
                self.waiting.remove(&app);
                self.apps.retain(|other| *other != app);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests;
