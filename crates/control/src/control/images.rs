//! Images: brought from registries and files, looked at, and removed.

use super::{Answer, Control};
use crate::error::ControlError;
use crate::facade::{ImageDetail, ImageInfo, PruneImages, PrunedImages, PullHandle, PullImage};
use crate::inner::Inner;
use crate::pulls::{self, Found, Job};
use image::{Document, ImportSource, Keep, PruneCandidate, PrunePlan, plan_prune};
use model::spec::ImageRef;
use model::{Digest, MachineId, UnixMs};
use std::collections::HashSet;
use store::{ImageRecord, StoreError};

impl Control {
    /// Begins to bring an image from its registry, or joins those who do. It goes on when the handle
    /// is dropped.
    ///
    /// # Errors
    /// The reference names nothing that this caller may have, the registry cannot be asked, or the
    /// host has no room. What goes wrong later is told by the handle.
    pub async fn pull_image(&self, wish: PullImage) -> Answer<PullHandle> {
        self.inner.refuse_when_nearly_full()?;
        let PullImage { reference, access } = wish;
        let (job, cached_because) = match pulls::find(&self.inner, &reference, &access).await? {
            Found::Here { record, cached_because } => (Job::done(record), cached_because),
            Found::Away(target) => (pulls::join(&self.inner, target), None),
        };
        Ok(PullHandle::new(self.clone(), job, cached_because))
    }

    /// Brings an image file, a stream of one, or a directory with an OCI layout into the store under
    /// a name.
    ///
    /// # Errors
    /// [`ControlError::Image`], [`ControlError::DiskPressure`].
    pub async fn import_image(
        &self,
        source: ImportSource<'static>,
        name: String,
    ) -> Answer<ImageRecord> {
        self.inner.refuse_when_nearly_full()?;
        let origin = match &source {
            ImportSource::Path(path) => path.display().to_string(),
            ImportSource::Reader(_) => "a stream".to_owned(),
        };
        let imported =
            self.blocking(move |inner| Ok(inner.images.import(source, &name, &())?)).await?;
        let now = model::clock::now();
        let record = ImageRecord {
            image: imported.image_ref,
            config: imported.config,
            size_bytes: imported.size_bytes,
            created_at: now,
            last_used_at: now,
            source: origin,
            is_private: false,
        };
        let stored = record.clone();
        self.inner
            .store
            .write("image.import", move |tx| {
                tx.put_image(&stored)?;
                tx.put_tag(&stored.image, &stored.image.digest)
            })
            .await?;
        let digest = record.image.digest.clone();
        self.blocking(move |inner| Ok(inner.images.claim(&digest)?)).await?;
        Ok(record)
    }

    /// All images, last used first.
    ///
    /// # Errors
    /// What the store said.
    pub fn images(&self) -> Answer<Vec<ImageInfo>> {
        let mut records = self.inner.store.read(|reader| reader.images())?;
        records.sort_by_key(|record| std::cmp::Reverse(record.last_used_at));
        infos(&self.inner, records)
    }

    /// All that is known of an image.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub fn image(&self, digest: &Digest) -> Answer<ImageDetail> {
        let (record, machines) = self
            .inner
            .store
            .read(|reader| Ok((reader.image(digest)?, reader.machines_of_image(digest)?)))?;
        let record = record.ok_or(ControlError::NotFound { what: "image" })?;
        let config = record.config.clone();
        let info = infos(&self.inner, vec![record])?.remove(0);
        Ok(ImageDetail { info, config, layers: layers(&self.inner, digest), machines })
    }

    /// Removes images that nobody uses, with what is left of pulls that ended early.
    ///
    /// # Errors
    /// What the host refused; what was removed before stays removed.
    pub async fn prune_images(&self, wish: PruneImages) -> Answer<PrunedImages> {
        self.blocking(move |inner| {
            let (records, shelf): (Vec<_>, Vec<_>) = pulls::shelf(inner)?.into_iter().unzip();
            let mut plan = plan_of(&shelf, wish, model::clock::now());
            let doomed = infos(inner, in_order(&plan, records))?;
            if !wish.dry_run {
                let let_go = |digest: &Digest| pulls::is_let_go(inner, digest);
                let outcome = inner.images.prune(&plan, let_go, model::clock::now())?;
                plan.images.retain(|(digest, _)| outcome.removed.contains(digest));
            }
            let is_gone = |info: &ImageInfo| {
                plan.images.iter().any(|(digest, _)| *digest == info.image.digest)
            };
            Ok(PrunedImages {
                removed: doomed.into_iter().filter(is_gone).collect(),
                freed_bytes: plan.freed_bytes(),
            })
        })
        .await
    }

    /// Removes an image that no machine uses.
    ///
    /// # Errors
    /// [`ControlError::Precondition`] when a machine uses it, [`ControlError::NotFound`].
    pub async fn remove_image(&self, digest: &Digest) -> Answer<()> {
        let digest = digest.clone();
        self.blocking(move |inner| remove(inner, &digest)).await
    }

    /// Machines that use an image.
    ///
    /// # Errors
    /// What the store said.
    pub fn machines_of_image(&self, digest: &Digest) -> Answer<Vec<MachineId>> {
        Ok(self.inner.store.read(|reader| reader.machines_of_image(digest))?)
    }
}

fn remove(inner: &Inner, digest: &Digest) -> Answer<()> {
    if inner.store.read(|reader| reader.image(digest))?.is_none() {
        return Err(ControlError::NotFound { what: "image" });
    }
    let mut refusal = None;
    let is_removed = inner.images.remove_if(digest, || {
        let let_go = match inner.pulls.is_wanted(digest) {
            true => Err(in_use(format!("image {digest} is being pulled"))),
            false => pulls::let_go(inner, digest),
        };
        let_go.map_err(|error| refusal = Some(error)).is_ok()
    })?;
    match refusal {
        Some(ControlError::Store(StoreError::Referenced { referrers, .. })) => {
            Err(in_use(format!("{referrers} machines use image {digest}")))
        }
        Some(error) => Err(error),
        None => {
            debug_assert!(is_removed, "whoever lets go removes");
            Ok(())
        }
    }
}

fn in_use(message: String) -> ControlError {
    ControlError::Precondition {
        code: "image_in_use",
        message,
        hint: "destroy the machines that use it first",
    }
}

/// What goes: an image for which each condition holds.
fn plan_of(shelf: &[PruneCandidate], wish: PruneImages, now: UnixMs) -> PrunePlan {
    let last = wish.keep_last.map(|n| Keep::Last(usize::try_from(n).unwrap_or(usize::MAX)));
    let since = wish.older_than.map(|age| Keep::UsedSince(UnixMs(now.0.saturating_sub(age.0))));
    let conditions = [last, since, wish.max_bytes.map(Keep::Bytes)];
    let mut plan = plan_prune(shelf, Keep::Nothing);
    for keep in conditions.into_iter().flatten() {
        let also: HashSet<Digest> =
            plan_prune(shelf, keep).images.into_iter().map(|(digest, _)| digest).collect();
        plan.images.retain(|(digest, _)| also.contains(digest));
    }
    plan
}

/// The records of a plan's images, in its order.
fn in_order(plan: &PrunePlan, mut records: Vec<ImageRecord>) -> Vec<ImageRecord> {
    let place = |record: &ImageRecord| {
        plan.images.iter().position(|(digest, _)| *digest == record.image.digest)
    };
    records.retain(|record| place(record).is_some());
    records.sort_by_key(place);
    records
}

fn infos(inner: &Inner, records: Vec<ImageRecord>) -> Answer<Vec<ImageInfo>> {
    let (machines, mut tags) =
        inner.store.read(|reader| Ok((reader.machines_by_image()?, reader.tags_by_image()?)))?;
    let sizes = inner.images.sizes()?;
    let info = |record: ImageRecord| {
        let digest = &record.image.digest;
        // One that is lost or damaged is still in the record: it is pulled again when it is needed.
        let sizes = sizes.get(digest);
        let tags = tags.remove(digest).unwrap_or_default();
        ImageInfo {
            size_bytes: sizes.map_or(record.size_bytes, |sizes| sizes.size_bytes),
            shared_bytes: sizes.map_or(0, |sizes| sizes.shared_bytes),
            created_at: record.created_at,
            last_used_at: record.last_used_at,
            n_machines: machines.get(digest).copied().unwrap_or(0),
            is_private: record.is_private,
            source: record.source,
            image: name_now(record.image, &tags),
            tags,
        }
    };
    Ok(records.into_iter().map(info).collect())
}

/// The name that an image came by, without its tag when that leads elsewhere now.
fn name_now(image: ImageRef, tags: &[String]) -> ImageRef {
    let ImageRef { registry, repository, tag, .. } = &image;
    match tags.contains(&format!("{registry}/{repository}:{tag}")) {
        true => image,
        false => ImageRef { tag: String::new(), ..image },
    }
}

/// The layers of an image that came with a manifest, as that has them.
fn layers(inner: &Inner, digest: &Digest) -> Vec<(Digest, u64)> {
    let blobs = inner.images.meta(digest).map(|meta| meta.blobs).unwrap_or_default();
    let manifest = blobs.iter().find_map(|blob| {
        let path = inner.config.data_dir.join("blobs/sha256").join(blob.hex());
        match Document::read(blob.as_str(), "", &std::fs::read(path).ok()?) {
            Ok(Document::Manifest(manifest)) => Some(manifest),
            Ok(Document::Index(_)) | Err(_) => None,
        }
    });
    let layers = manifest.map(|manifest| manifest.layers).unwrap_or_default();
    layers.into_iter().map(|layer| (layer.digest, layer.size_bytes)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::DurationMs;

    /// Images 1 to 4, used at 10, 20, 30 and 40 s, of a hundred bytes each; the first is in use.
    fn shelf() -> Vec<PruneCandidate> {
        let image = |n: u64| PruneCandidate {
            digest: format!("sha256:{n:064}").parse().expect("64 digits"),
            size_bytes: 100,
            last_used_at: UnixMs(n * 10_000),
            is_in_use: n == 1,
        };
        (1..=4).map(image).collect()
    }

    #[track_caller]
    fn check(wish: PruneImages, expected: &[u64]) {
        let plan = plan_of(&shelf(), wish, UnixMs(50_000));
        let numbers = plan.images.iter().map(|(digest, _)| digest.hex().parse().expect("digits"));
        assert_eq!(numbers.collect::<Vec<u64>>(), expected, "{wish:?}");
    }

    #[test]
    fn each_condition_keeps_what_it_names() {
        let all = PruneImages::default();
        check(all, &[2, 3, 4]);
        let old = Some(DurationMs::from_secs(15));
        check(PruneImages { older_than: old, ..all }, &[2, 3]);
        check(PruneImages { keep_last: Some(2), ..all }, &[2]);
        check(PruneImages { max_bytes: Some(200), ..all }, &[2, 3]);
        check(PruneImages { keep_last: Some(2), older_than: old, ..all }, &[2]);
        check(PruneImages { keep_last: Some(3), max_bytes: Some(0), ..all }, &[]);
    }
}
