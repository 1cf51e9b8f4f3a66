//! Counters.

use super::{Answer, Control};
use crate::meters::Metered;
use std::collections::BTreeMap;
use store::MachineFilter;

impl Control {
    /// What was counted since this process began.
    #[must_use]
    pub fn meters(&self) -> Metered {
        Metered { warm_vms: self.inner.warm.stats(), ..self.inner.meters.all() }
    }

    /// How many machines there are in each state, by the API's name.
    ///
    /// # Errors
    /// What the store said.
    pub fn machines_by_state(&self) -> Answer<BTreeMap<String, u64>> {
        let machines = self.inner.store.read(|r| r.machine_summaries(&MachineFilter::default()))?;
        let mut by_state = BTreeMap::new();
        for machine in machines {
            *by_state.entry(machine.state).or_default() += 1;
        }
        Ok(by_state)
    }
}
