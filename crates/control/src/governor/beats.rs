//! Beats: "I am alive". Kept in RAM alone.

use model::{MachineId, UnixMs};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The last beat of each machine that has sent one.
#[derive(Debug)]
pub(super) struct Beats {
    heard: Mutex<Heard>,
}

#[derive(Debug)]
struct Heard {
    last: HashMap<MachineId, UnixMs>,
    /// Since when anybody could have been heard.
    since: UnixMs,
}

impl Beats {
    pub(super) fn new(now: UnixMs) -> Self {
        Self { heard: Mutex::new(Heard { last: HashMap::new(), since: now }) }
    }

    /// Takes a beat; whether it counts as a new one. Source: `govern::beat`.
    pub(super) fn beat(&self, id: &MachineId, now: UnixMs) -> bool {
        let mut heard = self.lock();
        let last = heard.last.get(id).copied();
        match govern::beat::beat(last, now) {
            Some(at) => {
                heard.last.insert(id.clone(), at);
                true
            }
            None => false,
        }
    }

    pub(super) fn at(&self, id: &MachineId) -> Option<UnixMs> {
        self.lock().last.get(id).copied()
    }

    /// The moment from which the age of a machine counts: its last beat. While it has sent none,
    /// that is its creation or the start of this process, whichever is later: a restart of control
    /// never makes a live machine look dead.
    pub(super) fn counts_from(&self, id: &MachineId, created_at: UnixMs) -> UnixMs {
        let heard = self.lock();
        heard.last.get(id).copied().unwrap_or(created_at.max(heard.since))
    }

    /// The wall clock has jumped to `now`: nobody was heard later than that.
    pub(super) fn clock_jumped(&self, now: UnixMs) {
        let mut heard = self.lock();
        heard.since = heard.since.min(now);
        for at in heard.last.values_mut() {
            *at = now.min(*at);
        }
    }

    pub(super) fn forget(&self, id: &MachineId) {
        self.lock().last.remove(id);
    }

    fn lock(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::DurationMs;

    const START: UnixMs = UnixMs(1_800_000_000_000);

    fn id(n: u8) -> MachineId {
        MachineId::from_random([n; 7])
    }

    #[test]
    fn beats_of_one_second_are_one() {
        let beats = Beats::new(START);
        assert!(beats.beat(&id(1), START));
        assert!(!beats.beat(&id(1), START.plus(DurationMs(999))));
        assert!(beats.beat(&id(1), START.plus(DurationMs(1000))));
        assert_eq!(beats.at(&id(1)), Some(START.plus(DurationMs(1000))));
        assert_eq!(beats.at(&id(2)), None);
    }

    #[test]
    fn nobody_looks_dead_because_control_was_restarted() {
        let beats = Beats::new(START);
        let later = START.plus(DurationMs::from_secs(60));
        assert_eq!(beats.counts_from(&id(1), UnixMs(5)), START);
        assert_eq!(beats.counts_from(&id(1), later), later, "created after that");
        beats.beat(&id(1), later);
        assert_eq!(beats.counts_from(&id(1), UnixMs(5)), later);
        beats.forget(&id(1));
        assert_eq!(beats.counts_from(&id(1), UnixMs(5)), START);
    }

    #[test]
    fn a_clock_that_is_set_back_leaves_no_beat_in_the_future() {
        let beats = Beats::new(START);
        beats.beat(&id(1), START.plus(DurationMs(5000)));
        beats.clock_jumped(UnixMs(1000));
        assert_eq!(beats.at(&id(1)), Some(UnixMs(1000)));
        assert_eq!(beats.counts_from(&id(2), UnixMs(5)), UnixMs(1000));
    }
}
