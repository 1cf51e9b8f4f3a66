//! The image of a machine that is being created or updated: a step of its plan.

use super::{Target, find, join};
use crate::blocking::off_runtime;
use crate::error::ControlError;
use crate::inner::Inner;
use crate::recover;
use image::ImageError;
use model::MachineId;
use model::spec::EngineKind;
use std::sync::Arc;
use store::{ImageRecord, MachineRecord};

/// Brings the machine's image if it is not here, tells the machine what the image says of its
/// programs, and mounts it; a virtual machine gets its template. Running it twice does no harm.
pub(crate) async fn prepare(inner: &Arc<Inner>, machine: &MachineId) -> Result<(), ControlError> {
    let Some(record) = inner.store.read(|reader| reader.machine(machine))? else {
        return Err(ControlError::NotFound { what: "machine" });
    };
    match record.spec.engine {
        EngineKind::Container | EngineKind::Microvm => {}
        EngineKind::Fake => return Ok(()),
    }
    let image = bring(inner, &record).await?;
    note(inner, &record, image).await?;
    if record.spec.engine == EngineKind::Microvm {
        let (inner, size) = (Arc::clone(inner), record.spec.guest);
        let for_pools = Arc::clone(&inner);
        let ensure = move || {
            let shape = inner.vms.shape_of(&inner.disks, size)?;
            inner.warm.want(shape);
            inner.vms.ensure(&inner.disks, shape).map(drop)
        };
        off_runtime(ensure).await?;
        // Nobody waits for them.
        drop(tokio::task::spawn_blocking(move || recover::fill_pools(&for_pools)));
    }
    match mount(inner, &record).await {
        // A damaged image shows when it is mounted, and has been put away.
        Err(ControlError::Image(ImageError::Damaged { .. } | ImageError::Missing { .. })) => {
            bring(inner, &record).await?;
            mount(inner, &record).await
        }
        mounted => mounted,
    }
}

async fn bring(inner: &Arc<Inner>, record: &MachineRecord) -> Result<ImageRecord, ControlError> {
    let digest = &record.image.digest;
    if let Some(image) = find::here(inner, digest).await? {
        return Ok(image);
    }
    let wish = inner.pulls.wish_of(&record.id).filter(|target| target.digest() == digest);
    let target = wish.map_or_else(|| Target::of_machine(record), Ok)?;
    Ok(join(inner, target).outcome().await?.record)
}

/// Tells the machine what its programs need, if an older release stored it before that was known, and
/// lets its app use the image again: whoever runs it has it.
async fn note(
    inner: &Inner,
    record: &MachineRecord,
    image: ImageRecord,
) -> Result<(), ControlError> {
    if image.config == record.image_config && !image.is_private {
        return Ok(());
    }
    failpoint::hit("pull.config");
    let (id, version, app) = (record.id.clone(), record.version.clone(), record.app.clone());
    let write = inner.store.write("machine.image_config", move |tx| {
        if image.is_private {
            tx.grant_image(&image.image.digest, app.as_str())?;
        }
        tx.put_image_config(&id, &version, &image.config)
    });
    Ok(write.await?)
}

async fn mount(inner: &Arc<Inner>, record: &MachineRecord) -> Result<(), ControlError> {
    let (inner, digest) = (Arc::clone(inner), record.image.digest.clone());
    off_runtime(move || Ok(inner.images.mount(&digest).map(drop)?)).await
}
