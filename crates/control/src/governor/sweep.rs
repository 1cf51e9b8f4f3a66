//! Every governed machine is looked at once: when control starts, and when the wall clock jumps.

use super::Governor;
use super::clock::{Drift, JumpWatch};
use super::ready::Lane;
use crate::inner::STORE_RETRY;
use model::UnixMs;
use store::SelfhoodTimer;

/// A wall clock that is corrected by less than this, in milliseconds, has not jumped: rules count in
/// seconds, and the wheel measures its wait anew in any case.
const JUMP_MIN_MS: u64 = 500;

impl Governor {
    /// Sweeps at start and after each jump of the wall clock, for as long as control lives.
    pub(super) async fn sweep_for_ever(&self) {
        let watch = JumpWatch::new();
        let mut drift = Drift::from(&self.clock);
        self.sweep().await;
        let watch = match watch {
            Ok(watch) => watch,
            Err(error) => {
                tracing::warn!(%error, "jumps of the wall clock are not noticed");
                return;
            }
        };
        loop {
            if let Err(error) = watch.jumped().await {
                tracing::warn!(%error, "jumps of the wall clock are not noticed any more");
                return;
            }
            let by_ms = drift.take(&self.clock);
            self.wheel.measure_anew();
            if by_ms >= JUMP_MIN_MS {
                tracing::warn!(by_ms, "the wall clock jumped: all governed machines are evaluated");
                self.clock_jumped().await;
            }
        }
    }

    /// What was measured against the old time is measured anew.
    async fn clock_jumped(&self) {
        self.beats.clock_jumped(self.clock.now());
        self.signals.clock_jumped();
        self.excess.clock_jumped(self.clock.now());
        self.sweep().await;
    }

    /// Fills the wheel, and has every governed machine evaluated, overdue ones first. From a self that
    /// is not governed nothing follows at any time, so its machine is not even looked at.
    pub(super) async fn sweep(&self) {
        let mut timers = loop {
            match self.store.read(|reader| reader.selfhood_timers()) {
                Ok(timers) => break timers,
                Err(error) => {
                    tracing::error!(%error, "who is governed cannot be read; trying again");
                    tokio::time::sleep(STORE_RETRY).await;
                }
            }
        };
        let moment = |timer: &SelfhoodTimer| Some((timer.machine.clone(), timer.next_at?));
        self.wheel.fill(timers.iter().filter_map(moment));
        timers.sort_by_key(|timer| timer.next_at.unwrap_or(UnixMs(u64::MAX)));
        self.ready.push_all(timers.into_iter().map(|timer| timer.machine), Lane::Sweep);
    }
}
