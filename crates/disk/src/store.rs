//! The disks of all machines: made, found, removed.

mod checkpoint;

use crate::DOOR;
use crate::clone::clone_sparse;
use crate::error::DiskError;
use crate::lock::DiskLock;
use crate::record::{AttachKind, DiskRecord, RECORD_FILE};
use crate::template::{self, GIB};
use model::ids::{Digest, MachineId};
use model::spec::disk_dir_name;
use std::collections::HashSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Largest disk, in GiB: ext4 without room to grow is still formatted in under a second.
pub const DISK_SIZE_GIB_MAX: u32 = 2048;

/// Unit of `st_blocks`. Source: inode(7).
const STAT_BLOCK_BYTES: u64 = 512;

/// The disks below one data directory. Only the control process makes or removes them.
#[derive(Debug)]
pub struct DiskStore {
    data_dir: PathBuf,
    n_temporaries: AtomicU64,
}

impl DiskStore {
    /// Opens the store, making its directories, and clears what a crash left half-made.
    ///
    /// # Errors
    /// [`DiskError::Io`] when the data directory cannot be written.
    pub fn open(data_dir: &Path) -> Result<Self, DiskError> {
        let store = Self { data_dir: data_dir.to_owned(), n_temporaries: AtomicU64::new(0) };
        durable::remove_tree(&store.tmp_dir())?;
        for dir in [store.tmp_dir(), store.machines_dir(), store.data_dir.join("templates")] {
            durable::make_private_dir(&dir)?;
        }
        Ok(store)
    }

    /// Makes the disk of `machine`; finds it made already when the size and base agree.
    ///
    /// # Errors
    /// [`DiskError::SizeOutOfRange`] and [`DiskError::Differs`] are the caller's, [`DiskError::Mkfs`]
    /// and [`DiskError::Io`] the host's; nothing half-made is left.
    pub fn create(
        &self,
        machine: &MachineId,
        size_gib: u32,
        base_digest: &Digest,
    ) -> Result<DiskRecord, DiskError> {
        let wanted = DiskRecord::unused(base_digest.clone(), size_bytes(size_gib)?);
        match self.record(machine) {
            Ok(existing) => return agreeing(machine, existing, &wanted),
            Err(DiskError::Missing { .. }) => {}
            Err(error) => return Err(error),
        }
        self.ensure_template(size_gib)?;
        self.place_fresh(machine, size_gib, &wanted)?;
        Ok(wanted)
    }

    /// Makes sure that disks of this size can be created without formatting; returns what they are
    /// copies of, to be read only.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub fn ensure_template(&self, size_gib: u32) -> Result<PathBuf, DiskError> {
        let path = self.template_path(size_gib);
        template::ensure(&path, &self.temporary(), size_bytes(size_gib)?)?;
        Ok(path)
    }

    /// Takes the disk for attaching it as `kind`, which the first use fixes; waits at most
    /// `patience` for the run before to be detached. A shim, which must not open the store, calls
    /// [`DiskLock::acquire`] itself.
    ///
    /// # Errors
    /// [`DiskError::InUse`], [`DiskError::AttachDiffers`], [`DiskError::Missing`].
    pub fn lock(
        &self,
        machine: &MachineId,
        kind: AttachKind,
        patience: Duration,
    ) -> Result<DiskLock, DiskError> {
        self.record(machine)?;
        DiskLock::acquire(&self.disk_path(machine), kind, patience)
    }

    /// Removes the machine's directory with its disk; does nothing when that was done before.
    ///
    /// # Errors
    /// [`DiskError::InUse`] while the machine runs; else [`DiskError::Io`], and a repeat helps.
    pub fn remove(&self, machine: &MachineId) -> Result<(), DiskError> {
        let disk = self.disk_path(machine);
        let _held = match disk.exists() {
            true => Some(DiskLock::hold(&disk, Duration::ZERO)?),
            false => None,
        };
        let dir = self.machine_dir(machine);
        if !dir.exists() {
            return Ok(());
        }
        let doomed = self.temporary();
        DOOR.rename(&dir, &doomed)?;
        durable::sync_parent(&dir)?;
        Ok(durable::remove_tree(&doomed)?)
    }

    /// The record of the machine's disk.
    ///
    /// # Errors
    /// [`DiskError::Missing`], [`DiskError::BadRecord`], [`DiskError::UnknownFormat`].
    pub fn record(&self, machine: &MachineId) -> Result<DiskRecord, DiskError> {
        let missing = || DiskError::Missing { machine: machine.clone() };
        if !self.disk_path(machine).exists() {
            return Err(missing());
        }
        DiskRecord::load(&self.record_path(machine))?.ok_or_else(missing)
    }

    /// The machines that have a disk, in order of their ids.
    ///
    /// # Errors
    /// [`DiskError::Io`] when the directory cannot be read.
    pub fn list(&self) -> Result<Vec<MachineId>, DiskError> {
        let mut machines: Vec<MachineId> =
            self.dir_names()?.iter().filter_map(|name| name.parse().ok()).collect();
        machines.retain(|machine| self.disk_path(machine).exists());
        machines.sort();
        Ok(machines)
    }

    /// Bytes that the disk takes on the host, without its holes.
    ///
    /// # Errors
    /// [`DiskError::Io`] when there is no such disk.
    pub fn usage(&self, machine: &MachineId) -> Result<u64, DiskError> {
        let path = self.disk_path(machine);
        let metadata = std::fs::metadata(&path).map_err(DiskError::io("look at", &path))?;
        Ok(metadata.blocks() * STAT_BLOCK_BYTES)
    }

    /// Moves every directory of a machine not in `known` to the quarantine; returns where to.
    ///
    /// # Errors
    /// [`DiskError::Io`]; what was moved before stays moved.
    pub fn quarantine_unknown(
        &self,
        known: &HashSet<MachineId>,
    ) -> Result<Vec<PathBuf>, DiskError> {
        let is_known = |name: &String| name.parse().is_ok_and(|id| known.contains(&id));
        let names = self.dir_names()?;
        names.iter().filter(|name| !is_known(name)).map(|name| self.quarantine(name)).collect()
    }

    /// The machine's own directory, `machines/<id>`.
    #[must_use]
    pub fn machine_dir(&self, machine: &MachineId) -> PathBuf {
        self.data_dir.join(disk_dir_name(machine))
    }

    /// The machine's disk file.
    #[must_use]
    pub fn disk_path(&self, machine: &MachineId) -> PathBuf {
        self.machine_dir(machine).join("disk.ext4")
    }

    /// Clones the template and publishes record and disk; the disk comes last and makes it exist.
    fn place_fresh(
        &self,
        machine: &MachineId,
        size_gib: u32,
        record: &DiskRecord,
    ) -> Result<(), DiskError> {
        let dir = self.machine_dir(machine);
        durable::make_dir(&dir)?;
        durable::sync_parent(&dir)?;
        record.save(&self.temporary(), &self.record_path(machine))?;
        let tmp = self.temporary();
        let file = clone_sparse(&self.template_path(size_gib), &tmp)?;
        Ok(DOOR.publish(&file, &tmp, &self.disk_path(machine))?)
    }

    fn quarantine(&self, name: &str) -> Result<PathBuf, DiskError> {
        let place = self.data_dir.join("quarantine").join("machines");
        Ok(DOOR.set_aside(&self.machines_dir().join(name), &place)?)
    }

    /// Names below `machines/`.
    fn dir_names(&self) -> Result<Vec<String>, DiskError> {
        Ok(durable::names_in(&self.machines_dir())?)
    }

    fn machines_dir(&self) -> PathBuf {
        self.data_dir.join("machines")
    }

    fn record_path(&self, machine: &MachineId) -> PathBuf {
        self.machine_dir(machine).join(RECORD_FILE)
    }

    fn template_path(&self, size_gib: u32) -> PathBuf {
        template::path_in(&self.data_dir, size_gib)
    }

    fn tmp_dir(&self) -> PathBuf {
        self.data_dir.join("tmp").join("disk")
    }

    /// A name below the temporary directory that this process has not used before.
    fn temporary(&self) -> PathBuf {
        let n = self.n_temporaries.fetch_add(1, Ordering::Relaxed);
        self.tmp_dir().join(format!("{}.{n}", std::process::id()))
    }
}

fn size_bytes(size_gib: u32) -> Result<u64, DiskError> {
    if (1..=DISK_SIZE_GIB_MAX).contains(&size_gib) {
        Ok(u64::from(size_gib) * GIB)
    } else {
        Err(DiskError::SizeOutOfRange { size_gib, max: DISK_SIZE_GIB_MAX })
    }
}

/// The existing record when it is of the wanted size and base.
fn agreeing(
    machine: &MachineId,
    existing: DiskRecord,
    wanted: &DiskRecord,
) -> Result<DiskRecord, DiskError> {
    if existing.size_bytes == wanted.size_bytes && existing.base_digest == wanted.base_digest {
        return Ok(existing);
    }
    Err(DiskError::Differs {
        machine: machine.clone(),
        size_bytes: existing.size_bytes,
        base_digest: existing.base_digest.to_string(),
    })
}
