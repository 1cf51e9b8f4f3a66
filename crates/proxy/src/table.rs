//! What is served where? The records of apps and machines, pure.
//!
//! [`mod@apply`] takes records in and says what has changed; [`names`] finds the app for a host name;
//! [`ports`] says which app owns which public port; [`mod@choose`] picks one of several machines.

pub(crate) mod apply;
pub(crate) mod choose;
pub(crate) mod names;
pub(crate) mod ports;

use model::MachineId;
use model::spec::service::{Port, Service, Transport};
use names::NameClaims;
use ports::PortClaims;
use proxy_proto::{AppRoute, MachineRoute};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// Most machines that are known; more are not served and counted as left off.
///
/// Ten times what one host is promised to hold.
pub(crate) const MACHINES_MAX: usize = 100_000;

/// Most apps that are known.
pub(crate) const APPS_MAX: usize = 100_000;

/// All records, and what follows from them.
#[derive(Debug, Default)]
pub(crate) struct Table {
    apps: BTreeMap<String, Known<AppRoute>>,
    machines: HashMap<MachineId, Known<MachineRoute>>,
    served: HashMap<MachineId, Vec<Served>>,
    of_app: BTreeMap<String, BTreeSet<MachineId>>,
    names: NameClaims,
    ports: PortClaims,
    n_arrived: u64,
    /// While control sends all records: those that it has sent so far.
    resync: Option<Resync>,
}

/// A record and when it was first seen.
#[derive(Clone, Debug)]
struct Known<T> {
    record: Arc<T>,
    /// Grows from record to record; older claims win.
    arrival: u64,
}

/// A service and its ports, to be handed out to each visitor without a copy.
#[derive(Debug)]
struct Served {
    service: Arc<Service>,
    ports: Vec<Arc<Port>>,
}

#[derive(Debug, Default)]
struct Resync {
    apps: HashSet<String>,
    machines: HashSet<MachineId>,
}

impl Table {
    /// The record of a machine.
    pub(crate) fn machine(&self, id: &MachineId) -> Option<&Arc<MachineRoute>> {
        self.machines.get(id).map(|known| &known.record)
    }

    /// The record of an app.
    pub(crate) fn app(&self, app: &str) -> Option<&Arc<AppRoute>> {
        self.apps.get(app).map(|known| &known.record)
    }

    /// The machines of an app, by id.
    pub(crate) fn machines_of<'a>(
        &'a self,
        app: &str,
    ) -> impl Iterator<Item = &'a Arc<MachineRoute>> {
        let ids = self.of_app.get(app).into_iter().flatten();
        ids.filter_map(|id| self.machine(id))
    }

    /// All machines in the order in which they were first seen.
    pub(crate) fn machines(&self) -> Vec<Arc<MachineRoute>> {
        by_arrival(self.machines.values())
    }

    /// All apps in the order in which they were first seen.
    pub(crate) fn apps(&self) -> Vec<Arc<AppRoute>> {
        by_arrival(self.apps.values())
    }

    /// Who claims which port.
    pub(crate) fn ports(&self) -> &PortClaims {
        &self.ports
    }

    /// Who claims which name.
    pub(crate) fn names(&self) -> &NameClaims {
        &self.names
    }

    /// As [`service_at`], shared.
    pub(crate) fn served_at(
        &self,
        machine: &MachineId,
        transport: Transport,
        port: u16,
    ) -> Option<(Arc<Service>, Arc<Port>)> {
        let served = self.served.get(machine)?;
        let of_transport = served.iter().filter(|one| one.service.protocol == transport);
        of_transport
            .filter_map(|one| {
                let at = one.ports.iter().find(|at| (at.first..=at.last).contains(&port))?;
                Some((Arc::clone(&one.service), Arc::clone(at)))
            })
            .next()
    }

    /// The app that `host` means on a port: by its name; a bare address, `localhost` or no name means
    /// the only app on the port.
    pub(crate) fn app_for_host(&self, port: u16, host: &str) -> Option<&str> {
        let host = names::normal(host);
        if names::is_anybody(&host) {
            return self.ports.only_app(Transport::Tcp, port);
        }
        let local = names::local_app(&host).filter(|app| self.of_app.contains_key(*app));
        let app = self.names.holder(&host).or_else(|| {
            let known = self.of_app.get_key_value(local?);
            known.map(|(app, _)| app.as_str())
        });
        app.or_else(|| self.names.wildcard_holder(&host))
    }
}

impl Served {
    fn all(services: &[Service]) -> Vec<Self> {
        let shared = |ports: &[Port]| ports.iter().cloned().map(Arc::new).collect();
        let each = services.iter().map(|service| Self {
            service: Arc::new(service.clone()),
            ports: shared(&service.ports),
        });
        each.collect()
    }
}

fn by_arrival<'a, T: 'a>(all: impl Iterator<Item = &'a Known<T>>) -> Vec<Arc<T>> {
    let mut known: Vec<&Known<T>> = all.collect();
    known.sort_unstable_by_key(|known| known.arrival);
    known.into_iter().map(|known| Arc::clone(&known.record)).collect()
}

/// The service of a machine that visitors of a public port reach, and the port's entry in it.
pub(crate) fn service_at(
    route: &MachineRoute,
    transport: Transport,
    port: u16,
) -> Option<(&Service, &Port)> {
    let services = route.services.iter().filter(|service| service.protocol == transport);
    services
        .filter_map(|service| {
            let at = service.ports.iter().find(|at| (at.first..=at.last).contains(&port))?;
            Some((service, at))
        })
        .next()
}

#[cfg(test)]
mod tests;
