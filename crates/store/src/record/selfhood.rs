//! Selfhood: what a machine remembers, as one text, with the few values that are asked for without it.
//!
//! The text is opaque here. Messages, trace entries and policies are rows of their own, so that a
//! post or a decision rewrites a small row however much has been said before.

use crate::error::StoreError;
use crate::row::{Fields, Reader, Tx, at_column, count_column};
use model::{Digest, MachineId, UnixMs};

/// What a machine remembers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelfhoodRecord {
    /// Whose it is.
    pub machine: MachineId,
    /// Revision of the record.
    pub revision: u64,
    /// When it must be evaluated next.
    pub next_at: Option<UnixMs>,
    /// Its policy, which is kept as long as it is named here.
    pub policy: Option<Digest>,
    /// Something may follow from it although nothing happens, or followed from it and stands: then
    /// every start of control has it evaluated.
    pub is_governed: bool,
    /// All of it, as text.
    pub record: String,
}

/// When a machine must be evaluated next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelfhoodTimer {
    /// The machine.
    pub machine: MachineId,
    /// The moment; `None` when only a write or an event can change anything.
    pub next_at: Option<UnixMs>,
}

impl SelfhoodRecord {
    fn from_row(row: &Fields<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            machine: row.parsed("machine")?,
            revision: row.count("revision")?,
            next_at: row.at_opt("next_at")?,
            policy: row.parsed_opt("policy_hash")?,
            is_governed: row.plain("is_governed")?,
            record: row.plain("record")?,
        })
    }
}

impl SelfhoodTimer {
    fn from_row(row: &Fields<'_>) -> Result<Self, StoreError> {
        Ok(Self { machine: row.parsed("machine")?, next_at: row.at_opt("next_at")? })
    }
}

impl Reader<'_> {
    /// What this machine remembers; `None` when it never did, or is destroyed.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Corrupt`].
    pub fn selfhood(&self, machine: &MachineId) -> Result<Option<SelfhoodRecord>, StoreError> {
        let sql = "SELECT * FROM selfhood WHERE machine = ?1";
        self.one("selfhood", sql, [machine.as_str()], SelfhoodRecord::from_row)
    }

    /// The timers of all machines that can act by themselves and are not destroyed, in no order:
    /// those whose self is governed, and those that owe a wake. No other one's row is read.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Corrupt`].
    pub fn selfhood_timers(&self) -> Result<Vec<SelfhoodTimer>, StoreError> {
        let sql = "SELECT s.machine, s.next_at
                   FROM selfhood s INDEXED BY selfhood_governed JOIN machines m ON m.id = s.machine
                   WHERE s.is_governed AND m.state <> 'destroyed'
                   UNION ALL
                   SELECT m.id, NULL FROM machines m INDEXED BY machines_owing
                   WHERE m.owes_wake AND m.state <> 'destroyed' AND NOT EXISTS
                     (SELECT 1 FROM selfhood s WHERE s.machine = m.id AND s.is_governed)";
        self.all("selfhood", sql, [], SelfhoodTimer::from_row)
    }
}

impl Tx<'_> {
    /// Stores what a machine remembers, in place of what it remembered before.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn put_selfhood(&self, record: &SelfhoodRecord) -> Result<(), StoreError> {
        let machine = record.machine.as_str();
        let policy = record.policy.as_ref().map(Digest::as_str);
        let sql = "SELECT policy_hash FROM selfhood WHERE machine = ?1";
        let before: Option<Option<String>> =
            self.one("selfhood", sql, [machine], |row| row.plain("policy_hash"))?;
        let sql =
            "INSERT INTO selfhood (machine, revision, next_at, policy_hash, is_governed, record)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                   ON CONFLICT (machine) DO UPDATE SET revision = excluded.revision,
                     next_at = excluded.next_at, policy_hash = excluded.policy_hash,
                     is_governed = excluded.is_governed, record = excluded.record";
        let (revision, next_at) = (count_column(record.revision), record.next_at.map(at_column));
        let row = (machine, revision, next_at, policy, record.is_governed, &record.record);
        self.execute(sql, row)?;
        match &record.policy {
            Some(hash) if before.flatten().as_deref() != policy => {
                self.note_policy_use(&record.machine, hash, record.revision)
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Forgets what a machine remembered, its messages, dead letters and ids; twice is once. Its
    /// trace stays, with the policies that explain it, until the machine can no longer be read.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn remove_selfhood(&self, machine: &MachineId) -> Result<(), StoreError> {
        self.empty_inbox(machine)?;
        self.execute("DELETE FROM selfhood WHERE machine = ?1", [machine.as_str()])?;
        Ok(())
    }
}
