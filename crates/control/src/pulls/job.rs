//! One pull, from the manifest to the record.

use super::board::{Board, Brought};
use super::fetch::Fetcher;
use super::find::Use;
use super::{JobKey, LOCAL, Pulls, find};
use crate::blocking::off_runtime;
use crate::error::ControlError;
use crate::facade::{ImageAccess, ImageCaller};
use crate::inner::Inner;
use bytes::Bytes;
use image::{ImageError, Pull};
use model::Digest;
use model::pressure::{NEW_REFUSED_BELOW, Room};
use model::spec::ImageConfig;
use registry::{Credentials, Platform, Reference, RegistryError, Repository, Resolved};
use std::sync::Arc;
use std::time::Duration;
use store::{ImageRecord, MachineRecord};
use tokio::sync::OnceCell;

/// Longest time to find out what a reference names: a person waits for the answer.
pub(super) const RESOLVE_MAX: Duration = Duration::from_secs(30);

/// Bytes that an image needs while it is made, for each byte of its blobs: the blobs, the unpacked
/// tree and the packed file system. Measured: layers grow two- to threefold when unpacked.
const ROOM_FACTOR: u64 = 3;

/// An image to be pulled: what it is, where it is, and who asks.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// The image by its digest.
    reference: Reference,
    digest: Digest,
    access: ImageAccess,
    /// What it is made of, if that is known already.
    resolved: Option<Arc<Resolved>>,
    config: SharedConfig,
    /// Whether it was found by its tag: a tag beside a digest proves nothing.
    is_by_tag: bool,
}

/// The config of an image, read before any of its layers comes: once for all who wait for the image.
pub(super) type SharedConfig = Arc<OnceCell<Arc<ConfigBlob>>>;

/// The config of an image.
#[derive(Debug)]
pub(super) struct ConfigBlob {
    /// As it came: one of the image's blobs.
    bytes: Bytes,
    /// What it says of the image's programs.
    config: ImageConfig,
}

impl ConfigBlob {
    /// Fetches it.
    pub(super) async fn read(
        repository: &Repository,
        resolved: &Resolved,
    ) -> Result<Arc<Self>, ControlError> {
        let bytes = repository.small_blob(&resolved.config).await?;
        let config = image::config_of(&resolved.config.digest, &bytes)?;
        Ok(Arc::new(Self { bytes, config }))
    }
}

impl Target {
    /// An image that was resolved for `access`; its config is still to be read.
    pub(super) fn new(reference: &Reference, resolved: Resolved, access: ImageAccess) -> Self {
        let digest = resolved.manifest_digest.clone();
        let is_by_tag = reference.digest().is_none();
        let reference = reference.pinned_to(digest.clone());
        let (resolved, config) = (Some(Arc::new(resolved)), SharedConfig::default());
        Self { reference, digest, access, resolved, config, is_by_tag }
    }

    /// Reads the config, unless somebody who waits for the same image has.
    pub(super) async fn with_config(
        self,
        pulls: &Pulls,
        repository: &Repository,
    ) -> Result<Self, ControlError> {
        let target = Self { config: pulls.config_of(&self.key()), ..self };
        if let Some(resolved) = &target.resolved {
            let read = || ConfigBlob::read(repository, resolved);
            target.config.get_or_try_init(read).await?;
        }
        Ok(target)
    }

    /// The image of a machine that was created when the image could be had; who asked then, and with
    /// what, is not known any more.
    pub(super) fn of_machine(record: &MachineRecord) -> Result<Self, ControlError> {
        let digest = record.image.digest.clone();
        if record.image.registry == LOCAL {
            return Err(ControlError::Image(ImageError::Missing { digest }));
        }
        let reference: Reference = record.spec.image.parse().map_err(RegistryError::from)?;
        let reference = reference.pinned_to(digest.clone());
        let access = ImageAccess::default();
        let config = SharedConfig::default();
        Ok(Self { reference, digest, access, resolved: None, config, is_by_tag: false })
    }

    pub(crate) fn digest(&self) -> &Digest {
        &self.digest
    }

    /// What names the image in records, once it is resolved.
    pub(crate) fn image_ref(&self) -> model::spec::ImageRef {
        self.reference.image_ref(self.digest.clone())
    }

    /// What the image says of its programs; nothing before its config has been read.
    pub(crate) fn config(&self) -> ImageConfig {
        self.config.get().map(|blob| blob.config.clone()).unwrap_or_default()
    }

    /// What was asked for, and where its tag points.
    pub(super) fn wanted(&self) -> Use {
        let resolved = self.resolved.as_ref().filter(|_| self.is_by_tag);
        Use {
            image: self.image_ref(),
            points_to: resolved.map(|resolved| resolved.tag_digest.clone()),
            caller: self.access.caller.clone(),
        }
    }

    pub(super) fn key(&self) -> JobKey {
        JobKey {
            digest: self.digest.clone(),
            registry: self.reference.registry().served_by().to_owned(),
            repository: self.reference.repository().to_owned(),
            is_owners: self.access.caller == ImageCaller::Owner,
        }
    }
}

/// Brings the image, when its turn comes.
pub(super) async fn run(
    inner: &Arc<Inner>,
    target: &Target,
    board: &Board,
) -> Result<Brought, ControlError> {
    let pulls = &inner.pulls;
    let lock = pulls.lock_of(&target.digest);
    let _alone = lock.lock().await;
    let _turn = pulls.turns.take(&target.access.caller).await;
    if let Some(record) = find::here(inner, &target.digest).await?
        && !record.is_private
    {
        let wanted = target.wanted();
        inner.store.write("image.use", move |tx| wanted.note(tx)).await?;
        return Ok(Brought { record, is_new: false });
    }
    let access = pulls.registries.with_credentials(&target.reference, &target.access)?;
    let repository = pulls.registries.repository(&target.reference, &access)?;
    let resolved = match &target.resolved {
        Some(resolved) => Arc::clone(resolved),
        None => Arc::new(repository.resolve(&Platform::host()).await?),
    };
    let config = target.config.get_or_try_init(|| ConfigBlob::read(&repository, &resolved)).await?;
    let is_private = needs_credentials(inner, target, &access).await?;
    failpoint::hit("pull.resolved");
    let pull = begin(inner, &resolved, config).await?;
    board.list(&pull.blobs());
    let pull = fetch(pull, repository, board).await?;
    failpoint::hit("pull.fetched");
    let (store, derived, name) = (Arc::clone(inner), board.clone(), resolved.image_ref.clone());
    let imported = off_runtime(move || Ok(store.images.derive(pull, name, &derived)?)).await?;
    failpoint::hit("pull.derived");
    let now = model::clock::now();
    let record = ImageRecord {
        image: imported.image_ref,
        config: imported.config,
        size_bytes: imported.size_bytes,
        created_at: now,
        last_used_at: now,
        source: "registry".to_owned(),
        is_private,
    };
    let record = note(inner, record, target.wanted()).await?;
    Ok(Brought { record, is_new: imported.is_new })
}

/// Whether the image is only for those who show credentials.
///
/// Also when nobody can tell: a secret that was shown to the wrong people cannot be taken back.
async fn needs_credentials(
    inner: &Inner,
    target: &Target,
    access: &ImageAccess,
) -> Result<bool, ControlError> {
    if access.credentials == Credentials::Anonymous {
        return Ok(false);
    }
    let anybody = inner.pulls.registries.anonymous(&target.reference, &access.caller)?;
    let seen = tokio::time::timeout(RESOLVE_MAX, anybody.head()).await;
    Ok(!matches!(seen, Ok(Ok(digest)) if digest == target.digest))
}

async fn begin(
    inner: &Arc<Inner>,
    resolved: &Arc<Resolved>,
    config: &Arc<ConfigBlob>,
) -> Result<Pull, ControlError> {
    let (store, resolved, config) = (Arc::clone(inner), Arc::clone(resolved), Arc::clone(config));
    off_runtime(move || {
        expect_room(&store, resolved.total_bytes())?;
        let manifest = resolved.manifest.to_vec();
        let pull = store.images.begin_pull("", manifest, Vec::new(), model::clock::now())?;
        pull.give_config(&config.bytes)?;
        Ok(pull)
    })
    .await
}

/// Refuses a pull after which there would be too little room for what is here.
fn expect_room(inner: &Inner, blob_bytes: u64) -> Result<(), ControlError> {
    inner.refuse_when_nearly_full()?;
    let room = disk::room(&inner.config.data_dir)?;
    let needed_bytes = blob_bytes.saturating_mul(ROOM_FACTOR);
    let free_bytes = room.free_bytes.saturating_sub(needed_bytes);
    if (Room { free_bytes, ..room }).free() < NEW_REFUSED_BELOW {
        return Err(ControlError::LittleRoom { needed_bytes, free_bytes: room.free_bytes });
    }
    Ok(())
}

async fn fetch(pull: Pull, repository: Repository, board: &Board) -> Result<Pull, ControlError> {
    let pull = Arc::new(pull);
    let fetcher = Fetcher { pull: Arc::clone(&pull), repository, board: board.clone() };
    fetcher.fetch_all().await?;
    Arc::try_unwrap(pull)
        .map_err(|_shared| ControlError::Bug { message: "a pull is held too long".to_owned() })
}

/// Records the image, and who may use it.
async fn note(
    inner: &Arc<Inner>,
    record: ImageRecord,
    wanted: Use,
) -> Result<ImageRecord, ControlError> {
    let digest = record.image.digest.clone();
    let noted = inner.store.write("image.pull", move |tx| {
        tx.put_image(&record)?;
        wanted.note(tx)?;
        tx.image(&record.image.digest)
    });
    let record = noted.await?.ok_or(ControlError::NotFound { what: "image" })?;
    failpoint::hit("pull.recorded");
    let store = Arc::clone(inner);
    off_runtime(move || Ok(store.images.claim(&digest)?)).await?;
    Ok(record)
}
