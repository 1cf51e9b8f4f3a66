//! Waiting for a machine to change.

use model::MachineId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// Tells waiters that a machine has changed. A waiter subscribes first and looks second, so that no
/// change is missed. Only machines that somebody waits for take room.
#[derive(Debug, Default)]
pub(crate) struct Watchers {
    by_machine: Arc<Mutex<Senders>>,
}

type Senders = HashMap<MachineId, watch::Sender<u64>>;

/// Somebody who waits. The last one of a machine takes its entry away, whether the machine is still
/// there, is destroyed or has never been.
#[derive(Debug)]
pub(crate) struct Waiter {
    machine: MachineId,
    by_machine: Arc<Mutex<Senders>>,
    /// `None` only while it is dropped.
    changes: Option<watch::Receiver<u64>>,
}

impl Watchers {
    /// Somebody who sees every change of the machine from now on.
    pub(crate) fn subscribe(&self, machine: &MachineId) -> Waiter {
        let mut by_machine = lock(&self.by_machine);
        let sender = by_machine.entry(machine.clone()).or_default();
        self.waiter(machine, sender)
    }

    /// As [`Watchers::subscribe`], unless the machine has `most` waiters.
    pub(crate) fn subscribe_within(&self, machine: &MachineId, most: usize) -> Option<Waiter> {
        let mut by_machine = lock(&self.by_machine);
        let n_waiters = by_machine.get(machine).map_or(0, watch::Sender::receiver_count);
        (n_waiters < most).then(|| {
            let sender = by_machine.entry(machine.clone()).or_default();
            self.waiter(machine, sender)
        })
    }

    /// The machine has changed: its revision is now `revision`.
    pub(crate) fn notify(&self, machine: &MachineId, revision: u64) {
        if let Some(sender) = lock(&self.by_machine).get(machine) {
            sender.send_replace(revision);
        }
    }

    fn waiter(&self, machine: &MachineId, sender: &watch::Sender<u64>) -> Waiter {
        Waiter {
            machine: machine.clone(),
            by_machine: Arc::clone(&self.by_machine),
            changes: Some(sender.subscribe()),
        }
    }
}

impl Waiter {
    /// Waits for the next change.
    pub(crate) async fn changed(&mut self) {
        let changes = self.changes.as_mut().expect("it is not dropped yet");
        changes.changed().await.expect("the sender stays for as long as somebody waits");
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut by_machine = lock(&self.by_machine);
        self.changes = None;
        let is_last = |sender: &watch::Sender<u64>| sender.receiver_count() == 0;
        if by_machine.get(&self.machine).is_some_and(is_last) {
            by_machine.remove(&self.machine);
        }
    }
}

/// The table is whole after each change, so a panic elsewhere does not spoil it.
fn lock(by_machine: &Mutex<Senders>) -> MutexGuard<'_, Senders> {
    by_machine.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn n_entries(watchers: &Watchers) -> usize {
        lock(&watchers.by_machine).len()
    }

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

    #[test]
    fn the_last_waiter_takes_the_entry_away_also_of_a_machine_that_is_gone() {
        let (watchers, machine) = (Watchers::default(), MachineId::from_random([1; 7]));
        watchers.notify(&machine, 1);
        assert_eq!(n_entries(&watchers), 0, "nobody waits");
        assert!(watchers.subscribe_within(&machine, 0).is_none());
        assert_eq!(n_entries(&watchers), 0, "nobody was let in");
        let (first, second) = (watchers.subscribe(&machine), watchers.subscribe(&machine));
        drop(first);
        assert_eq!(n_entries(&watchers), 1);
        drop(second);
        assert_eq!(n_entries(&watchers), 0, "no later change has to come for that");
    }

    #[tokio::test]
    async fn those_who_stay_see_what_comes_after_others_have_left() {
        let (watchers, machine) = (Watchers::default(), MachineId::from_random([1; 7]));
        let (left, mut stayed) = (watchers.subscribe(&machine), watchers.subscribe(&machine));
        drop(left);
        watchers.notify(&machine, 1);
        let seen = tokio::time::timeout(Duration::ZERO, stayed.changed()).await;
        assert!(seen.is_ok());
        let more = tokio::time::timeout(Duration::ZERO, stayed.changed()).await;
        assert!(more.is_err(), "each change is seen once");
    }
}
