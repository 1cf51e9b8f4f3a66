//! How much may one machine ask, so that the others are heard too?
//!
//! Three bounds, each by machine and in all: questions per second, questions that wait for an
//! upstream, and connections. A share of what is scarce is not fixed: a machine may hold an eighth
//! of what is free just then, so one machine alone gets much, many get little each, and there is
//! always something left for one that comes new.

use model::MachineId;
use model::bucket::{Bucket, Pace};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

#[cfg(test)]
mod tests;

/// A machine may hold so much of what is free: one part in…
const SHARE: usize = 8;

/// Machines remembered before those that have long been silent are forgotten.
const REMEMBERED: usize = 4_096;

/// Refusals told to a machine that asks too much; beyond that it hears nothing.
const REFUSALS: Pace = Pace { burst: 100, per_second: 100 };

/// Bounds of a [`crate::Server`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Questions of one machine. Default: 500 a second, several times a busy crawler, and 1,000 at
    /// once of one that was silent before.
    pub questions: Pace,
    /// Questions that wait for an upstream at the same time. Default: 1,024, with a socket each.
    pub in_flight: usize,
    /// TCP connections at the same time. Default: 512.
    pub connections: usize,
    /// Longest time a connection may be silent, or take for one question or for reading one
    /// answer. Default: 10 s, as the C library asks once and goes.
    pub connection_idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            questions: Pace { burst: 1_000, per_second: 500 },
            in_flight: 1_024,
            connections: 512,
            connection_idle: Duration::from_secs(10),
        }
    }
}

/// Who asks; `None` stands for everyone who is no machine of ours.
pub(crate) type Who = Option<MachineId>;

/// What to do with a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// Answer it.
    Answer,
    /// Say that it is refused.
    Refuse,
    /// Say nothing.
    Drop,
}

/// What is bounded by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scarce {
    /// Questions that wait for an upstream.
    InFlight,
    /// TCP connections.
    Connections,
}

/// Who holds what.
#[derive(Debug)]
pub(crate) struct Bounds {
    limits: Limits,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    askers: HashMap<Who, Asker>,
    forget_at: usize,
    held: Held,
}

#[derive(Debug)]
struct Asker {
    questions: Bucket<Instant>,
    refusals: Bucket<Instant>,
    held: Held,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Held {
    in_flight: usize,
    connections: usize,
}

/// Something scarce that is held until this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    bounds: Arc<Bounds>,
    who: Who,
    scarce: Scarce,
}

impl Bounds {
    pub(crate) fn new(limits: Limits) -> Arc<Self> {
        let held = Held::default();
        let state = State { askers: HashMap::new(), forget_at: REMEMBERED, held };
        Arc::new(Self { limits, state: Mutex::new(state) })
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Counts a question of `who`.
    pub(crate) fn admit(&self, who: &Who, now: Instant) -> Admission {
        let mut state = self.lock();
        let asker = state.asker(who, self.limits.questions, now);
        if asker.questions.take(now).is_ok() {
            Admission::Answer
        } else if asker.refusals.take(now).is_ok() {
            Admission::Refuse
        } else {
            Admission::Drop
        }
    }

    /// Gives `who` a place, if its share has one left.
    pub(crate) fn take(self: &Arc<Self>, who: &Who, scarce: Scarce, now: Instant) -> Option<Place> {
        let mut state = self.lock();
        let total = match scarce {
            Scarce::InFlight => self.limits.in_flight,
            Scarce::Connections => self.limits.connections,
        };
        let free = total.saturating_sub(*state.held.of(scarce));
        let mine = state.asker(who, self.limits.questions, now).held.of(scarce);
        if free == 0 || *mine >= free.div_ceil(SHARE) {
            return None;
        }
        *mine += 1;
        *state.held.of(scarce) += 1;
        drop(state);
        Some(Place { bounds: Arc::clone(self), who: who.clone(), scarce })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.bounds.lock();
        *state.held.of(self.scarce) -= 1;
        if let Some(asker) = state.askers.get_mut(&self.who) {
            *asker.held.of(self.scarce) -= 1;
        }
    }
}

impl State {
    fn asker(&mut self, who: &Who, questions: Pace, now: Instant) -> &mut Asker {
        if self.askers.len() >= self.forget_at {
            self.askers.retain(|_, asker| !asker.is_idle(now));
            self.forget_at = REMEMBERED.max(2 * self.askers.len());
        }
        self.askers.entry(who.clone()).or_insert_with(|| Asker {
            questions: Bucket::full(questions, now),
            refusals: Bucket::full(REFUSALS, now),
            held: Held::default(),
        })
    }
}

impl Asker {
    fn is_idle(&self, now: Instant) -> bool {
        self.held == Held::default() && self.questions.is_full(now) && self.refusals.is_full(now)
    }
}

impl Held {
    fn of(&mut self, scarce: Scarce) -> &mut usize {
        match scarce {
            Scarce::InFlight => &mut self.in_flight,
            Scarce::Connections => &mut self.connections,
        }
    }
}
