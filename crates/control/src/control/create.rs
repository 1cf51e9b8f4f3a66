//! Creating a machine: everything that can be done once is done here, so that a start has nothing
//! left but to start.

use super::{Answer, Control, blocks_of, network_of};
use crate::error::ControlError;
use crate::facade::{CreateMachine, UpdateMachine};
use crate::inner::{chance, new_event_id, new_version_id};
use crate::machine::{Command, VersionChange};
use crate::plans;
use model::spec::EngineKind;
use model::{Cause, MachineId, UnixMs, hex_of};
use net::addr::V4Block;
use net::router::Network;
use net::{MachineAddrs, NetworkId};
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use store::{
    AppRecord, EventRecord, ImageRecord, LeaseRecord, MachineRecord, OwnerKind, PlanKind,
    StoreError,
};

/// Draws of an id or a name before giving up: with 2^56 ids a second draw is a miracle already.
const DRAWS_MAX: usize = 4;

/// Below this share of free space on the data file system nothing new is made. Source: design,
/// section 4, "Pressure".
pub(super) const CREATE_FREE_RATIO_MIN: f64 = 0.10;

impl Control {
    /// Creates a machine and begins to prepare it; it starts by itself unless `skip_launch`.
    ///
    /// # Errors
    /// [`ControlError::NotFound`] for app or image, [`ControlError::Taken`] for its name,
    /// [`ControlError::Refused`] when no machine of this size can ever run here.
    pub async fn create_machine(&self, wish: CreateMachine) -> Answer<MachineRecord> {
        let app = self.app(&wish.app)?;
        if !self.inner.capacity.fits_at_all(wish.spec.guest) {
            return Err(ControlError::Refused(model::Refused::Capacity(
                "insufficient resources available to create a machine of this size".to_owned(),
            )));
        }
        self.refuse_when_nearly_full()?;
        let image = self.image_of(&wish.spec.image, wish.spec.engine)?;
        let mut last = None;
        for _ in 0..DRAWS_MAX {
            let addrs = self.draw_addresses(&app).await?;
            match self.insert(&wish, &image, addrs).await {
                Ok(record) => {
                    self.inner.watchers.notify(&record.id, record.machine.revision);
                    plans::go_on(&self.inner, &record.id);
                    return Ok(record);
                }
                Err(StoreError::Taken { what }) if what.contains("name") && wish.name.is_some() => {
                    let name = wish.name.unwrap_or_default();
                    return Err(ControlError::Taken { what: "machine", name });
                }
                Err(taken @ StoreError::Taken { .. }) => last = Some(taken),
                Err(error) => return Err(error.into()),
            }
        }
        Err(last.map_or(ControlError::ShuttingDown, ControlError::Store))
    }

    fn refuse_when_nearly_full(&self) -> Answer<()> {
        let free = disk::free_ratio(&self.inner.config.data_dir)?;
        if free < CREATE_FREE_RATIO_MIN {
            return Err(ControlError::DiskPressure { free_percent: free * 100.0 });
        }
        // A full disk may have taken it; now there is room again.
        if let Err(error) = disk::ballast::ensure(&self.inner.config.data_dir) {
            tracing::warn!(%error, "there is no room for the ballast");
        }
        Ok(())
    }

    /// The stored image that a reference names.
    fn image_of(&self, reference: &str, engine: EngineKind) -> Answer<ImageRecord> {
        let found = self.find_image(reference)?;
        match found {
            Some(image) => Ok(image),
            None if engine == EngineKind::Fake => Ok(fake_image(reference)),
            None => Err(ControlError::NotFound { what: "image" }),
        }
    }

    /// Draws the addresses of a new machine; takes a further block for its network when all are
    /// used.
    async fn draw_addresses(&self, app: &AppRecord) -> Answer<MachineAddrs> {
        let (network, used) = self.inner.store.read(|reader| {
            let network = network_of(reader, app)?;
            let used = reader.used_addresses(network.id)?;
            Ok((network, used))
        })?;
        let id = NetworkId::new(network.id)
            .ok_or_else(|| ControlError::Bug { message: "a network is numbered 0".to_owned() })?;
        let used: BTreeSet<Ipv4Addr> = used.v4.into_iter().collect();
        let luck = || u32::from_le_bytes(chance());
        let v4 = match net::addr::free_v4(id, &blocks_of(&network), &used, luck()) {
            Ok(v4) => v4,
            Err(net::Error::NoFreeAddress { .. }) => {
                let block = self.take_block(id).await?;
                net::addr::free_v4(id, &[block], &used, luck())?
            }
            Err(error) => return Err(error.into()),
        };
        Ok(MachineAddrs::draw(id, chance(), v4))
    }

    /// A further IPv4 block for a network.
    async fn take_block(&self, network: NetworkId) -> Answer<V4Block> {
        let range = self.inner.v4_range;
        let block = self
            .inner
            .store
            .write("network.block", move |tx| {
                let taken: BTreeSet<V4Block> = tx.networks()?.iter().flat_map(blocks_of).collect();
                let Ok(block) = range.free_block(&taken) else {
                    return Err(StoreError::NotFound {
                        kind: "free IPv4 block",
                        key: network.get().to_string(),
                    });
                };
                tx.add_v4_block(network.get(), u32::from(block.base()))?;
                Ok(block)
            })
            .await?;
        let grown = Network { id: network, blocks: vec![block] };
        self.blocking(move |inner| Ok(inner.router.add_network(&grown)?)).await?;
        Ok(block)
    }

    /// Stores machine, version, first event, image reference and plan in one transaction.
    async fn insert(
        &self,
        wish: &CreateMachine,
        image: &ImageRecord,
        addrs: MachineAddrs,
    ) -> Result<MachineRecord, StoreError> {
        let now = model::clock::now();
        let begun = model::create(!wish.skip_launch, now);
        let version = new_version_id(now);
        let lease = wish.lease.as_ref().map(|lease| LeaseRecord {
            nonce: hex_of(&chance::<6>()),
            owner: lease.owner.clone(),
            description: lease.description.clone(),
            expires_at: now.plus(lease.ttl),
            version: version.clone(),
        });
        let record = MachineRecord {
            id: MachineId::from_random(chance()),
            app: wish.app.clone(),
            name: wish.name.clone().unwrap_or_else(|| crate::names::draw(chance())),
            version,
            machine: begun.machine,
            spec: wish.spec.clone(),
            config: wish.config.clone(),
            image: image.image.clone(),
            image_config: image.config.clone(),
            v6: addrs.v6,
            v4: addrs.v4,
            region: self.inner.config.region.clone(),
            cordoned: wish.is_cordoned,
            lease,
            generation: 0,
            created_at: now,
            updated_at: now,
        };
        let stored = record.clone();
        let is_stored_image = wish.spec.engine != EngineKind::Fake;
        let news = begun.news;
        self.inner
            .store
            .write("machine.create", move |tx| {
                tx.insert_machine(&stored)?;
                if is_stored_image {
                    tx.add_ref(OwnerKind::Machine, stored.id.as_str(), &stored.image.digest)?;
                    tx.touch_image(&stored.image.digest, now)?;
                }
                for news in news {
                    let id = new_event_id(now);
                    tx.append_event(&EventRecord {
                        id,
                        machine: stored.id.clone(),
                        at: now,
                        news,
                    })?;
                }
                plans::begin(tx, &stored.id, PlanKind::Create, now)
            })
            .await?;
        Ok(record)
    }

    /// Puts a new version in place; a running machine restarts on it.
    ///
    /// # Errors
    /// [`ControlError::StaleVersion`], or as for a create.
    pub async fn update(
        &self,
        id: &MachineId,
        cause: Cause,
        wish: UpdateMachine,
    ) -> Answer<MachineRecord> {
        let record = self.machine(None, id)?;
        if let Some(expected) = &wish.current_version
            && *expected != record.version
        {
            return Err(ControlError::StaleVersion { current: record.version.to_string() });
        }
        let image = self.image_of(&wish.spec.image, record.spec.engine)?;
        if image.image.digest != record.image.digest {
            return Err(ControlError::Precondition {
                code: "image_change",
                message: "a machine keeps its image".to_owned(),
                hint: "create a new machine from the other image",
            });
        }
        let now = model::clock::now();
        let mut spec = wish.spec;
        spec.engine = record.spec.engine;
        spec.rootfs.size_gib = record.spec.rootfs.size_gib;
        let changed = MachineRecord {
            version: new_version_id(now),
            spec,
            config: wish.config,
            updated_at: now,
            ..record
        };
        let launch = !wish.skip_launch;
        let change = Box::new(VersionChange { record: changed, launch });
        self.ask(id, |reply| Command::Update { cause, change, reply }).await
    }
}

/// The fake engine needs no image; this is what its machines show.
fn fake_image(reference: &str) -> ImageRecord {
    let digest = format!("sha256:{:0>64}", "0").parse().expect("64 zeros are a digest");
    ImageRecord {
        image: model::spec::ImageRef {
            registry: "fake".to_owned(),
            repository: reference.to_owned(),
            tag: "latest".to_owned(),
            digest,
        },
        config: model::spec::ImageConfig::default(),
        size_bytes: 0,
        created_at: UnixMs(0),
        last_used_at: UnixMs(0),
        source: "fake".to_owned(),
    }
}
