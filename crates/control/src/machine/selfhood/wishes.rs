//! What an evaluation wishes for, on its way through the one door.

use super::steps::wakes_at_once;
use crate::error::ControlError;
use crate::facade::StopOverride;
use crate::governor::RestPermit;
use crate::machine::commit::Along;
use crate::machine::task::{SLOT_RETRY, Task};
use govern::limits::VETOES_MAX;
use govern::{Stance, Verdict};
use model::admit::calls::Call;
use model::admit::gates::owed_until;
use model::cause::CauseClass;
use model::state::Rest;
use model::{Admission, Cause, Depth, DurationMs, Event, GateFacts, Refused, State, UnixMs, Want};
use std::time::Instant;

/// Wait before a sleeper whose RAM finds no room on the disk is looked at again.
const ROOM_RETRY: DurationMs = DurationMs::from_secs(60);

impl Task {
    pub(super) async fn store_along(&mut self, along: Along) -> Result<(), ControlError> {
        match along.sheet {
            Some(sheet) => self.store_sheet(sheet).await,
            None => Ok(()),
        }
    }

    /// Brings a wake to the gates.
    pub(super) async fn wake(
        &mut self,
        cause: &Cause,
        gates: &GateFacts,
        along: Along,
        now: UnixMs,
    ) -> Result<Option<UnixMs>, ControlError> {
        let began = Instant::now();
        if !self.has_turn() {
            self.store_along(along).await?;
            return Ok(None);
        }
        let event = match self.admission(Want::Up, cause, gates.clone(), now) {
            Admission::Go if self.is_disk_full() => {
                Some(Event::Owe { cause: cause.clone(), not_before: owed_until(None, now) })
            }
            Admission::Go => match self.seed(true) {
                Ok(seed) => {
                    self.timings.begin(began);
                    let stop = self.stop_order(StopOverride::default());
                    Some(Event::Want { want: Want::Up, cause: cause.clone(), seed, stop })
                }
                Err(error) => {
                    tracing::warn!(machine = %self.id, %error, "a wake has no slot");
                    self.turn = None;
                    self.store_along(along).await?;
                    return Ok(Some(now.plus(SLOT_RETRY)));
                }
            },
            Admission::Owed { not_before, .. } => {
                Some(Event::Owe { cause: cause.clone(), not_before })
            }
            Admission::Already | Admission::Refused(_) => None,
        };
        let is_wake = matches!(event, Some(Event::Want { .. }));
        let stored = match event {
            Some(event) => self.apply_with(event, along).await,
            None => self.store_along(along).await,
        };
        if !is_wake || stored.is_err() {
            self.turn = None;
        }
        stored.map(|()| None)
    }

    /// Whether it may begin to wake. What only notes that it is to come up later needs no turn.
    fn has_turn(&mut self) -> bool {
        if !wakes_at_once(self.state()) {
            self.inner.governor.no_turn(&self.id);
            return true;
        }
        if self.turn.is_none() {
            self.turn = self.inner.governor.turn(&self.id, &self.record.app);
        }
        self.turn.is_some()
    }

    /// Brings a rest to the gates; a machine that listens is told first.
    pub(super) async fn rest(
        &mut self,
        (want, depth, cause): (Want, Depth, &Cause),
        gates: &GateFacts,
        along: Along,
        now: UnixMs,
    ) -> Result<Option<UnixMs>, ControlError> {
        let is_own_word = matches!(cause, Cause::Guest);
        match self.admission(want, cause, gates.clone(), now) {
            // It is not woken for being put off.
            Admission::Go if self.is_asleep() && self.lacks_room_for(want).is_some() => {
                self.store_along(along).await?;
                Ok(Some(now.plus(ROOM_RETRY)))
            }
            Admission::Go if !self.is_left(cause, now).await => {
                self.store_along(along).await?;
                Ok(None)
            }
            Admission::Go => {
                let along = Along { is_own_word, ..along };
                let event = self.rest_event(want, depth, cause)?;
                self.apply_with(event, along).await?;
                Ok(None)
            }
            Admission::Refused(refused) => {
                self.store_along(along).await?;
                Ok(opens_at(&refused).filter(|at| now < *at))
            }
            Admission::Already | Admission::Owed { .. } => {
                self.store_along(along).await?;
                Ok(None)
            }
        }
    }

    /// Leave of its app to rest, which is held until the rest is stored.
    pub(super) fn rest_permit(&self) -> Option<RestPermit> {
        let min = self.min_running();
        self.inner.governor.rest_permit(&self.record.app, min, &self.id)
    }

    fn rest_event(
        &mut self,
        want: Want,
        depth: Depth,
        cause: &Cause,
    ) -> Result<Event, ControlError> {
        let (cause, order) = (cause.clone(), self.stop_order(StopOverride::default()));
        let vetoes = self.own()?.selfhood.ledger.vetoes;
        // A machine that has objected as often as it may is not asked again.
        let is_told = cause.class(want) == CauseClass::Rest
            && matches!(self.state(), State::Started { .. })
            && vetoes < VETOES_MAX
            && self.notices.is_open();
        if is_told {
            return Ok(Event::Notice { rest: Rest { depth, cause, order }, vetoes });
        }
        Ok(Event::Want { want, cause, seed: self.seed(false)?, stop: order })
    }

    /// A rule says that the machine is to go, and it is down.
    pub(super) fn may_retire(&self, verdict: &Verdict, now: UnixMs) -> bool {
        let Some(rule) = &verdict.retire else { return false };
        let is_down = matches!(self.state(), State::Stopped { .. } | State::Failed { .. });
        let cause = Cause::Rule { rule: rule.clone() };
        is_down && self.allow(Call::Destroy, &cause, now).unwrap_or(false)
    }

    /// A wake is owed for which there is no reason any more.
    pub(super) fn is_owed_in_vain(&self, verdict: &Verdict) -> bool {
        let is_wanted = matches!(verdict.stance, Stance::Up { .. } | Stance::Owed { .. });
        self.record.machine.owed.is_some() && !is_wanted
    }

    /// Machines of its app that stay up. Source: machines-api 2.5, `min_machines_running`.
    pub(super) fn min_running(&self) -> u32 {
        let services = self.record.config["services"].as_array();
        let wanted = services.into_iter().flatten();
        let wanted = wanted.filter_map(|service| service["min_machines_running"].as_u64());
        u32::try_from(wanted.max().unwrap_or(0)).unwrap_or(u32::MAX)
    }
}

/// When somebody else's gate opens.
fn opens_at(refused: &Refused) -> Option<UnixMs> {
    match refused {
        Refused::Lease(lease) => Some(lease.expires_at),
        Refused::KeptAwake { not_before, .. } => *not_before,
        Refused::Capacity(_)
        | Refused::DiskPressure { .. }
        | Refused::HeldDown { .. }
        | Refused::Denied { .. }
        | Refused::AutostartOff
        | Refused::State { .. }
        | Refused::Unsupported { .. }
        | Refused::StaleRun => None,
    }
}
