//! What the names stand for: machines and apps, by network.
//!
//! Plain data that follows the records of its owner one by one; [`ZoneHandle`] shares it between
//! who changes it and who answers from it. Its lock is held for single look-ups, never across a
//! wait.

use crate::rule::NameRule;
use model::MachineId;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

/// Bits of an IPv6 address that a machine varies as it likes: it owns a whole /112.
const V6_OWN_BITS: u32 = 16;

/// Everything the resolver must know of one machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Its id.
    pub id: MachineId,
    /// Its app.
    pub app: String,
    /// Number of its private network.
    pub network: u32,
    /// Region of its host.
    pub region: String,
    /// It is started; names without `all` leave other machines out.
    pub is_up: bool,
    /// Its IPv4 address: questions from it are this machine's.
    pub v4: Ipv4Addr,
    /// Its IPv6 address: what its names stand for. Questions from its /112 are this machine's.
    pub v6: Ipv6Addr,
    /// Labels, for names like `<value>.<key>.kv._metadata.<app>.internal`.
    pub metadata: BTreeMap<String, String>,
    /// Its process group, if it has one: the value of its label `fly_process_group`.
    pub process_group: Option<String>,
    /// No name stands for it, as if it did not exist; it may still ask.
    pub is_hidden: bool,
    /// Names outside `.internal` that are special for it; `None` when all are the same.
    pub name_rule: Option<Arc<NameRule>>,
}

/// All machines and apps that have names.
///
/// Names of apps and regions compare without case, as DNS does: two apps of one network whose
/// names differ by case alone share their names.
#[derive(Debug)]
pub struct Zone {
    api: Ipv6Addr,
    networks: HashMap<u32, Network>,
    declared: HashMap<String, u32>,
    machines: HashMap<MachineId, Arc<Machine>>,
    by_v6: HashMap<u128, MachineId>,
    by_v4: HashMap<Ipv4Addr, MachineId>,
}

/// Apps of one network by lower-case name.
#[derive(Debug, Default)]
pub(crate) struct Network {
    apps: BTreeMap<String, App>,
}

/// One app: known as long as it is declared or has a machine.
#[derive(Debug, Default)]
pub(crate) struct App {
    declared_as: BTreeSet<String>,
    machines: BTreeMap<MachineId, Arc<Machine>>,
}

impl Zone {
    /// An empty zone in which `_api.internal` is `api`.
    #[must_use]
    pub fn new(api: Ipv6Addr) -> Self {
        Self {
            api,
            networks: HashMap::new(),
            declared: HashMap::new(),
            machines: HashMap::new(),
            by_v6: HashMap::new(),
            by_v4: HashMap::new(),
        }
    }

    /// Takes the record of a machine; what was known of it before is forgotten.
    pub fn upsert_machine(&mut self, machine: Machine) {
        self.remove_machine(&machine.id);
        let machine = Arc::new(machine);
        let app = self.app_mut(machine.network, &machine.app);
        app.machines.insert(machine.id.clone(), Arc::clone(&machine));
        self.by_v6.insert(own_prefix(machine.v6), machine.id.clone());
        self.by_v4.insert(machine.v4, machine.id.clone());
        self.machines.insert(machine.id.clone(), machine);
    }

    /// Forgets a machine.
    pub fn remove_machine(&mut self, id: &MachineId) {
        let Some(machine) = self.machines.remove(id) else { return };
        if self.by_v6.get(&own_prefix(machine.v6)) == Some(id) {
            self.by_v6.remove(&own_prefix(machine.v6));
        }
        if self.by_v4.get(&machine.v4) == Some(id) {
            self.by_v4.remove(&machine.v4);
        }
        self.change_app(machine.network, &machine.app, |app| {
            app.machines.remove(id);
        });
    }

    /// Declares an app, so that its name is known without a machine too.
    pub fn upsert_app(&mut self, name: &str, network: u32) {
        self.remove_app(name);
        self.declared.insert(name.to_owned(), network);
        self.app_mut(network, name).declared_as.insert(name.to_owned());
    }

    /// Takes the declaration of an app back; its name stays known while it has machines.
    pub fn remove_app(&mut self, name: &str) {
        if let Some(network) = self.declared.remove(name) {
            self.change_app(network, name, |app| {
                app.declared_as.remove(name);
            });
        }
    }

    /// Machine whose address this is.
    #[must_use]
    pub fn asker(&self, source: IpAddr) -> Option<Arc<Machine>> {
        let id = match source.to_canonical() {
            IpAddr::V6(v6) => self.by_v6.get(&own_prefix(v6)),
            IpAddr::V4(v4) => self.by_v4.get(&v4),
        }?;
        self.machines.get(id).cloned()
    }

    /// Ids of all machines.
    pub fn machine_ids(&self) -> impl Iterator<Item = &MachineId> {
        self.machines.keys()
    }

    pub(crate) fn api(&self) -> Ipv6Addr {
        self.api
    }

    pub(crate) fn network(&self, number: u32) -> Option<&Network> {
        self.networks.get(&number)
    }

    fn app_mut(&mut self, network: u32, name: &str) -> &mut App {
        let network = self.networks.entry(network).or_default();
        network.apps.entry(name.to_ascii_lowercase()).or_default()
    }

    /// Changes an app, and drops it and its network when nothing is left of them.
    fn change_app(&mut self, number: u32, name: &str, change: impl FnOnce(&mut App)) {
        let Some(network) = self.networks.get_mut(&number) else { return };
        let key = name.to_ascii_lowercase();
        let Some(app) = network.apps.get_mut(&key) else { return };
        change(app);
        if app.machines.is_empty() && app.declared_as.is_empty() {
            network.apps.remove(&key);
        }
        if network.apps.is_empty() {
            self.networks.remove(&number);
        }
    }
}

impl Network {
    /// An app by its name in lower case.
    pub(crate) fn app(&self, name: &str) -> Option<&App> {
        self.apps.get(name)
    }

    /// Names of all apps, in lower case and in order.
    pub(crate) fn app_names(&self) -> impl Iterator<Item = &str> {
        self.apps.keys().map(String::as_str)
    }

    /// Machines of all apps that have names.
    pub(crate) fn machines(&self) -> impl Iterator<Item = &Machine> {
        self.apps.values().flat_map(App::machines)
    }
}

impl App {
    /// Machines that have names, in the order of their ids.
    pub(crate) fn machines(&self) -> impl Iterator<Item = &Machine> {
        self.machines.values().map(AsRef::as_ref).filter(|machine| !machine.is_hidden)
    }
}

fn own_prefix(address: Ipv6Addr) -> u128 {
    address.to_bits() >> V6_OWN_BITS
}

/// A zone that one side changes while others answer from it. Clones share it.
#[derive(Clone, Debug)]
pub struct ZoneHandle(Arc<RwLock<Zone>>);

impl ZoneHandle {
    /// Shares `zone`.
    #[must_use]
    pub fn new(zone: Zone) -> Self {
        Self(Arc::new(RwLock::new(zone)))
    }

    /// Changes the zone; questions see all of the change or nothing of it.
    pub fn update<T>(&self, change: impl FnOnce(&mut Zone) -> T) -> T {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Zone> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}
