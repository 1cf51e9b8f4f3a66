//! What the host sees of a machine besides its record, at one moment.

use super::{Own, autostop};
use crate::error::ControlError;
use crate::governor::{Governor, Measured, PeersNow, Reads};
use govern::View;
use govern::view::Autostop;
use model::admit::LeaseHeld;
use model::spec::deepen::Deepen;
use model::{Machine, UnixMs};
use store::MachineRecord;

/// What the host sees of a machine, as far as its rules read it.
#[derive(Debug)]
pub(crate) struct Sight {
    measured: Measured,
    peers: PeersNow,
    started_at: Option<UnixMs>,
    rested_at: Option<UnixMs>,
    lease: Option<LeaseHeld>,
    autostop: Option<Autostop>,
    deepen: Option<Deepen>,
    can_suspend: bool,
    /// Its app needs it.
    pub(crate) no_rest_permit: bool,
}

impl Sight {
    /// Looks.
    ///
    /// # Errors
    /// What the store said.
    pub(crate) fn of(
        governor: &Governor,
        record: &MachineRecord,
        own: &Own,
    ) -> Result<Self, ControlError> {
        Self::with(governor, record, own, &Reads::of(&own.policy, &own.selfhood))
    }

    /// As [`Sight::of`], for a record and policy that read this.
    ///
    /// # Errors
    /// What the store said.
    pub(crate) fn with(
        governor: &Governor,
        record: &MachineRecord,
        own: &Own,
        reads: &Reads,
    ) -> Result<Self, ControlError> {
        Ok(Self {
            measured: governor.signals(&record.id, &record.app, reads)?,
            peers: governor.peers(&record.app, reads)?,
            started_at: own.selfhood.usage.up_since,
            rested_at: own.selfhood.ledger.rested_at,
            lease: record.lease.as_ref().map(|lease| LeaseHeld {
                owner: lease.owner.clone(),
                expires_at: lease.expires_at,
            }),
            autostop: autostop::of(
                record,
                governor.gone_at(&record.id),
                governor.surplus_since(&record.id),
            ),
            deepen: record.spec.deepen,
            can_suspend: record.spec.engine.can_suspend(),
            no_rest_permit: false,
        })
    }

    /// Requests and connections at the proxy, if anybody counts them.
    pub(crate) fn visitors(&self) -> (Option<u32>, Option<u32>) {
        (self.measured.inflight, self.measured.conns_in)
    }

    /// The view of the machine in this state.
    pub(crate) fn view<'a>(&'a self, machine: &'a Machine) -> View<'a> {
        let view = View {
            started_at: self.started_at,
            rested_at: self.rested_at,
            lease: self.lease.as_ref(),
            no_rest_permit: self.no_rest_permit,
            can_freeze: true,
            can_suspend: self.can_suspend,
            peers: &self.peers,
            autostop: self.autostop,
            deepen: self.deepen,
            ..View::of(machine)
        };
        self.measured.fill(view)
    }
}
