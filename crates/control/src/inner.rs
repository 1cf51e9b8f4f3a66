//! What all parts of control share.

use crate::capacity::Capacity;
use crate::control::FollowerPlaces;
use crate::egress::EgressRules;
use crate::error::ControlError;
use crate::governor::Governor;
use crate::hooks::Hooks;
use crate::machine::Command;
use crate::meters::Meters;
use crate::notify::Outbox;
use crate::policies::Policies;
use crate::proxy::Proxy;
use crate::pulls::Pulls;
use crate::shim::ShimPool;
use crate::vault::Vault;
use crate::vms::{VmConfig, Vms, WarmPool};
use crate::watch::Watchers;
use model::{BootId, EventId, InstanceTag, MachineId, RunId, UnixMs, VersionId};
use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use store::{StoreError, Tx};
use tokio::io::DuplexStream;
use tokio::sync::{Notify, Semaphore, mpsc, watch};

/// Requests that may wait for one machine. A thousand would be a bug of the caller; more than a few
/// dozen already means that nobody will read the answers.
pub(crate) const MACHINE_QUEUE_MAX: usize = 256;

/// Wait before the store is asked once more for what it could not do or say: a full disk, mostly.
pub(crate) const STORE_RETRY: Duration = Duration::from_secs(1);

/// Where things are and how control behaves; fixed at start.
#[derive(Clone, Debug)]
pub struct ControlConfig {
    /// Data directory.
    pub data_dir: PathBuf,
    /// Runtime directory of the instance, `/run/dormouse/<instance>`.
    pub runtime_dir: PathBuf,
    /// The `dormouse-shim` binary.
    pub shim_path: PathBuf,
    /// The `dormouse-init` binary, on a read-only mount.
    pub init_path: PathBuf,
    /// This boot of the host.
    pub boot: BootId,
    /// RAM of the host in MiB.
    pub host_ram_mib: u64,
    /// CPUs of the host.
    pub host_cpus: u64,
    /// Region that this host answers for.
    pub region: String,
    /// Where virtual machines come from.
    pub vm: VmConfig,
    /// Address on which visitors of services are awaited, if they are.
    pub door_address: Option<IpAddr>,
}

/// Who answers a machine that speaks to `/.fly/api`.
pub type GuestApi = Box<dyn Fn(MachineId, DuplexStream) + Send + Sync>;

/// What all parts of control share.
pub(crate) struct Inner {
    pub(crate) config: ControlConfig,
    pub(crate) store: store::Store,
    pub(crate) images: image::ImageStore,
    pub(crate) pulls: Pulls,
    pub(crate) disks: disk::DiskStore,
    pub(crate) router: Arc<net::Router>,
    pub(crate) v4_range: net::addr::V4Range,
    pub(crate) egress: net::router::Egress,
    pub(crate) egress_rules: EgressRules,
    pub(crate) slots: net::SlotPool,
    pub(crate) shims: Arc<ShimPool>,
    pub(crate) vms: Vms,
    pub(crate) warm: WarmPool,
    pub(crate) capacity: Arc<Capacity>,
    pub(crate) vault: Vault,
    pub(crate) watchers: Watchers,
    /// Rung whenever something has happened to any machine.
    pub(crate) news: watch::Sender<()>,
    /// Places of those who follow events.
    pub(crate) followers: FollowerPlaces,
    /// As `watchers`, for what machines remember.
    pub(crate) self_watchers: Watchers,
    pub(crate) policies: Policies,
    pub(crate) governor: Governor,
    pub(crate) proxy: Arc<Proxy>,
    pub(crate) hooks: Hooks,
    pub(crate) outbox: Outbox,
    pub(crate) meters: Meters,
    pub(crate) guest_api: Mutex<Option<GuestApi>>,
    pub(crate) tasks: Mutex<HashMap<MachineId, mpsc::Sender<Command>>>,
    /// Turns of machines that come back after a reboot of the host.
    pub(crate) returns: Arc<Semaphore>,
    /// Rung when a checkpoint has been kept: it may be the next one to expire.
    pub(crate) checkpoint_kept: Notify,
    /// Rung when somebody should look at the room on the data file system now: there is little, or
    /// a machine gets a task while none had one.
    pub(crate) look_at_room: Notify,
    pub(crate) plan_locks: Mutex<HashMap<MachineId, Arc<tokio::sync::Mutex<()>>>>,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Inner {
    /// This instance's tag.
    pub(crate) fn instance(&self) -> &InstanceTag {
        self.store.instance()
    }

    /// As `Store::write`, for a change that frees space: on a full disk the ballast, which is kept
    /// for this, is given back, and the change is tried once more. Nothing else gives it back while
    /// this process runs.
    pub(crate) async fn write_freeing<T: Send + 'static>(
        &self,
        name: &'static str,
        change: impl Fn(&Tx<'_>) -> Result<T, StoreError> + Clone + Send + 'static,
    ) -> Result<T, StoreError> {
        match self.store.write(name, change.clone()).await {
            Err(StoreError::DiskFull) => {
                if let Err(error) = disk::ballast::release(&self.config.data_dir) {
                    tracing::warn!(%error, "the ballast is not given back");
                }
                self.store.write(name, change).await
            }
            other => other,
        }
    }

    /// Hands a command to the machine's task, which is made when there is none.
    ///
    /// # Errors
    /// [`ControlError::Busy`] when too many commands wait already.
    pub(crate) fn tell(
        self: &Arc<Self>,
        id: &MachineId,
        command: Command,
    ) -> Result<(), ControlError> {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        if tasks.is_empty() {
            self.look_at_room.notify_one();
        }
        let sender = tasks
            .entry(id.clone())
            .or_insert_with(|| crate::machine::spawn(Arc::clone(self), id.clone()));
        match sender.try_send(command) {
            Ok(()) => Ok(()),
            Err(mpsc::error::TrySendError::Full(_)) => {
                Err(ControlError::Busy { machine: id.clone(), queued: MACHINE_QUEUE_MAX })
            }
            Err(mpsc::error::TrySendError::Closed(command)) => {
                // The task has panicked; a fresh one reads the truth from the store.
                let sender = crate::machine::spawn(Arc::clone(self), id.clone());
                let sent = sender.try_send(command).is_ok();
                tasks.insert(id.clone(), sender);
                if sent { Ok(()) } else { Err(ControlError::ShuttingDown) }
            }
        }
    }
}

/// `N` random bytes.
///
/// # Panics
/// The kernel's random source cannot be read: nothing sensible can go on without it.
pub(crate) fn chance<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the kernel's random source can be read");
    bytes
}

pub(crate) fn new_run_id(now: UnixMs) -> RunId {
    RunId::new(now, chance())
}

pub(crate) fn new_version_id(now: UnixMs) -> VersionId {
    VersionId::new(now, chance())
}

pub(crate) fn new_event_id(now: UnixMs) -> EventId {
    EventId::new(now, chance())
}
