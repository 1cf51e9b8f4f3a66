//! Who must be evaluated, and how many at once.
//!
//! A machine waits here at most once in each lane, however often something happens to it, so the
//! queue is never longer than twice the number of machines. What happens comes before what is only
//! looked through at start.

use model::MachineId;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Evaluations under way at once: enough to keep the store's group commits full, few enough that a
/// thousand alarms of one second do not make a thousand tasks at once.
pub(super) const AT_ONCE: usize = 64;

/// Of these, evaluations of the sweep at start: the rest is kept free for what happens meanwhile.
const SWEPT_AT_ONCE: usize = 16;

/// Longest time that an evaluation counts as under way: its machine may be busy with something slow,
/// and must not keep others waiting.
const PATIENCE: Duration = Duration::from_secs(5);

/// Wait before a machine whose queue is full is told again.
const BUSY_RETRY: Duration = Duration::from_millis(100);

/// How urgent an evaluation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Lane {
    /// Something has happened.
    Now,
    /// The sweep at start has come to it.
    Sweep,
}

/// What became of telling a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// It will evaluate, and say when it is done.
    Yes,
    /// Its queue is full.
    Busy,
}

/// Machines to be evaluated.
#[derive(Debug, Default)]
pub(super) struct Ready {
    queue: Mutex<Queue>,
    rung: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    now: Waiting,
    sweep: Waiting,
    under_way: HashMap<MachineId, UnderWay>,
    n_swept: usize,
}

/// First in, first out, each machine once.
#[derive(Debug, Default)]
struct Waiting {
    order: VecDeque<MachineId>,
    known: HashSet<MachineId>,
}

#[derive(Debug)]
struct UnderWay {
    lane: Lane,
    until: Instant,
    /// It could not be told, so it comes again.
    comes_again: bool,
}

/// What there is to do now.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Tell(MachineId),
    WaitUntil(Option<Instant>),
}

impl Ready {
    /// The machine is to be evaluated soon.
    pub(super) fn push(&self, id: &MachineId, lane: Lane) {
        self.push_all(std::iter::once(id.clone()), lane);
    }

    /// As [`Ready::push`], in this order.
    pub(super) fn push_all(&self, ids: impl IntoIterator<Item = MachineId>, lane: Lane) {
        let mut queue = self.lock();
        for id in ids {
            queue.lane(lane).push(id);
        }
        drop(queue);
        self.rung.notify_one();
    }

    /// The machine has been evaluated.
    pub(super) fn done(&self, id: &MachineId) {
        let mut queue = self.lock();
        let is_told = queue.under_way.get(id).is_some_and(|under_way| !under_way.comes_again);
        if is_told {
            queue.end(id);
            drop(queue);
            self.rung.notify_one();
        }
    }

    /// The machine is gone.
    pub(super) fn forget(&self, id: &MachineId) {
        let mut queue = self.lock();
        queue.now.remove(id);
        queue.sweep.remove(id);
        queue.end(id);
        drop(queue);
        self.rung.notify_one();
    }

    /// Tells machines to evaluate, one after the other, for as long as control lives.
    pub(super) async fn tell_for_ever(&self, tell: impl Fn(&MachineId) -> Told) {
        loop {
            let step = self.lock().next(Instant::now());
            match step {
                Step::Tell(id) => {
                    if tell(&id) == Told::Busy {
                        self.lock().put_off(&id, Instant::now() + BUSY_RETRY);
                    }
                }
                Step::WaitUntil(Some(until)) => {
                    // Rung or not, there may be something to do.
                    drop(tokio::time::timeout_at(until, self.rung.notified()).await);
                }
                Step::WaitUntil(None) => self.rung.notified().await,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn waiting(&self) -> Vec<MachineId> {
        let queue = self.lock();
        queue.now.order.iter().chain(&queue.sweep.order).cloned().collect()
    }
}

impl Queue {
    fn lane(&mut self, lane: Lane) -> &mut Waiting {
        match lane {
            Lane::Now => &mut self.now,
            Lane::Sweep => &mut self.sweep,
        }
    }

    fn next(&mut self, now: Instant) -> Step {
        self.give_up(now);
        if self.under_way.len() < AT_ONCE {
            let found = self.now.pop().map(|id| (id, Lane::Now));
            let may_sweep = self.n_swept < SWEPT_AT_ONCE;
            let found = found.or_else(|| {
                may_sweep.then(|| self.sweep.pop()).flatten().map(|id| (id, Lane::Sweep))
            });
            if let Some((id, lane)) = found {
                self.begin(id.clone(), lane, now + PATIENCE);
                return Step::Tell(id);
            }
        }
        Step::WaitUntil(self.under_way.values().map(|under_way| under_way.until).min())
    }

    fn begin(&mut self, id: MachineId, lane: Lane, until: Instant) {
        self.end(&id);
        self.n_swept += usize::from(lane == Lane::Sweep);
        self.under_way.insert(id, UnderWay { lane, until, comes_again: false });
    }

    fn end(&mut self, id: &MachineId) {
        if let Some(UnderWay { lane: Lane::Sweep, .. }) = self.under_way.remove(id) {
            self.n_swept -= 1;
        }
    }

    fn put_off(&mut self, id: &MachineId, until: Instant) {
        if let Some(under_way) = self.under_way.get_mut(id) {
            under_way.until = until;
            under_way.comes_again = true;
        }
    }

    /// Waits no longer for those whose time is over.
    fn give_up(&mut self, now: Instant) {
        let is_over = |under_way: &UnderWay| under_way.until <= now;
        let over: Vec<MachineId> = self
            .under_way
            .iter()
            .filter(|(_, under_way)| is_over(under_way))
            .map(|(id, _)| id.clone())
            .collect();
        for id in over {
            let again = self.under_way.get(&id).filter(|u| u.comes_again).map(|u| u.lane);
            self.end(&id);
            if let Some(lane) = again {
                self.lane(lane).push(id);
            }
        }
    }
}

impl Waiting {
    fn push(&mut self, id: MachineId) {
        if self.known.insert(id.clone()) {
            self.order.push_back(id);
        }
    }

    fn pop(&mut self) -> Option<MachineId> {
        let id = self.order.pop_front()?;
        self.known.remove(&id);
        Some(id)
    }

    fn remove(&mut self, id: &MachineId) {
        if self.known.remove(id) {
            self.order.retain(|waiting| waiting != id);
        }
    }
}

#[cfg(test)]
mod tests;
