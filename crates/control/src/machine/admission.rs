//! What a request must pass before it becomes an event: the gates, room on the host, a place on the network.

use super::place::Place;
use super::task::Task;
use crate::error::ControlError;
use crate::facade::StopOverride;
use crate::inner::new_run_id;
use crate::orders;
use model::admit::LeaseHeld;
use model::admit::calls::Call;
use model::cause::CauseClass;
use model::event::StopOrder;
use model::spec::GuestSize;
use model::{
    Admission, Cause, Event, GateFacts, PerMille, Refused, RunSeed, State, UnixMs, Want, admit,
    admit_call, step,
};
use std::time::Instant;

impl Task {
    /// Whether there is something to do for this wish; an error when a gate says no.
    pub(super) fn admit(
        &mut self,
        want: Want,
        cause: &Cause,
        now: UnixMs,
    ) -> Result<bool, ControlError> {
        let governance = match cause.class(want) {
            CauseClass::ApiStart | CauseClass::Knock | CauseClass::Governed | CauseClass::Rest => {
                self.governance(cause, now)
            }
            CauseClass::ApiRest | CauseClass::Restart | CauseClass::Plan | CauseClass::Safety => {
                GateFacts::default()
            }
        };
        is_go(self.admission(want, cause, governance, now))
    }

    /// What becomes of a wish, when governance says this to the gates.
    pub(super) fn admission(
        &mut self,
        want: Want,
        cause: &Cause,
        governance: GateFacts,
        now: UnixMs,
    ) -> Admission {
        let facts = self.facts(want, cause, governance, now);
        admit(&self.record.machine, &facts, want, cause, now)
    }

    /// As [`Task::admit`], for calls that are more than up and down.
    pub(super) fn allow(
        &self,
        call: Call,
        cause: &Cause,
        now: UnixMs,
    ) -> Result<bool, ControlError> {
        let facts = GateFacts { lease: self.foreign_lease(cause, now), ..GateFacts::default() };
        is_go(admit_call(&self.record.machine, &facts, call, cause, now))
    }

    /// What the gates look at. Reserves room when the machine may go up.
    fn facts(
        &mut self,
        want: Want,
        cause: &Cause,
        governance: GateFacts,
        now: UnixMs,
    ) -> GateFacts {
        let no_capacity = if want == Want::Up && self.reservation.is_none() {
            match self.inner.capacity.reserve(self.record.spec.guest) {
                Ok(reservation) => {
                    self.reservation = Some(reservation);
                    None
                }
                Err(why) => Some(why),
            }
        } else {
            None
        };
        GateFacts {
            lease: self.foreign_lease(cause, now),
            disk_pressure: self.disk_pressure(),
            no_capacity,
            autostart_off: self.is_autostart_off(cause),
            can_freeze: true,
            can_suspend: self.record.spec.engine.can_suspend(),
            ..governance
        }
    }

    /// Whether the visitor is for a service that is not started by visitors.
    fn is_autostart_off(&self, cause: &Cause) -> bool {
        let Cause::Knock { internal_port: Some(port), .. } = cause else { return false };
        let mut services = self.record.spec.services.iter();
        !services.any(|service| service.internal_port == *port && service.is_autostart)
    }

    /// How little room there is, asked only for a machine that was frozen for want of it.
    fn disk_pressure(&self) -> Option<PerMille> {
        self.state().is_pressed().then(|| self.inner.disk_pressure()).flatten()
    }

    /// As [`Task::allow`], for a restart: from rest it takes room, as a start does.
    pub(super) fn allow_restart(&mut self, cause: &Cause, now: UnixMs) -> Result<(), ControlError> {
        let facts = if self.state().is_down() {
            let governance = self.governance(cause, now);
            self.facts(Want::Up, cause, governance, now)
        } else {
            GateFacts { lease: self.foreign_lease(cause, now), ..GateFacts::default() }
        };
        is_go(admit_call(&self.record.machine, &facts, Call::Restart, cause, now)).map(drop)
    }

    /// Promises room for a version of this size if it is to run after `event`; what has been
    /// promised already counts toward it.
    pub(super) fn reserve_for(
        &mut self,
        event: &Event,
        size: GuestSize,
        now: UnixMs,
    ) -> Result<(), ControlError> {
        let next = step(&self.record.machine, event, now).map_err(ControlError::Refused)?;
        if !next.machine.state.leads_up() {
            return Ok(());
        }
        let reserved = match &mut self.reservation {
            Some(held) => held.resize(size),
            None => self.inner.capacity.reserve(size).map(|new| self.reservation = Some(new)),
        };
        reserved.map_err(|why| ControlError::Refused(Refused::Capacity(why)))
    }

    /// Keeps what is promised in step with the machine: nothing to one that is down and stays down,
    /// else what its version asks for.
    pub(super) fn settle_reservation(&mut self) {
        let holds_nothing = self.state().run().is_none() || self.state().is_down();
        if holds_nothing && !self.state().leads_up() {
            self.reservation = None;
        } else if let Some(held) = &mut self.reservation {
            held.settle(self.record.spec.guest);
        }
    }

    /// The lease that stops who asks: not its holder, and not the owner who insists.
    fn foreign_lease(&self, cause: &Cause, now: UnixMs) -> Option<LeaseHeld> {
        if matches!(cause, Cause::Api { overrides_deny: true, .. }) {
            return None;
        }
        let lease = self.record.lease.as_ref().filter(|lease| lease.expires_at > now)?;
        (!cause.proves(&lease.nonce))
            .then(|| LeaseHeld { owner: lease.owner.clone(), expires_at: lease.expires_at })
    }

    /// Chance and facts for a run; takes a place when a run may begin.
    pub(super) fn seed(&mut self, may_begin: bool) -> Result<RunSeed, ControlError> {
        if may_begin && self.place.is_none() {
            let began = Instant::now();
            let is_resume = matches!(self.state(), State::Suspended { .. });
            self.place = Place::take(&self.inner, &self.record.spec, is_resume)?;
            self.timings.add_net(began);
        }
        Ok(RunSeed {
            run: new_run_id(model::clock::now()),
            slot: self.place.as_ref().map(Place::id),
            boot: self.inner.config.boot.clone(),
        })
    }

    pub(super) fn stop_order(&self, stop: StopOverride) -> StopOrder {
        StopOrder {
            signal: stop.signal.unwrap_or_else(|| orders::stop_signal(&self.record)),
            timeout: stop.timeout.unwrap_or(self.record.spec.stop.timeout),
        }
    }
}

/// Whether there is something to do.
fn is_go(admission: Admission) -> Result<bool, ControlError> {
    match admission {
        Admission::Go => Ok(true),
        Admission::Already => Ok(false),
        Admission::Refused(refused) => Err(ControlError::Refused(refused)),
        Admission::Owed { gate, not_before } => Err(ControlError::Refused(Refused::KeptAwake {
            gate,
            by: None,
            not_before: Some(not_before),
        })),
    }
}
