//! The restart policy and its back-off.

use crate::event::Exit;
use crate::spec::{RestartMode, RestartPolicy};
use crate::units::{DurationMs, UnixMs};
use serde::{Deserialize, Serialize};

/// Length of the window in which `on-failure` counts its retries. Source: machines-api 3.6.
pub const RETRY_WINDOW: DurationMs = DurationMs::from_secs(300);

/// Wait before the first restart; each further one waits twice as long. Source: machines-api 3.6.
pub const BACKOFF_FIRST: DurationMs = DurationMs::from_secs(1);

/// Longest wait before a restart. Source: machines-api 3.6.
pub const BACKOFF_MAX: DurationMs = DurationMs::from_secs(30);

/// A run at least this long starts the back-off at its beginning again: as long as the retry
/// window, so that a program never outlives its back-off and yet runs out of retries.
pub const BACKOFF_RESET: DurationMs = RETRY_WINDOW;

/// How often a start that failed for a passing reason is tried again.
///
/// Five tries take 31 s with the back-off: longer than a busy host needs to settle, shorter than a
/// person waits before asking.
pub const START_RETRIES_MAX: u32 = 5;

/// Restarts by policy so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestartLog {
    /// Start of the window in which retries are counted.
    pub window_start: UnixMs,
    /// Restarts within the window.
    pub in_window: u32,
    /// Restarts since the last start by anybody else.
    pub total: u32,
    /// Restarts since a run lasted [`BACKOFF_RESET`]: decides how long the next one waits.
    #[serde(default)]
    pub streak: u32,
    /// Starts in a row that failed for a passing reason.
    #[serde(default)]
    pub failed_starts: u32,
}

impl RestartLog {
    /// Whether, and when, `policy` starts the machine again after `exit`; the log with that
    /// restart counted.
    ///
    /// A stop that was asked for is never followed by a restart.
    #[must_use]
    pub fn after_exit(
        &self,
        policy: RestartPolicy,
        exit: &Exit,
        now: UnixMs,
    ) -> Option<(Self, UnixMs)> {
        let log = Self { failed_starts: 0, ..self.at(now, exit) };
        let wants_restart = match policy.mode {
            RestartMode::No => false,
            RestartMode::OnFailure => exit.is_failure() && log.in_window < policy.max_retries,
            RestartMode::Always => true,
        };
        (wants_restart && !exit.requested_stop).then(|| log.count(now))
    }

    /// Whether, and when, a start that failed for a passing reason is tried again.
    #[must_use]
    pub fn after_failed_start(&self, now: UnixMs) -> Option<(Self, UnixMs)> {
        let log = self.at(now, &Exit::unseen(None, now));
        let failed_starts = log.failed_starts.saturating_add(1);
        (failed_starts <= START_RETRIES_MAX).then(|| Self { failed_starts, ..log }.count(now))
    }

    /// The log as it stands at `now`: with a fresh window where the old one is over (or lies in the
    /// future, because the clock went back), and without the streak that a long run has ended.
    fn at(&self, now: UnixMs, exit: &Exit) -> Self {
        let mut log = self.clone();
        if now < log.window_start || now.since(log.window_start) >= RETRY_WINDOW {
            log.window_start = now;
            log.in_window = 0;
        }
        if exit.started_at.is_some_and(|started| exit.exited_at.since(started) >= BACKOFF_RESET) {
            log.streak = 0;
        }
        log
    }

    fn count(mut self, now: UnixMs) -> (Self, UnixMs) {
        let until = now.plus(backoff(self.streak));
        self.in_window = self.in_window.saturating_add(1);
        self.total = self.total.saturating_add(1);
        self.streak = self.streak.saturating_add(1);
        (self, until)
    }
}

/// The wait before restart number `streak` (from 0) in a row.
#[must_use]
pub fn backoff(streak: u32) -> DurationMs {
    let factor = 1_u64.checked_shl(streak).unwrap_or(u64::MAX);
    DurationMs(BACKOFF_FIRST.0.saturating_mul(factor)).min(BACKOFF_MAX)
}

#[cfg(test)]
mod tests;
