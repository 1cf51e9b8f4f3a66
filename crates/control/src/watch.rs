//! Waiting for a machine to change.

use model::MachineId;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use tokio::sync::watch;

/// Tells waiters that a machine has changed. A waiter subscribes first and looks second, so that no
/// change is missed.
#[derive(Debug, Default)]
pub(crate) struct Watchers {
    by_machine: Mutex<HashMap<MachineId, watch::Sender<u64>>>,
}

impl Watchers {
    /// A receiver that changes with every change of the machine from now on.
    pub(crate) fn subscribe(&self, machine: &MachineId) -> watch::Receiver<u64> {
        let mut by_machine = self.by_machine.lock().unwrap_or_else(PoisonError::into_inner);
        by_machine.entry(machine.clone()).or_insert_with(|| watch::channel(0).0).subscribe()
    }

    /// As [`Watchers::subscribe`], unless the machine has `most` receivers.
    pub(crate) fn subscribe_within(
        &self,
        machine: &MachineId,
        most: usize,
    ) -> Option<watch::Receiver<u64>> {
        let mut by_machine = self.by_machine.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = by_machine.entry(machine.clone()).or_insert_with(|| watch::channel(0).0);
        (sender.receiver_count() < most).then(|| sender.subscribe())
    }

    /// The machine has changed: its revision is now `revision`.
    pub(crate) fn notify(&self, machine: &MachineId, revision: u64) {
        let mut by_machine = self.by_machine.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = by_machine.get(machine) {
            if sender.receiver_count() == 0 {
                by_machine.remove(machine);
            } else {
                sender.send_replace(revision);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiters_beyond_the_bound_get_nothing_until_one_leaves() {
        let (watchers, machine) = (Watchers::default(), MachineId::from_random([1; 7]));
        let first = watchers.subscribe_within(&machine, 2);
        let second = watchers.subscribe_within(&machine, 2);
        assert!(first.is_some() && second.is_some());
        assert!(watchers.subscribe_within(&machine, 2).is_none());
        assert!(watchers.subscribe_within(&machine, 3).is_some());
        drop(first);
        assert!(watchers.subscribe_within(&machine, 2).is_some());
    }
}
