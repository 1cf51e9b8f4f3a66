//! The steps of plans. Each looks at the world first, so that running it twice does no harm.

use crate::checkpoints::CHECKPOINT_RETENTION;
use crate::error::ControlError;
use crate::inner::{Inner, new_event_id};
use crate::leftovers;
use crate::orders;
use disk::{DiskError, DiskRecord};
use model::effect::NewsSource;
use model::spec::{EngineKind, Persist};
use model::{MachineId, News, NewsKind};
use std::time::Duration;
use store::{CheckpointRecord, EventRecord, MachineRecord, OwnerKind, PlanKind};

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
        (PlanKind::Update, "keep") => keep_old_disk(inner, &record),
        (PlanKind::Create | PlanKind::Update, "disk") => make_place(inner, &record),
        (PlanKind::Destroy, "leftovers") => reap_leftovers(inner, &record),
        (PlanKind::Destroy, "disk") => Ok(inner.disks.remove(machine)?),
        (PlanKind::Destroy, "references") => forget(inner, machine),
        _ => Err(ControlError::UnknownStep { step: format!("{}.{step}", super::word(kind)) }),
    }
}

/// What the labels of a fake machine order of a step: how long it takes, and whether it fails.
pub(super) fn played(
    inner: &Inner,
    machine: &MachineId,
    kind: PlanKind,
    step: &str,
) -> Result<Option<(Duration, bool)>, ControlError> {
    let (slow, fails) = match (kind, step) {
        (PlanKind::Create | PlanKind::Update, "disk") => ("fake.prepare_ms", "fake.prepare_fails"),
        (PlanKind::Destroy, "disk") => ("fake.remove_ms", ""),
        _ => return Ok(None),
    };
    let record = inner.store.read(|reader| reader.machine(machine))?;
    Ok(record.filter(|record| record.spec.engine == EngineKind::Fake).map(|record| {
        let label = |knob: &str| record.spec.metadata.get(knob);
        let ms = label(slow).and_then(|text| text.parse().ok()).unwrap_or(0);
        (Duration::from_millis(ms), label(fails).is_some_and(|text| text == "true"))
    }))
}

/// Sets the disk of another image aside, and from then on needs only the machine's own image.
fn keep_old_disk(inner: &Inner, record: &MachineRecord) -> Result<(), ControlError> {
    if record.spec.engine == EngineKind::Fake {
        return Ok(());
    }
    let old = match record.spec.rootfs.persist {
        Persist::Never => None,
        Persist::Restart | Persist::Always => {
            inner.disks.set_aside(&record.id, &record.image.digest, record.version.as_str())?
        }
    };
    let checkpoint = old.map(|old| checkpoint_of(record, old));
    let (id, digest) = (record.id.clone(), record.image.digest.clone());
    inner.store.write_blocking("machine.keep", move |tx| {
        if let Some(checkpoint) = &checkpoint
            && tx.insert_checkpoint(checkpoint)?
        {
            tx.append_event(&news_of(checkpoint))?;
        }
        tx.remove_refs(OwnerKind::Machine, id.as_str())?;
        tx.add_ref(OwnerKind::Machine, id.as_str(), &digest)
    })?;
    inner.checkpoint_kept.notify_one();
    inner.news.send_replace(());
    Ok(())
}

fn checkpoint_of(record: &MachineRecord, old: DiskRecord) -> CheckpointRecord {
    let now = model::clock::now();
    CheckpointRecord {
        id: record.version.clone(),
        machine: record.id.clone(),
        base: old.base_digest,
        created_at: now,
        expires_at: now.plus(CHECKPOINT_RETENTION),
    }
}

/// Where the data went: told to whoever looks for it in the machine's events.
fn news_of(checkpoint: &CheckpointRecord) -> EventRecord {
    let hours = CHECKPOINT_RETENTION.to_std().as_secs() / 3_600;
    let message = format!(
        "the disk on image {} is kept for {hours} h as checkpoint {}",
        checkpoint.base, checkpoint.id
    );
    EventRecord {
        id: new_event_id(checkpoint.created_at),
        machine: checkpoint.machine.clone(),
        at: checkpoint.created_at,
        news: News {
            kind: NewsKind::Update,
            status: "replacing".to_owned(),
            source: NewsSource::Flyd,
            exit: None,
            cause: None,
            message: Some(message),
        },
    }
}

/// The last things that a machine waits for before it may run: its disk, and its egress rules, which
/// most machines have none of, so that a step of their own would be a commit for nothing.
fn make_place(inner: &Inner, record: &MachineRecord) -> Result<(), ControlError> {
    make_disk(inner, record)?;
    inner.egress_rules.settle(&inner.router, record)
}

/// The disk of the machine's image. One of another image is replaced only where nothing is lost: it
/// was never used, or is emptied at each start.
fn make_disk(inner: &Inner, record: &MachineRecord) -> Result<(), ControlError> {
    let (id, digest) = (&record.id, &record.image.digest);
    let size_gib = record.spec.rootfs.size_gib;
    match inner.disks.create(id, size_gib, digest) {
        Err(DiskError::Differs { .. }) if is_worthless(inner, record)? => {
            inner.disks.rebase(id, size_gib, digest)?;
        }
        made => drop(made?),
    }
    Ok(())
}

fn is_worthless(inner: &Inner, record: &MachineRecord) -> Result<bool, ControlError> {
    let is_unused = inner.disks.record(&record.id)?.attach.is_none();
    Ok(is_unused || record.spec.rootfs.persist == Persist::Never)
}

/// Nothing of the machine runs any more: what is left of it in the kernel goes.
fn reap_leftovers(inner: &Inner, record: &MachineRecord) -> Result<(), ControlError> {
    inner.egress_rules.lift(&inner.router, record)?;
    if record.spec.engine == EngineKind::Microvm {
        // It had the cgroup of a tap, which went with its last run. Fewer may have to be warm from now on.
        return inner.warm.look(inner);
    }
    leftovers::reap(&inner.config.shim_path, &orders::cgroup(inner.instance(), &record.id))
}

/// Gives the images free; the tombstone keeps the record for a while.
fn forget(inner: &Inner, machine: &MachineId) -> Result<(), ControlError> {
    let (id, now) = (machine.clone(), model::clock::now());
    let forget = inner.write_freeing("machine.forget", move |tx| {
        for checkpoint in tx.checkpoints_of(&id)? {
            tx.delete_checkpoint(&checkpoint.id)?;
        }
        tx.touch_images_of(OwnerKind::Machine, id.as_str(), now)?;
        tx.remove_refs(OwnerKind::Machine, id.as_str())
    });
    Ok(tokio::runtime::Handle::current().block_on(forget)?)
}
