//! Starting is recovering: everything an earlier control process left is taken over, finished or
//! put away, and only then does anybody listen.

mod put_away;

use crate::capacity::Capacity;
use crate::egress::{EgressRules, Governed};
use crate::error::ControlError;
use crate::governor::{Clock, Governor};
use crate::inner::{ControlConfig, Inner};
use crate::machine::Command;
use crate::meters::Meters;
use crate::notify::{NotifySettings, Outbox};
use crate::proxy::Proxy;
use crate::pulls::{ImageSettings, Pulls};
use crate::shim::ShimPool;
use model::MachineId;
use net::addr::V4Block;
use net::router::{Network, RouterConfig};
use net::slot::PoolConfig;
use net::{InstanceNamespaces, NetworkId, Router, SlotPool};
use std::collections::HashMap;
use std::fs;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use store::{MachineFilter, NetworkRecord, Store};
use tokio::sync::{Notify, Semaphore, oneshot, watch};

/// Machines taken over at once: the kernel's mount lock makes more of them no faster.
const ADOPTED_AT_ONCE: usize = 64;

/// Machines that start at once after a reboot of the host: enough to keep two cores busy, few enough
/// that the first is up soon.
const RETURNS_AT_ONCE: usize = 4;

/// What control is made of, opened by the daemon.
#[derive(Debug)]
pub struct Parts {
    /// Fixed settings.
    pub config: ControlConfig,
    /// The store.
    pub store: Store,
    /// The instance's namespaces, entered.
    pub namespaces: InstanceNamespaces,
    /// How the router is built.
    pub router: RouterConfig,
    /// Slots to keep ready: fewest and most.
    pub slots_ready: (u16, u16),
    /// Virtual machines of a shape to keep warm: fewest and most.
    pub vms_ready: (u16, u16),
    /// What the operator decides about images.
    pub images: ImageSettings,
    /// What the operator decides about notifications.
    pub notify: NotifySettings,
}

/// Opens everything below control.
pub(crate) fn open(parts: Parts) -> Result<Inner, ControlError> {
    let Parts { config, store, namespaces, router, images: settings, notify, .. } = parts;
    let (slots_ready, vms_ready) = (parts.slots_ready, parts.vms_ready);
    let RouterConfig { v4_range, egress } = router;
    let shims_dir = config.runtime_dir.join("shims");
    fs::create_dir_all(&shims_dir).map_err(|e| ControlError::host("create", &shims_dir, e))?;
    let networks = store.read(|reader| reader.networks())?;
    let networks: Vec<Network> = networks.iter().filter_map(network).collect();
    let governed = store.read(crate::egress::stored)?;
    let router = open_router(&namespaces, &store, router, &networks, &governed)?;
    let pool = PoolConfig {
        helper: config.shim_path.clone(),
        low_watermark: slots_ready.0,
        high_watermark: slots_ready.1,
    };
    let slots = SlotPool::open(&namespaces, Arc::clone(&router), pool)?;
    let vms = crate::vms::Vms::new(&config, store.instance(), slots.nowhere()?);
    let images = image::ImageStore::open(&config.data_dir, &config.runtime_dir)?;
    let outbox = Outbox::open(&notify, egress, &router)?;
    let pulls = Pulls::open(&settings, egress, &router, &config.data_dir)?;
    let disks = disk::DiskStore::open(&config.data_dir)?;
    if let Err(error) = disk::ballast::trim(&config.data_dir) {
        tracing::warn!(%error, "there is no room for the ballast");
    }
    let proxy = Arc::new(Proxy::default());
    Ok(Inner {
        capacity: Capacity::new(config.host_ram_mib, config.host_cpus),
        shims: Arc::new(ShimPool::new(config.shim_path.clone(), store.instance())),
        vms,
        warm: crate::vms::WarmPool::new(vms_ready),
        vault: crate::vault::Vault::new(&config.data_dir),
        watchers: crate::watch::Watchers::default(),
        news: watch::Sender::new(()),
        followers: crate::control::FollowerPlaces::default(),
        self_watchers: crate::watch::Watchers::default(),
        policies: crate::policies::Policies::default(),
        hooks: crate::hooks::Hooks::default(),
        outbox,
        meters: Meters::default(),
        governor: Governor::new(
            store.clone(),
            Clock::of_host(),
            config.host_cpus,
            Arc::clone(&proxy),
        ),
        proxy,
        guest_api: Mutex::new(None),
        tasks: Mutex::new(HashMap::new()),
        returns: Arc::new(Semaphore::new(RETURNS_AT_ONCE)),
        checkpoint_kept: Notify::new(),
        look_at_room: Notify::new(),
        plan_locks: Mutex::new(HashMap::new()),
        config,
        store,
        images,
        pulls,
        disks,
        router,
        v4_range,
        egress,
        egress_rules: EgressRules::new(governed),
        slots,
    })
}

/// The router with every rule that the store asks for, before anything may start.
fn open_router(
    namespaces: &InstanceNamespaces,
    store: &Store,
    config: RouterConfig,
    networks: &[Network],
    governed: &[Governed],
) -> Result<Arc<Router>, ControlError> {
    let policies: Vec<_> =
        governed.iter().map(|(_, addrs, policy)| (*addrs, policy.clone())).collect();
    let tag = store.instance();
    let router = Router::open_with_policies(namespaces, tag, &config, networks, &policies)?;
    Ok(Arc::new(router))
}

/// The network layer's idea of a stored network.
pub(crate) fn network(record: &NetworkRecord) -> Option<Network> {
    let blocks = record.v4_blocks.iter().map(|base| V4Block::of(Ipv4Addr::from(*base))).collect();
    Some(Network { id: NetworkId::new(record.id)?, blocks })
}

/// Takes over what is there. Returns when every machine's state is true again.
///
/// What nobody needs is put away first, while no machine can start: a run that begins meanwhile
/// would look like a leftover.
pub(crate) async fn recover(inner: &Arc<Inner>) -> Result<(), ControlError> {
    let for_reaping = Arc::clone(inner);
    tokio::task::spawn_blocking(move || put_away::all(&for_reaping))
        .await
        .unwrap_or_else(|panic| Err(ControlError::Bug { message: panic.to_string() }))?;
    let records = machines_with_work(inner)?;
    adopt_all(inner, &records).await;
    let boot = inner.config.boot.clone();
    inner.store.write("host.boot", move |tx| tx.put_boot(&boot)).await?;
    Ok(())
}

/// Machines that have a run or are on their way somewhere.
fn machines_with_work(inner: &Inner) -> Result<Vec<MachineId>, ControlError> {
    let states = [
        "created",
        "starting",
        "started",
        "stopping",
        "restarting",
        "suspending",
        "suspended",
        "replacing",
        "destroying",
    ];
    let states = states.map(str::to_owned).to_vec();
    ids(inner, MachineFilter { states, ..MachineFilter::default() })
}

fn ids(inner: &Inner, filter: MachineFilter) -> Result<Vec<MachineId>, ControlError> {
    let summaries = inner.store.read(|reader| reader.machine_summaries(&filter))?;
    Ok(summaries.into_iter().map(|summary| summary.id).collect())
}

async fn adopt_all(inner: &Arc<Inner>, machines: &[MachineId]) {
    for group in machines.chunks(ADOPTED_AT_ONCE) {
        let mut adopted = Vec::with_capacity(group.len());
        for id in group {
            let (reply, done) = oneshot::channel();
            match inner.tell(id, Command::Adopt { reply }) {
                Ok(()) => adopted.push((id, done)),
                Err(error) => tracing::error!(machine = %id, %error, "it could not be adopted"),
            }
        }
        for (id, done) in adopted {
            if done.await.is_err() {
                tracing::error!(machine = %id, "its task ended during adoption");
            }
        }
    }
}

/// Shims, slots and virtual machines for the next starts. Blocking; failures are noted, a start makes its
/// own.
pub(crate) fn fill_pools(inner: &Inner) {
    if let Err(error) = inner.shims.refill() {
        tracing::warn!(%error, "the pool of shims cannot be filled");
    }
    if let Err(error) = inner.slots.refill() {
        tracing::warn!(%error, "the pool of slots cannot be filled");
    }
    inner.warm.refill(inner);
}

/// Which virtual machines are likely to start is seen by those that there are. Blocking.
pub(crate) fn look_at_vms(inner: &Inner) {
    if let Err(error) = inner.warm.look(inner) {
        tracing::warn!(%error, "which virtual machines there are cannot be read");
    }
}

/// Time between two sweeps of what the store need not keep any longer.
const SWEEP_EVERY: std::time::Duration = std::time::Duration::from_secs(3600);

/// Removes old tombstones, plans and intervals, now and each hour.
pub(crate) async fn sweep_for_ever(inner: Arc<Inner>) {
    let mut hours = tokio::time::interval(SWEEP_EVERY);
    loop {
        hours.tick().await;
        let now = model::clock::now();
        while let Ok(swept) = inner.store.write("store.sweep", move |tx| tx.sweep(now)).await {
            if swept.machines.is_empty() && swept.message_ids == 0 {
                break;
            }
        }
    }
}
