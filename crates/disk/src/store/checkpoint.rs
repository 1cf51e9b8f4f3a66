//! Disks set aside: the old one of a machine that runs another image now.
//!
//! ```text
//! <data>/machines/<id>/checkpoints/<name>/disk.json   its record, as it was
//! <data>/machines/<id>/checkpoints/<name>/disk.ext4   the disk; it comes last and makes it exist
//! ```
//!
//! Nothing is copied: the file is renamed. A checkpoint goes away with its machine, or by itself.

use super::{DiskStore, size_bytes};
use crate::DOOR;
use crate::error::DiskError;
use crate::lock::DiskLock;
use crate::record::{DiskRecord, RECORD_FILE};
use model::ids::{Digest, MachineId};
use std::path::PathBuf;
use std::time::Duration;

/// Longest wait for the kernel to detach the disk of a run that has just ended.
const PATIENCE: Duration = Duration::from_secs(5);

impl DiskStore {
    /// Moves the machine's disk aside under `name` if it was used on another base than `base`;
    /// answers the record of what lies under that name, moved now or by an earlier call.
    ///
    /// # Errors
    /// [`DiskError::InUse`] while the machine runs; else [`DiskError::Io`], and a repeat helps.
    pub fn set_aside(
        &self,
        machine: &MachineId,
        base: &Digest,
        name: &str,
    ) -> Result<Option<DiskRecord>, DiskError> {
        let place = self.checkpoint_dir(machine, name);
        if place.join("disk.ext4").exists() {
            return DiskRecord::load(&place.join(RECORD_FILE));
        }
        let old = match self.record(machine) {
            Ok(old) if old.base_digest != *base && old.attach.is_some() => old,
            Ok(_) | Err(DiskError::Missing { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let disk = self.disk_path(machine);
        let _held = DiskLock::hold(&disk, PATIENCE)?;
        durable::make_dir(&place)?;
        durable::sync_parent(&place)?;
        durable::sync_parent(&self.checkpoints_dir(machine))?;
        old.save(&self.temporary(), &place.join(RECORD_FILE))?;
        DOOR.rename(&disk, &place.join("disk.ext4"))?;
        durable::sync_parent(&disk)?;
        Ok(Some(old))
    }

    /// Puts an empty disk on another base in the place of the machine's, whatever that holds.
    ///
    /// # Errors
    /// [`DiskError::InUse`] while the machine runs; else as for a create.
    pub fn rebase(
        &self,
        machine: &MachineId,
        size_gib: u32,
        base: &Digest,
    ) -> Result<DiskRecord, DiskError> {
        let disk = self.disk_path(machine);
        let _held = match disk.exists() {
            true => Some(DiskLock::hold(&disk, PATIENCE)?),
            false => None,
        };
        self.ensure_template(size_gib)?;
        let fresh = DiskRecord::unused(base.clone(), size_bytes(size_gib)?);
        self.place_fresh(machine, size_gib, &fresh)?;
        Ok(fresh)
    }

    /// Removes what was set aside under `name`; does nothing when that was done before.
    ///
    /// # Errors
    /// [`DiskError::Io`], and a repeat helps.
    pub fn remove_checkpoint(&self, machine: &MachineId, name: &str) -> Result<(), DiskError> {
        let place = self.checkpoint_dir(machine, name);
        if !place.exists() {
            return Ok(());
        }
        let doomed = self.temporary();
        DOOR.rename(&place, &doomed)?;
        durable::sync_parent(&place)?;
        Ok(durable::remove_tree(&doomed)?)
    }

    fn checkpoints_dir(&self, machine: &MachineId) -> PathBuf {
        self.machine_dir(machine).join("checkpoints")
    }

    fn checkpoint_dir(&self, machine: &MachineId, name: &str) -> PathBuf {
        self.checkpoints_dir(machine).join(name)
    }
}
