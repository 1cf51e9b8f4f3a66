//! Where machines may speak to: the policies of the store and the rules of the router, kept the
//! same.
//!
//! The router's rules are built whole when control starts, from the records of all machines that
//! still can run ([`stored`]). From then on the plan of a create, an update or a destroy makes the
//! rules of its machine follow the record ([`EgressRules::settle`]) before the machine runs by it, or
//! after it has run for the last time ([`EgressRules::lift`]). A start changes no rule.
//!
//! What is in force is remembered, so that machines without a policy, which are most, never cost a
//! run of `nft`.

use crate::error::ControlError;
use model::spec::egress::EgressPolicy;
use model::{MachineId, State};
use net::{MachineAddrs, Router};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use store::{MachineFilter, MachineRecord, Reader, StoreError};

/// The policies that are in force in the router. At most one plan of a machine runs at a time, so
/// nobody else changes the rules of the same machine meanwhile.
#[derive(Debug)]
pub(crate) struct EgressRules {
    in_force: Mutex<HashMap<MachineId, EgressPolicy>>,
}

/// A machine with a policy.
pub(crate) type Governed = (MachineId, MachineAddrs, EgressPolicy);

/// The policies that must be in force before anything may start.
pub(crate) fn stored(reader: &Reader<'_>) -> Result<Vec<Governed>, StoreError> {
    let machines = reader.machines(&MachineFilter::default())?;
    Ok(machines.into_iter().filter_map(of).collect())
}

/// A machine's policy, when it has one and may still run; its addresses may soon be another's.
fn of(record: MachineRecord) -> Option<Governed> {
    let is_over = matches!(
        record.machine.state,
        State::Destroyed { .. } | State::Destroying { run: None, .. }
    );
    let addrs = addrs(&record);
    let policy = record.spec.egress.filter(|policy| !is_over && !policy.allows_everything())?;
    Some((record.id, addrs, policy))
}

fn addrs(record: &MachineRecord) -> MachineAddrs {
    MachineAddrs { v6: record.v6, v4: record.v4 }
}

impl EgressRules {
    /// What the router has been opened with.
    pub(crate) fn new(governed: Vec<Governed>) -> Self {
        let in_force = governed.into_iter().map(|(id, _, policy)| (id, policy)).collect();
        Self { in_force: Mutex::new(in_force) }
    }

    /// Makes the rules of the machine what its record says. Blocking; runs `nft` if that changes
    /// anything.
    ///
    /// # Errors
    /// The router's; then the rules are as before.
    pub(crate) fn settle(
        &self,
        router: &Router,
        record: &MachineRecord,
    ) -> Result<(), ControlError> {
        let wanted = record.spec.egress.as_ref().filter(|policy| !policy.allows_everything());
        let Some(policy) = wanted else { return self.lift(router, record) };
        if self.lock().get(&record.id) == Some(policy) {
            return Ok(());
        }
        router.set_egress(&addrs(record), policy)?;
        self.lock().insert(record.id.clone(), policy.clone());
        Ok(())
    }

    /// Leaves the machine without rules of its own. Blocking, as [`Self::settle`].
    ///
    /// # Errors
    /// The router's; then the rules are as before.
    pub(crate) fn lift(&self, router: &Router, record: &MachineRecord) -> Result<(), ControlError> {
        if !self.lock().contains_key(&record.id) {
            return Ok(());
        }
        router.remove_egress(&addrs(record))?;
        self.lock().remove(&record.id);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<MachineId, EgressPolicy>> {
        self.in_force.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
