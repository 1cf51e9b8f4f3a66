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
