//! Budgets, back-offs, and what a stop has silenced.

use crate::limits::{
    BREAKER_FIRST, BREAKER_MAX, BUDGET_WINDOW, IDLE_WAKES_FIRST, IDLE_WAKES_FREE, WAKES_REMEMBERED,
};
use model::{Cause, DurationMs, UnixMs};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What keeps a machine from being woken too often.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ledger {
    /// Governed wakes of the last hour, oldest first.
    pub wakes: Vec<UnixMs>,
    /// Opens when wakes fail in a row.
    pub breaker: Breaker,
    /// Back-off after wakes without progress, until then.
    pub no_progress_until: Option<UnixMs>,
    /// When it last came to rest, or failed to come up.
    pub rested_at: Option<UnixMs>,
    /// Vetoes in a row against a rest.
    pub vetoes: u8,
}

/// The circuit breaker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Breaker {
    /// Open until then.
    pub until: Option<UnixMs>,
    /// How often it opened since a wake last reached `started`.
    pub trips: u32,
}

/// Why a machine was last woken, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastWake {
    /// Why.
    pub cause: Cause,
    /// When.
    pub at: UnixMs,
    /// Budgets count it: it was neither a call nor a knock nor a restart.
    pub is_governed: bool,
    /// It reached `started`.
    #[serde(default)]
    pub reached: bool,
    /// It was a resume that had to start from nothing.
    #[serde(default)]
    pub cold: bool,
    /// An ack, a fact or a request came of it.
    #[serde(default)]
    pub progressed: bool,
    /// It is over.
    #[serde(default)]
    pub ended: bool,
}

/// Why a machine rests, or is on its way there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastRest {
    /// Why.
    pub cause: Cause,
    /// Since when that is so.
    pub at: UnixMs,
}

impl Ledger {
    /// Counts a governed wake.
    pub(crate) fn count_wake(&mut self, now: UnixMs) {
        self.wakes.retain(|at| is_within(*at, now));
        self.wakes.push(now);
        let n_over = self.wakes.len().saturating_sub(WAKES_REMEMBERED);
        self.wakes.drain(..n_over);
    }

    /// Governed wakes in the hour before `now`.
    #[must_use]
    pub fn wakes_last_hour(&self, now: UnixMs) -> u32 {
        let n = self.wakes.iter().filter(|at| is_within(**at, now)).count();
        u32::try_from(n).unwrap_or(u32::MAX)
    }

    /// When the next of them is an hour old.
    pub(crate) fn budget_grows_at(&self, now: UnixMs) -> Option<UnixMs> {
        let live = self.wakes.iter().filter(|at| is_within(**at, now));
        live.min().map(|at| at.plus(BUDGET_WINDOW))
    }

    /// Until when the breaker is open.
    #[must_use]
    pub fn breaker_until(&self, now: UnixMs) -> Option<UnixMs> {
        ahead(self.breaker.until, now)
    }

    /// Until when wakes without progress are answered by waiting.
    #[must_use]
    pub fn no_progress_until(&self, now: UnixMs) -> Option<UnixMs> {
        ahead(self.no_progress_until, now)
    }

    /// Forgets what cannot be, because the clock went back: wakes to come, waits longer than any.
    pub(crate) fn rebase(&mut self, now: UnixMs) {
        self.wakes.retain(|at| *at <= now);
        self.rested_at = self.rested_at.map(|at| at.min(now));
        let limit = now.plus(BREAKER_MAX);
        self.breaker.until = self.breaker.until.filter(|until| *until <= limit);
        self.no_progress_until = self.no_progress_until.filter(|until| *until <= limit);
    }

    pub(crate) fn trip(&mut self, now: UnixMs) {
        self.breaker.until = Some(now.plus(doubled(BREAKER_FIRST, self.breaker.trips)));
        self.breaker.trips = self.breaker.trips.saturating_add(1);
    }

    /// Waits after the wakes without progress that are more than [`IDLE_WAKES_FREE`].
    pub(crate) fn back_off(&mut self, n_in_a_row: u32, now: UnixMs) {
        let n_over = n_in_a_row.checked_sub(IDLE_WAKES_FREE + 1);
        self.no_progress_until = n_over.map(|n| now.plus(doubled(IDLE_WAKES_FIRST, n)));
    }
}

/// A wake that lies ahead, because the clock went back, does not count.
fn is_within(at: UnixMs, now: UnixMs) -> bool {
    at <= now && now.since(at) < BUDGET_WINDOW
}

fn ahead(until: Option<UnixMs>, now: UnixMs) -> Option<UnixMs> {
    until.filter(|until| now < *until)
}

fn doubled(first: DurationMs, times: u32) -> DurationMs {
    let factor = 1_u64.checked_shl(times).unwrap_or(u64::MAX);
    DurationMs(first.0.saturating_mul(factor)).min(BREAKER_MAX)
}

/// Wake causes that a stop has silenced: until they were false once, or something newer arrives.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Mutes {
    /// Wake rules, by id.
    pub rules: BTreeMap<String, Mute>,
    /// Alarms, by name: firings made before.
    pub alarms: BTreeMap<String, Mute>,
    /// Messages up to this number.
    pub messages_through: u64,
}

/// When something was silenced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mute {
    /// The revision of the stop.
    pub rev: u64,
    /// Its moment.
    pub at: UnixMs,
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMs = UnixMs(1_800_000_000_000);

    #[test]
    fn the_breaker_opens_for_a_minute_and_doubles_to_an_hour() {
        let mut ledger = Ledger::default();
        let minutes: Vec<u64> = (0..8)
            .map(|_| {
                ledger.trip(NOW);
                ledger.breaker_until(NOW).map_or(0, |until| until.since(NOW).0 / 60_000)
            })
            .collect();
        assert_eq!(minutes, [1, 2, 4, 8, 16, 32, 60, 60]);
    }

    #[test]
    fn the_budget_counts_the_last_hour_and_forgets() {
        let mut ledger = Ledger::default();
        for minute in 0..200 {
            ledger.count_wake(NOW.plus(DurationMs::from_secs(minute * 60)));
            assert!(ledger.wakes.len() <= WAKES_REMEMBERED);
        }
        let now = NOW.plus(DurationMs::from_secs(199 * 60));
        assert_eq!(ledger.wakes_last_hour(NOW), 0, "the clock went back");
        assert!(ledger.wakes_last_hour(now) > 20);
        assert_eq!(ledger.wakes_last_hour(now.plus(BUDGET_WINDOW)), 0);
    }

    #[test]
    fn two_wakes_without_progress_are_free() {
        let mut ledger = Ledger::default();
        let wait = |ledger: &mut Ledger, n| {
            ledger.back_off(n, NOW);
            ledger.no_progress_until(NOW).map(|until| until.since(NOW).0 / 60_000)
        };
        assert_eq!(wait(&mut ledger, 2), None);
        assert_eq!(wait(&mut ledger, 3), Some(1));
        assert_eq!(wait(&mut ledger, 5), Some(4));
        assert_eq!(wait(&mut ledger, 99), Some(60));
    }
}
