//! Checkpoints: disks that were set aside, each with a moment at which it goes.

use crate::error::StoreError;
use crate::record::image::OwnerKind;
use crate::row::{Fields, Reader, Tx, at_column};
use model::{Digest, MachineId, UnixMs, VersionId};

/// A disk that was set aside when a version of its machine came with another image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointRecord {
    /// The version that took its place: the name of the checkpoint.
    pub id: VersionId,
    /// Whose disk it is.
    pub machine: MachineId,
    /// The image below it, which is kept as long.
    pub base: Digest,
    /// When it was set aside.
    pub created_at: UnixMs,
    /// When it goes.
    pub expires_at: UnixMs,
}

impl CheckpointRecord {
    fn from_row(row: &Fields<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.parsed("id")?,
            machine: row.parsed("machine")?,
            base: row.parsed("base")?,
            created_at: row.at("created_at")?,
            expires_at: row.at("expires_at")?,
        })
    }
}

impl Reader<'_> {
    /// The checkpoint that goes next.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Corrupt`].
    pub fn next_checkpoint_to_expire(&self) -> Result<Option<CheckpointRecord>, StoreError> {
        let sql = "SELECT * FROM checkpoints ORDER BY expires_at LIMIT 1";
        self.one("checkpoints", sql, [], CheckpointRecord::from_row)
    }

    /// The checkpoints of a machine, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Corrupt`].
    pub fn checkpoints_of(&self, machine: &MachineId) -> Result<Vec<CheckpointRecord>, StoreError> {
        let sql = "SELECT * FROM checkpoints WHERE machine = ?1 ORDER BY created_at, id";
        self.all("checkpoints", sql, [machine.as_str()], CheckpointRecord::from_row)
    }
}

impl Tx<'_> {
    /// Adds a checkpoint, and the need of the image below it; says whether it was new.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn insert_checkpoint(&self, record: &CheckpointRecord) -> Result<bool, StoreError> {
        let sql = "INSERT OR IGNORE INTO checkpoints (id, machine, base, created_at, expires_at)
                   VALUES (?1, ?2, ?3, ?4, ?5)";
        let row = (
            record.id.as_str(),
            record.machine.as_str(),
            record.base.as_str(),
            at_column(record.created_at),
            at_column(record.expires_at),
        );
        let n_added = self.execute(sql, row)?;
        self.add_ref(OwnerKind::Checkpoint, record.id.as_str(), &record.base)?;
        Ok(n_added > 0)
    }

    /// Forgets a checkpoint and what it needed; twice is once.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn delete_checkpoint(&self, id: &VersionId) -> Result<(), StoreError> {
        self.remove_refs(OwnerKind::Checkpoint, id.as_str())?;
        self.execute("DELETE FROM checkpoints WHERE id = ?1", [id.as_str()])?;
        Ok(())
    }
}
