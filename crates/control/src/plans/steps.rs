//! The steps of plans. Each looks at the world first, so that running it twice does no harm.

use crate::error::ControlError;
use crate::inner::Inner;
use crate::leftovers;
use crate::orders;
use model::MachineId;
use model::spec::EngineKind;
use store::{MachineRecord, OwnerKind, PlanKind};

/// Runs one step; blocking.
pub(super) fn run(
    inner: &Inner,
    machine: &MachineId,
    kind: PlanKind,
    step: &str,
) -> Result<(), ControlError> {
    let Some(record) = inner.store.read(|reader| reader.machine(machine))? else {
        return Err(ControlError::NotFound { what: "machine" });
    };
    match (kind, step) {
        (PlanKind::Create | PlanKind::Update, "image") => mount_image(inner, &record),
        (PlanKind::Create | PlanKind::Update, "disk") => make_disk(inner, &record),
        (PlanKind::Destroy, "leftovers") => reap_leftovers(inner, &record),
        (PlanKind::Destroy, "disk") => Ok(inner.disks.remove(machine)?),
        (PlanKind::Destroy, "references") => forget(inner, machine),
        _ => Err(ControlError::UnknownStep { step: format!("{}.{step}", super::word(kind)) }),
    }
}

fn mount_image(inner: &Inner, record: &MachineRecord) -> Result<(), ControlError> {
    match record.spec.engine {
        EngineKind::Container | EngineKind::Microvm => {
            inner.images.mount(&record.image.digest)?;
            Ok(())
        }
        EngineKind::Fake => Ok(()),
    }
}

fn make_disk(inner: &Inner, record: &MachineRecord) -> Result<(), ControlError> {
    let size_gib = record.spec.rootfs.size_gib;
    inner.disks.create(&record.id, size_gib, &record.image.digest)?;
    Ok(())
}

fn reap_leftovers(inner: &Inner, record: &MachineRecord) -> Result<(), ControlError> {
    leftovers::reap(&inner.config.shim_path, &orders::cgroup(inner.instance(), &record.id))
}

/// Gives the image free; the tombstone keeps the record for a while.
fn forget(inner: &Inner, machine: &MachineId) -> Result<(), ControlError> {
    let id = machine.clone();
    inner.store.write_blocking("machine.forget", move |tx| {
        tx.remove_refs(OwnerKind::Machine, id.as_str())
    })?;
    Ok(())
}
