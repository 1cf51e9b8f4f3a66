//! Creating a machine: everything that can be done once is done here, so that a start has nothing
//! left but to start.

mod draw;

use super::{Answer, Control};
use crate::blocking::off_runtime;
use crate::capacity::Reservation;
use crate::error::ControlError;
use crate::facade::{CreateMachine, Created, ImageAccess, UpdateMachine};
use crate::inner::{chance, new_event_id, new_version_id};
use crate::machine::selfhood::Founding;
use crate::machine::{Command, VersionChange};
use crate::plans;
use crate::pulls::{self, Found, LOCAL, Target};
use crate::vms::Accel;
use draw::Draw;
use model::spec::{EngineKind, ImageConfig, ImageRef, MachineSpec, Persist, RootfsSpec};
use model::{Cause, MachineId, UnixMs, hex_of};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use store::{
    AppRecord, EventRecord, LeaseRecord, MachineRecord, OwnerKind, PlanKind, StoreError, Tx,
};

impl Control {
    /// Creates a machine and begins to prepare it; it starts by itself unless `skip_launch`.
    ///
    /// # Errors
    /// [`ControlError::NotFound`] for app or image, [`ControlError::Taken`] for its name,
    /// [`ControlError::Refused`] when the host has no room for it: now, if it is to start, else ever.
    pub async fn create_machine(&self, mut wish: CreateMachine) -> Answer<Created> {
        let app = self.app(&wish.app)?;
        self.give_secrets(&app.name, wish.min_secrets_version, &mut wish.spec)?;
        self.inner.refuse_when_nearly_full()?;
        if wish.leaves_engine_open {
            self.choose_engine(&mut wish.spec).await;
        } else if wish.spec.engine == EngineKind::Microvm {
            self.inner.vms.check()?;
        }
        let room = self.room_for(&wish)?;
        let image = self.image_of(&wish.spec.image, wish.spec.engine, &wish.access).await?;
        failpoint::hit("create.resolved");
        let founding =
            Founding::of(&self.inner, wish.policy.as_deref(), &wish.config, &image.config)?;
        let record = self.insert(&wish, &app, &image, &founding).await?;
        if let Some(target) = image.target {
            self.inner.pulls.wish(&record.id, target);
        }
        self.inner.watchers.notify(&record.id, record.machine.revision);
        self.inner.news.send_replace(());
        if let Some(room) = room
            && let Err(error) = self.inner.tell(&record.id, Command::Promise(room))
        {
            tracing::warn!(machine = %record.id, %error, "it is counted when it starts");
        }
        plans::go_on(&self.inner, &record.id);
        Ok(Created { record, cached_because: image.cached_because })
    }

    /// A virtual machine where KVM runs guests, else a container: who leaves it to the host gets no
    /// emulated processor.
    async fn choose_engine(&self, spec: &mut MachineSpec) {
        let inner = Arc::clone(&self.inner);
        let look = move || inner.vms.check().and_then(|()| inner.vms.accel(&inner.disks).cloned());
        let is_kvm = match off_runtime(look).await {
            Ok(found) => found.accel == Accel::Kvm,
            Err(error) => {
                tracing::info!(%error, "no virtual machines here");
                false
            }
        };
        spec.engine = if is_kvm { EngineKind::Microvm } else { EngineKind::Container };
        spec.needs_kvm = is_kvm;
    }

    /// Promises room to a machine that is to start; one that is not must fit an empty host.
    fn room_for(&self, wish: &CreateMachine) -> Answer<Option<Reservation>> {
        let (capacity, size) = (&self.inner.capacity, wish.spec.guest);
        let promised = if wish.skip_launch {
            capacity.fit_alone(size).map(|()| None)
        } else {
            capacity.reserve(size).map(Some)
        };
        promised.map_err(|why| ControlError::Refused(model::Refused::Capacity(why)))
    }

    /// Stores the machine; its network gets a further IPv4 block when all its addresses are used.
    async fn insert(
        &self,
        wish: &CreateMachine,
        app: &AppRecord,
        image: &MachineImage,
        founding: &Founding,
    ) -> Answer<MachineRecord> {
        let draw = Draw::new(self.network_id(app)?, wish.name.is_some());
        loop {
            match self.try_insert(wish, app, image, founding, draw).await {
                Ok(Some(record)) => return Ok(record),
                Ok(None) => self.widen_network(app).await?,
                Err(StoreError::Taken { what }) if what.contains("name") && wish.name.is_some() => {
                    let name = wish.name.clone().unwrap_or_default();
                    return Err(ControlError::Taken { what: "machine", name });
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The image that a reference names for this caller, here or in its registry.
    async fn image_of(
        &self,
        reference: &str,
        engine: EngineKind,
        access: &ImageAccess,
    ) -> Answer<MachineImage> {
        if engine == EngineKind::Fake {
            return Ok(fake_image(reference));
        }
        Ok(match pulls::find(&self.inner, reference, access).await? {
            Found::Here { record, cached_because } => MachineImage {
                image: record.image,
                config: record.config,
                target: None,
                cached_because,
            },
            Found::Away(target) => MachineImage {
                image: target.image_ref(),
                config: target.config(),
                target: Some(target),
                cached_because: None,
            },
        })
    }

    /// Stores machine, version, first event, image reference and plan in one transaction, which gives
    /// it its addresses; `None` when there are none left.
    async fn try_insert(
        &self,
        wish: &CreateMachine,
        app: &AppRecord,
        image: &MachineImage,
        founding: &Founding,
        draw: Draw,
    ) -> Result<Option<MachineRecord>, StoreError> {
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
        let mut record = MachineRecord {
            id: MachineId::from_random(chance()),
            app: wish.app.clone(),
            name: wish.name.clone().unwrap_or_default(),
            version,
            machine: begun.machine,
            spec: wish.spec.clone(),
            config: wish.config.clone(),
            image: image.image.clone(),
            image_config: image.config.clone(),
            v6: Ipv6Addr::UNSPECIFIED,
            v4: Ipv4Addr::UNSPECIFIED,
            region: self.inner.config.region.clone(),
            cordoned: wish.is_cordoned,
            lease,
            generation: 0,
            created_at: now,
            updated_at: now,
        };
        let app = app.clone();
        let selfhood = founding.stored(&record.id);
        let is_stored_image = wish.spec.engine != EngineKind::Fake;
        let news = begun.news;
        self.inner
            .store
            .write("machine.create", move |tx| {
                if !draw.give(tx, &app, &mut record)? {
                    return Ok(None);
                }
                tx.insert_machine(&record)?;
                if is_stored_image {
                    tx.add_ref(OwnerKind::Machine, record.id.as_str(), &record.image.digest)?;
                    expect_image(tx, &record, now)?;
                }
                for news in news {
                    let id = new_event_id(now);
                    let machine = record.id.clone();
                    tx.append_event(&EventRecord { id, machine, at: now, news })?;
                }
                if let Some(selfhood) = selfhood {
                    selfhood.write(tx)?;
                }
                plans::begin(tx, &record.id, PlanKind::Create, now)?;
                Ok(Some(record))
            })
            .await
    }

    /// Puts a new version in place; a running machine restarts on it, any other stays down unless the
    /// wish says otherwise. On another image it gets a fresh
    /// disk, and the old one is kept for [`crate::CHECKPOINT_RETENTION`].
    ///
    /// # Errors
    /// [`ControlError::StaleVersion`], [`ControlError::Precondition`] for another image while the
    /// disk is pinned to its own, or as for a create.
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
        let image = self.image_of(&wish.spec.image, record.spec.engine, &wish.access).await?;
        if image.image.digest != record.image.digest {
            refuse_pinned(&record.spec.rootfs, &wish.spec.rootfs)?;
        }
        let now = model::clock::now();
        let mut spec = wish.spec;
        self.give_secrets(&record.app, wish.min_secrets_version, &mut spec)?;
        // Who asks for a virtual machine gets one with or without.
        spec.needs_kvm = record.spec.needs_kvm && spec.engine != EngineKind::Microvm;
        spec.engine = record.spec.engine;
        spec.rootfs.size_gib = record.spec.rootfs.size_gib;
        let changed = MachineRecord {
            version: new_version_id(now),
            spec,
            config: wish.config,
            image: image.image,
            image_config: image.config,
            updated_at: now,
            ..record
        };
        let (launch, expected, policy) = (wish.launch, wish.current_version, wish.policy);
        let change = Box::new(VersionChange { record: changed, expected, launch, policy });
        if let Some(target) = image.target {
            self.inner.pulls.wish(id, target);
        }
        let updated = self.ask(id, |reply| Command::Update { cause, change, reply }).await;
        if updated.is_err() {
            self.inner.pulls.forget(id);
        }
        updated
    }
}

/// Another image is no business of a disk that is to live through every update.
fn refuse_pinned(now: &RootfsSpec, wished: &RootfsSpec) -> Answer<()> {
    if now.persist != Persist::Always && wished.persist != Persist::Always {
        return Ok(());
    }
    Err(ControlError::Precondition {
        code: "image_change",
        message: "its disk is pinned to its image by `rootfs.persist: always`".to_owned(),
        hint: "update it to `rootfs.persist: restart` on its present image first, or create a new \
               machine from the other image",
    })
}

/// The image of a machine to be.
struct MachineImage {
    image: ImageRef,
    /// What it says of its programs, with its labels: read before any layer comes.
    config: ImageConfig,
    /// Set when it is still in its registry.
    target: Option<Target>,
    cached_because: Option<String>,
}

/// Notes that the image is used. One that came from a file and has just been removed cannot be had
/// again; any other is pulled again by the plan.
fn expect_image(tx: &Tx<'_>, machine: &MachineRecord, now: UnixMs) -> Result<(), StoreError> {
    let image = &machine.image;
    if tx.touch_image(&image.digest, now)? || image.registry != LOCAL {
        return Ok(());
    }
    Err(StoreError::NotFound { kind: "image", key: image.digest.to_string() })
}

/// The fake engine needs no image; this is what its machines show.
fn fake_image(reference: &str) -> MachineImage {
    let digest = format!("sha256:{:0>64}", "0").parse().expect("64 zeros are a digest");
    let image = ImageRef {
        registry: "fake".to_owned(),
        repository: reference.to_owned(),
        tag: "latest".to_owned(),
        digest,
    };
    let config = ImageConfig::default();
    MachineImage { image, config, target: None, cached_because: None }
}
