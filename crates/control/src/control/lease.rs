//! Leases: an exclusive right to write to one machine, for a while.

use super::{Answer, Control};
use crate::error::ControlError;
use crate::facade::LeaseWish;
use crate::inner::chance;
use crate::machine::Command;
use model::admit::LeaseHeld;
use model::{Cause, MachineId, Refused, hex_of};
use store::{LeaseRecord, MachineRecord, StoreError};

impl Control {
    /// Takes a lease, or extends it when the wish carries its nonce.
    ///
    /// # Errors
    /// [`ControlError::Refused`] when somebody else holds it.
    pub async fn take_lease(&self, id: &MachineId, wish: LeaseWish) -> Answer<LeaseRecord> {
        let record = self.machine(None, id)?;
        let now = model::clock::now();
        let fresh = LeaseRecord {
            nonce: hex_of(&chance::<6>()),
            owner: wish.owner,
            description: wish.description,
            expires_at: now.plus(wish.ttl),
            version: record.version,
        };
        let (machine, nonce) = (id.clone(), wish.nonce);
        let taken = self
            .inner
            .store
            .write("lease.take", move |tx| {
                let record = tx.machine(&machine)?.ok_or_else(|| StoreError::NotFound {
                    kind: "machine",
                    key: machine.to_string(),
                })?;
                let lease = match live_lease(&record) {
                    Some(held) if nonce.as_ref() != Some(&held.nonce) => {
                        return Ok(Err(held.clone()));
                    }
                    Some(held) => LeaseRecord { nonce: held.nonce.clone(), ..fresh },
                    None => fresh,
                };
                tx.put_lease(&machine, Some(&lease))?;
                Ok(Ok(lease))
            })
            .await?;
        self.inner.tell(id, Command::Reread)?;
        taken.map_err(|held| refused(&held))
    }

    /// The live lease of a machine.
    ///
    /// # Errors
    /// [`ControlError::NotFound`] when there is none.
    pub fn lease(&self, id: &MachineId) -> Answer<LeaseRecord> {
        live_lease(&self.machine(None, id)?)
            .cloned()
            .ok_or(ControlError::NotFound { what: "lease" })
    }

    /// Gives a lease back.
    ///
    /// # Errors
    /// [`ControlError::NotFound`] when there is none, [`ControlError::Refused`] when the nonce is
    /// another's.
    pub async fn release_lease(&self, id: &MachineId, nonce: &str) -> Answer<()> {
        let (machine, nonce) = (id.clone(), nonce.to_owned());
        let released = self
            .inner
            .store
            .write("lease.release", move |tx| {
                let record = tx.machine(&machine)?;
                match record.as_ref().and_then(live_lease) {
                    None => Ok(Err(None)),
                    Some(held) if held.nonce != nonce => Ok(Err(Some(held.clone()))),
                    Some(_) => tx.put_lease(&machine, None).map(Ok),
                }
            })
            .await?;
        self.inner.tell(id, Command::Reread)?;
        released.map_err(|held| match held {
            None => ControlError::NotFound { what: "lease" },
            Some(held) => refused(&held),
        })
    }

    /// Refuses a call by anybody but the lease's holder.
    ///
    /// # Errors
    /// [`ControlError::Refused`], [`ControlError::NotFound`].
    pub fn expect_lease(&self, id: &MachineId, cause: &Cause) -> Answer<()> {
        expect(&self.machine(None, id)?, cause)
    }
}

/// Refuses a write by anybody but the holder of the machine's lease, if it has one.
pub(super) fn expect(record: &MachineRecord, cause: &Cause) -> Answer<()> {
    match live_lease(record) {
        Some(held) if !cause.proves(&held.nonce) => Err(refused(held)),
        Some(_) | None => Ok(()),
    }
}

fn live_lease(record: &MachineRecord) -> Option<&LeaseRecord> {
    record.lease.as_ref().filter(|lease| lease.expires_at > model::clock::now())
}

fn refused(held: &LeaseRecord) -> ControlError {
    ControlError::Refused(Refused::Lease(LeaseHeld {
        owner: held.owner.clone(),
        expires_at: held.expires_at,
    }))
}
