//! The one face of control.

mod admin;
mod app_secrets;
mod create;
mod doctor;
mod events;
mod hooks;
mod hostnames;
mod images;
mod inside;
mod lease;
mod life;
mod machines;
mod meters;
mod network;
mod proxy;
mod secret_keys;
mod secrets;
mod selfhood;

pub use events::EventFollower;
pub use secret_keys::SecretKey;
pub use selfhood::Export;

pub(crate) use events::FollowerPlaces;

use crate::blocking::off_runtime;
use crate::checkpoints;
use crate::error::ControlError;
use crate::governor::Governor;
use crate::inner::{GuestApi, Inner, chance};
use crate::machine::Command;
use crate::notify;
use crate::pressure;
use crate::pulls;
use crate::recover::{self, Parts};
use model::{AppName, MachineId, NetworkName, hex_of};
use net::NetworkId;
use net::addr::V4Block;
use net::router::Network;
use std::net::Ipv4Addr;
use std::sync::{Arc, PoisonError};
use store::{AppRecord, MachineFilter, NetworkRecord, StoreError};
use tokio::sync::oneshot;

pub(crate) type Answer<T> = Result<T, ControlError>;

/// Handle to control; cheap to clone.
#[derive(Clone, Debug)]
pub struct Control {
    pub(crate) inner: Arc<Inner>,
}

impl Control {
    /// Opens everything below control. Blocking; nothing runs yet.
    ///
    /// # Errors
    /// What the host or the store refused.
    pub fn open(parts: Parts) -> Answer<Self> {
        Ok(Self { inner: Arc::new(recover::open(parts)?) })
    }

    /// Sets who answers machines on `/.fly/api`.
    pub fn serve_guests(&self, answer: GuestApi) {
        let mut guest_api = self.inner.guest_api.lock().unwrap_or_else(PoisonError::into_inner);
        *guest_api = Some(answer);
    }

    /// Takes over what an earlier control process left. Call it before anybody listens.
    ///
    /// # Errors
    /// What the store or the host refused.
    pub async fn recover(&self) -> Answer<()> {
        recover::recover(&self.inner).await?;
        let inner = Arc::clone(&self.inner);
        drop(tokio::spawn(recover::sweep_for_ever(Arc::clone(&self.inner))));
        drop(tokio::spawn(checkpoints::expire_for_ever(Arc::clone(&self.inner))));
        drop(tokio::spawn(pulls::free_for_ever(Arc::clone(&self.inner))));
        drop(tokio::spawn(pressure::watch_for_ever(self.clone())));
        Governor::run(&self.inner);
        drop(tokio::spawn(notify::deliver_for_ever(self.clone())));
        drop(tokio::spawn(hostnames::renew_for_ever(self.clone())));
        // Off the path to the first answer: a start that comes sooner makes its own.
        drop(tokio::task::spawn_blocking(move || {
            recover::look_at_vms(&inner);
            recover::fill_pools(&inner);
        }));
        Ok(())
    }

    /// Creates an app; its network is created on first use of its name in the organisation.
    ///
    /// # Errors
    /// [`ControlError::Taken`], or what the store or the network layer refused.
    pub async fn create_app(
        &self,
        name: AppName,
        org: String,
        network: Option<NetworkName>,
    ) -> Answer<AppRecord> {
        let network = match network {
            Some(network) => network,
            None => "default".parse().expect("a valid network name"),
        };
        let id = self.ensure_network(&org, &network).await?;
        let known = Network { id, blocks: Vec::new() };
        self.blocking(move |inner| Ok(inner.router.add_network(&known)?)).await?;
        let app = AppRecord {
            name,
            id: hex_of(&chance::<8>()),
            org,
            network,
            created_at: model::clock::now(),
        };
        let (stored, taken) = (app.clone(), app.name.to_string());
        match self.inner.store.write("app.create", move |tx| tx.insert_app(&stored)).await {
            Ok(()) => {
                self.inner.proxy.app_changed(app.name.as_str());
                Ok(app)
            }
            Err(StoreError::Taken { .. }) => Err(ControlError::Taken { what: "app", name: taken }),
            Err(error) => Err(error.into()),
        }
    }

    async fn ensure_network(&self, org: &str, name: &NetworkName) -> Answer<NetworkId> {
        let fresh = NetworkId::from_random(u32::from_le_bytes(chance()));
        let record = NetworkRecord {
            name: name.clone(),
            org: org.to_owned(),
            id: fresh.get(),
            v4_blocks: Vec::new(),
        };
        let stored = self
            .inner
            .store
            .write("network.ensure", move |tx| match tx.network(&record.org, &record.name)? {
                Some(known) => Ok(known.id),
                None => tx.insert_network(&record).map(|()| record.id),
            })
            .await?;
        NetworkId::new(stored)
            .ok_or_else(|| ControlError::Bug { message: "a network is numbered 0".to_owned() })
    }

    /// An app.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub fn app(&self, name: &AppName) -> Answer<AppRecord> {
        self.inner
            .store
            .read(|reader| reader.app(name))?
            .ok_or(ControlError::NotFound { what: "app" })
    }

    /// Apps of an organisation (all when `None`) with the number of their machines.
    ///
    /// # Errors
    /// What the store said.
    pub fn apps(&self, org: Option<&str>) -> Answer<Vec<(AppRecord, u64)>> {
        Ok(self.inner.store.read(|reader| {
            let counts = reader.machine_counts()?;
            let apps = reader.apps()?.into_iter().filter(|app| org.is_none_or(|o| app.org == o));
            let count_of = |app: &AppRecord| counts.get(&app.name).copied().unwrap_or(0);
            Ok(apps.map(|app| (count_of(&app), app)).map(|(n, app)| (app, n)).collect())
        })?)
    }

    /// Removes an app once those of its machines are gone that are being destroyed; with `force` all
    /// of them are.
    ///
    /// # Errors
    /// [`ControlError::Precondition`] when it has other machines and `force` is off.
    pub async fn delete_app(&self, name: &AppName, force: bool) -> Answer<()> {
        self.app(name)?;
        let filter = MachineFilter { app: Some(name.clone()), ..MachineFilter::default() };
        let machines = self.inner.store.read(|reader| reader.machine_summaries(&filter))?;
        let staying = machines.iter().filter(|machine| machine.state != "destroying").count();
        if staying > 0 && !force {
            return Err(ControlError::Precondition {
                code: "app_not_empty",
                message: format!("app {name} has {staying} machines"),
                hint: "destroy them first, or pass `force=true`",
            });
        }
        self.destroy_all(machines.into_iter().map(|machine| machine.id)).await?;
        let deleted = name.clone();
        let delete = move |tx: &store::Tx<'_>| tx.delete_app_and_tombstones(&deleted);
        self.inner.store.write("app.delete", delete).await?;
        self.inner.proxy.app_changed(name.as_str());
        self.inner.news.send_replace(());
        Ok(())
    }

    /// Tells the machine's task something and waits for its answer.
    pub(crate) async fn ask<T>(
        &self,
        id: &MachineId,
        command: impl FnOnce(crate::machine::Reply<T>) -> Command,
    ) -> Answer<T> {
        let (reply, answer) = oneshot::channel();
        self.inner.tell(id, command(reply))?;
        answer.await.unwrap_or(Err(ControlError::NotFound { what: "machine" }))
    }

    /// Runs `work` on a thread that may block.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Answer<T> + Send + 'static,
    ) -> Answer<T> {
        let inner = Arc::clone(&self.inner);
        off_runtime(move || work(&inner)).await
    }
}

/// The network of an app, as stored.
fn network_of(reader: &store::Reader<'_>, app: &AppRecord) -> Result<NetworkRecord, StoreError> {
    reader
        .network(&app.org, &app.network)?
        .ok_or_else(|| StoreError::NotFound { kind: "network", key: app.network.to_string() })
}

/// A network's IPv4 blocks.
fn blocks_of(network: &NetworkRecord) -> Vec<V4Block> {
    network.v4_blocks.iter().map(|base| V4Block::of(Ipv4Addr::from(*base))).collect()
}
