//! Taking records in.

use super::{APPS_MAX, Known, MACHINES_MAX, Resync, Served, Table};
use model::MachineId;
use proxy_proto::{AppRoute, MachineRoute};
use std::sync::Arc;

/// A bug planted on purpose: an older record replaces a newer one.
const IS_STALE_TAKEN: bool = cfg!(feature = "planted-stale-route");

/// What a record has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// Machines whose record is new, changed or gone.
    pub(crate) machines: Vec<MachineId>,
    /// Apps whose record is new, changed or gone.
    pub(crate) apps: Vec<String>,
    /// Doors may have to be opened or closed.
    pub(crate) is_doors: bool,
}

impl Table {
    /// Takes an app's record in; an older one than the one known is dropped.
    pub(crate) fn apply_app(&mut self, app: AppRoute) -> Changes {
        let is_anew = self.resync.as_mut().is_some_and(|sent| sent.apps.insert(app.app.clone()));
        let known = self.apps.get(&app.app);
        if known.is_none() && self.apps.len() >= APPS_MAX {
            return Changes::default();
        }
        if known.is_some_and(|known| match is_anew {
            true => *known.record == app,
            false => known.record.generation >= app.generation,
        }) {
            return Changes::default();
        }
        let arrival = known.map(|known| known.arrival);
        let arrival = arrival.unwrap_or_else(|| self.next_arrival());
        let name = app.app.clone();
        self.names.set(&name, app.hostnames.iter().map(|own| own.name.clone()));
        self.apps.insert(name.clone(), Known { record: Arc::new(app), arrival });
        Changes { apps: vec![name], ..Changes::default() }
    }

    /// Takes a machine's record in; an older one than the one known is dropped.
    pub(crate) fn apply_machine(&mut self, route: MachineRoute) -> Changes {
        let id = &route.machine;
        let is_anew = self.resync.as_mut().is_some_and(|sent| sent.machines.insert(id.clone()));
        let known = self.machines.get(id);
        if known.is_none() && self.machines.len() >= MACHINES_MAX {
            return Changes::default();
        }
        if known.is_some_and(|known| match is_anew {
            true => *known.record == route,
            false => known.record.generation >= route.generation && !IS_STALE_TAKEN,
        }) {
            return Changes::default();
        }
        let arrival = known.map(|known| known.arrival);
        let has_other_ports = known.is_none_or(|known| known.record.services != route.services);
        let arrival = arrival.unwrap_or_else(|| self.next_arrival());
        let (id, app) = (route.machine.clone(), route.app.clone());
        if has_other_ports {
            self.served.insert(id.clone(), Served::all(&route.services));
        }
        self.machines.insert(id.clone(), Known { record: Arc::new(route), arrival });
        self.of_app.entry(app.clone()).or_default().insert(id.clone());
        let is_doors = has_other_ports && self.claim_ports(&app);
        Changes { machines: vec![id], is_doors, ..Changes::default() }
    }

    /// The app is gone.
    pub(crate) fn remove_app(&mut self, app: &str) -> Changes {
        if self.apps.remove(app).is_none() {
            return Changes::default();
        }
        self.names.set(app, []);
        Changes { apps: vec![app.to_owned()], ..Changes::default() }
    }

    /// The machine is gone.
    pub(crate) fn remove_machine(&mut self, id: &MachineId) -> Changes {
        let Some(known) = self.machines.remove(id) else { return Changes::default() };
        self.served.remove(id);
        let app = known.record.app.clone();
        if let Some(ids) = self.of_app.get_mut(&app) {
            ids.remove(id);
            if ids.is_empty() {
                self.of_app.remove(&app);
            }
        }
        let is_doors = self.claim_ports(&app);
        Changes { machines: vec![id.clone()], is_doors, ..Changes::default() }
    }

    /// From now on control sends all records; see [`Self::complete`].
    ///
    /// What is sent for the first time then replaces what is known, whatever its generation: control
    /// is the one who knows.
    pub(crate) fn begin_resync(&mut self) {
        self.resync = Some(Resync::default());
    }

    /// All records have been sent: those that were not among them are gone.
    pub(crate) fn complete(&mut self) -> Changes {
        let Some(resync) = self.resync.take() else { return Changes::default() };
        let apps: Vec<String> =
            self.apps.keys().filter(|app| !resync.apps.contains(*app)).cloned().collect();
        let machines: Vec<MachineId> =
            self.machines.keys().filter(|id| !resync.machines.contains(*id)).cloned().collect();
        let mut changes = Changes::default();
        for app in apps {
            changes.add(self.remove_app(&app));
        }
        for machine in machines {
            changes.add(self.remove_machine(&machine));
        }
        changes
    }

    fn next_arrival(&mut self) -> u64 {
        self.n_arrived += 1;
        self.n_arrived
    }

    fn claim_ports(&mut self, app: &str) -> bool {
        let ids = self.of_app.get(app).into_iter().flatten();
        let machines = ids.filter_map(|id| self.machines.get(id));
        let services: Vec<_> = machines.map(|known| Arc::clone(&known.record)).collect();
        self.ports.set(app, services.iter().flat_map(|route| &route.services))
    }
}

impl Changes {
    /// Both.
    pub(crate) fn add(&mut self, other: Self) {
        self.machines.extend(other.machines);
        self.apps.extend(other.apps);
        self.is_doors |= other.is_doors;
    }
}
