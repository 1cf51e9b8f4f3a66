//! Who reads whom: the machines that must be evaluated because another one has changed.
//!
//! Only machines whose rules read others stand here. A peer is meant by id or by name: an id of the
//! same network, a name of the same app, or a name that exactly one machine of the network has.

use super::reads::Reads;
use model::{AppName, MachineId};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Finds machines; the store, but for tests.
pub(super) trait Directory {
    /// The machine that `name` means to machines of `app`.
    fn find(&self, app: &AppName, name: &str) -> Option<MachineId>;
    /// Whether machines of both apps see each other.
    fn is_one_network(&self, app: &AppName, other: &AppName) -> bool;
}

/// How a machine stands, as far as others may read it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing<'a> {
    pub(super) id: &'a MachineId,
    pub(super) app: &'a AppName,
    pub(super) name: &'a str,
    /// Its state, as the API names it.
    pub(super) state: &'static str,
}

/// Who reads whom.
#[derive(Debug, Default)]
pub(super) struct Readers {
    index: Mutex<Index>,
}

#[derive(Debug, Default)]
struct Index {
    readers: HashMap<MachineId, Reader>,
    /// Readers of each machine's facts and state.
    of: HashMap<MachineId, HashSet<MachineId>>,
    /// Readers that use each name, whatever it means.
    by_name: HashMap<String, HashSet<MachineId>>,
    /// Readers of how many machines of an app are up.
    of_app: HashMap<AppName, HashSet<MachineId>>,
    /// The last state heard of machines that are read, or whose app is.
    states: HashMap<MachineId, &'static str>,
}

#[derive(Debug)]
struct Reader {
    app: AppName,
    reads: Reads,
    /// What the names mean now.
    meant: HashMap<String, Option<MachineId>>,
}

impl Readers {
    /// From now on the machine reads this, and nothing else.
    pub(super) fn set(
        &self,
        id: &MachineId,
        app: &AppName,
        reads: &Reads,
        directory: &dyn Directory,
    ) {
        let mut index = self.lock();
        if index.readers.get(id).is_some_and(|known| known.reads == *reads && known.app == *app) {
            return;
        }
        index.remove_reader(id);
        if !reads.is_of_others() {
            return;
        }
        let meant = reads.peers.iter().map(|name| (name.clone(), directory.find(app, name)));
        let reader = Reader { app: app.clone(), reads: reads.clone(), meant: meant.collect() };
        index.add_reader(id, reader);
    }

    /// Those that read the facts or the state of this machine.
    pub(super) fn of(&self, id: &MachineId) -> Vec<MachineId> {
        let index = self.lock();
        index.of.get(id).into_iter().flatten().cloned().collect()
    }

    /// Those that count the seconds since this machine's last beat.
    pub(super) fn of_beats(&self, id: &MachineId) -> Vec<MachineId> {
        let index = self.lock();
        let counts = |reader: &&MachineId| {
            index.readers.get(*reader).is_some_and(|reader| {
                let meant =
                    |name: &String| reader.meant.get(name).is_some_and(|m| m.as_ref() == Some(id));
                reader.reads.ages.iter().any(meant)
            })
        };
        index.of.get(id).into_iter().flatten().filter(counts).cloned().collect()
    }

    /// Hears how a machine stands; gives those that must be evaluated because of that. A machine that
    /// is new, has another name or is gone changes what names mean.
    pub(super) fn heard(
        &self,
        machine: Standing<'_>,
        directory: &dyn Directory,
    ) -> BTreeSet<MachineId> {
        let mut index = self.lock();
        if index.readers.is_empty() {
            return BTreeSet::new();
        }
        let mut told = BTreeSet::new();
        if index.has_new_state(machine) {
            told.extend(index.of.get(machine.id).into_iter().flatten().cloned());
            told.extend(index.of_app.get(machine.app).into_iter().flatten().cloned());
        }
        told.extend(index.resolve_again(machine, directory));
        told.remove(machine.id);
        told
    }

    pub(super) fn forget(&self, id: &MachineId) {
        let mut index = self.lock();
        index.remove_reader(id);
        index.states.remove(id);
    }

    fn lock(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Index {
    fn add_reader(&mut self, id: &MachineId, reader: Reader) {
        for target in reader.meant.values().flatten() {
            self.of.entry(target.clone()).or_default().insert(id.clone());
        }
        for name in reader.meant.keys() {
            self.by_name.entry(name.clone()).or_default().insert(id.clone());
        }
        if reader.reads.app_running {
            self.of_app.entry(reader.app.clone()).or_default().insert(id.clone());
        }
        self.readers.insert(id.clone(), reader);
    }

    fn remove_reader(&mut self, id: &MachineId) {
        let Some(reader) = self.readers.remove(id) else { return };
        for (name, target) in reader.meant {
            leave(&mut self.by_name, &name, id);
            if let Some(target) = target {
                leave(&mut self.of, &target, id);
            }
        }
        if reader.reads.app_running {
            leave(&mut self.of_app, &reader.app, id);
        }
    }

    /// Whether the state is another one than the last time; kept only for machines that are read.
    fn has_new_state(&mut self, machine: Standing<'_>) -> bool {
        if !self.of.contains_key(machine.id) && !self.of_app.contains_key(machine.app) {
            self.states.remove(machine.id);
            return false;
        }
        self.states.insert(machine.id.clone(), machine.state) != Some(machine.state)
    }

    /// Looks up again what this machine may have changed the meaning of; gives the readers for whom
    /// it has.
    fn resolve_again(
        &mut self,
        machine: Standing<'_>,
        directory: &dyn Directory,
    ) -> Vec<MachineId> {
        let is_gone = machine.state == "destroyed";
        let is_stale = |name: &str, meant: &Option<MachineId>| {
            let is_meant = meant.as_ref() == Some(machine.id);
            let could_be_meant = name == machine.name || name == machine.id.as_str();
            is_meant != (could_be_meant && !is_gone)
        };
        let of_name = |name| self.by_name.get(name).into_iter().flatten();
        let concerned: HashSet<&MachineId> = of_name(machine.name)
            .chain(of_name(machine.id.as_str()))
            .chain(self.of.get(machine.id).into_iter().flatten())
            .collect();
        let mut changes = Vec::new();
        for id in concerned {
            let Some(reader) = self.readers.get(id) else { continue };
            let stale = reader.meant.iter().filter(|(name, meant)| is_stale(name, meant));
            let mut stale = stale.map(|(name, _)| name).peekable();
            if stale.peek().is_none() || !directory.is_one_network(&reader.app, machine.app) {
                continue;
            }
            for name in stale {
                let found = directory.find(&reader.app, name);
                changes.push((id.clone(), name.clone(), found));
            }
        }
        changes.retain(|(id, name, found)| self.mean(id, name, found.as_ref()));
        changes.into_iter().map(|(id, _, _)| id).collect()
    }

    /// From now on `name` means `found` to this reader; whether it meant something else.
    fn mean(&mut self, id: &MachineId, name: &str, found: Option<&MachineId>) -> bool {
        let Some(reader) = self.readers.get_mut(id) else { return false };
        let Some(meant) = reader.meant.get_mut(name) else { return false };
        if meant.as_ref() == found {
            return false;
        }
        let old = std::mem::replace(meant, found.cloned());
        // Another name may mean the same machine still.
        let old = old.filter(|old| !reader.meant.values().flatten().any(|other| other == old));
        if let Some(old) = old {
            leave(&mut self.of, &old, id);
        }
        if let Some(found) = found {
            self.of.entry(found.clone()).or_default().insert(id.clone());
        }
        true
    }
}

fn leave<K: std::hash::Hash + Eq>(
    sets: &mut HashMap<K, HashSet<MachineId>>,
    key: &K,
    id: &MachineId,
) {
    if let Some(set) = sets.get_mut(key) {
        set.remove(id);
        if set.is_empty() {
            sets.remove(key);
        }
    }
}

#[cfg(test)]
mod tests;
