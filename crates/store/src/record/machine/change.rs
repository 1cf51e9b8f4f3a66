//! Changes of a machine's row.

use super::{LeaseRecord, MachineRecord};
use crate::error::StoreError;
use crate::record::version::VersionRecord;
use crate::row::{Tx, at_column, count_column, json_text, word_text};
use model::{Machine, MachineId, UnixMs};
use rusqlite::params;
use std::collections::BTreeMap;

impl Tx<'_> {
    /// Adds a machine and its first version.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when the id, the name or an address is taken.
    pub fn insert_machine(&self, record: &MachineRecord) -> Result<(), StoreError> {
        self.insert_version(&VersionRecord {
            created_at: record.created_at,
            ..record.current_version()
        })?;
        let sql = "INSERT INTO machines
            (id, app, name, state, revision, generation, version, region, v6, v4, cordoned,
             cpu_kind, cpus, memory_mib, engine, image, metadata, lease, created_at, updated_at,
             machine, owes_wake)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17,
                    ?18, ?19, ?20, ?21, ?22)";
        let (machine, spec) = (&record.machine, &record.spec);
        let row = params![
            record.id.as_str(),
            record.app.as_str(),
            record.name,
            machine.state.api_name(),
            count_column(machine.revision),
            count_column(record.generation),
            record.version.as_str(),
            record.region,
            record.v6.to_string(),
            record.v4.to_string(),
            record.cordoned,
            word_text(spec.guest.cpu_kind)?,
            spec.guest.cpus,
            spec.guest.memory_mib,
            word_text(spec.engine)?,
            json_text(&record.image)?,
            json_text(&spec.metadata)?,
            record.lease.as_ref().map(json_text).transpose()?,
            at_column(record.created_at),
            at_column(record.updated_at),
            json_text(machine)?,
            machine.owed.is_some(),
        ];
        self.execute(sql, row)?;
        Ok(())
    }

    /// Stores what follows from one step: the revision must be the stored one plus one.
    ///
    /// # Errors
    /// As [`Tx::put_machine_state_after`].
    pub fn put_machine_state(
        &self,
        id: &MachineId,
        machine: &Machine,
        updated_at: UnixMs,
    ) -> Result<(), StoreError> {
        self.put_machine_state_after(machine.revision.saturating_sub(1), id, machine, updated_at)
    }

    /// Stores a state that was decided from the one with revision `expected`; the machine's
    /// generation grows.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when another revision is stored or the new one is not greater,
    /// [`StoreError::NotFound`].
    pub fn put_machine_state_after(
        &self,
        expected: u64,
        id: &MachineId,
        machine: &Machine,
        updated_at: UnixMs,
    ) -> Result<(), StoreError> {
        let sql = "SELECT revision FROM machines WHERE id = ?1";
        let found = self
            .one("machines", sql, [id.as_str()], |row| row.count("revision"))?
            .ok_or_else(|| StoreError::not_found("machine", id))?;
        if found != expected || machine.revision <= found {
            let expected = format!("revision {expected}, then {}", machine.revision);
            let found = format!("revision {found}");
            return Err(StoreError::conflict("machine", id, expected, found));
        }
        let sql = "UPDATE machines SET state = ?2, revision = ?3, machine = ?4, owes_wake = ?5,
                   updated_at = ?6, generation = generation + 1 WHERE id = ?1";
        let state = machine.state.api_name();
        let revision = count_column(machine.revision);
        let (text, owes_wake) = (json_text(machine)?, machine.owed.is_some());
        let row = (id.as_str(), state, revision, text, owes_wake, at_column(updated_at));
        self.execute(sql, row)?;
        Ok(())
    }

    /// Adds a version and makes it the machine's current one; the generation grows.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Taken`] when there is a version of this id.
    pub fn put_machine_version(
        &self,
        version: &VersionRecord,
        updated_at: UnixMs,
    ) -> Result<(), StoreError> {
        self.insert_version(version)?;
        let sql = "UPDATE machines SET version = ?2, cpu_kind = ?3, cpus = ?4, memory_mib = ?5,
                   engine = ?6, image = ?7, metadata = ?8 WHERE id = ?1";
        let spec = &version.spec;
        let row = (
            version.machine.as_str(),
            version.version.as_str(),
            word_text(spec.guest.cpu_kind)?,
            spec.guest.cpus,
            spec.guest.memory_mib,
            word_text(spec.engine)?,
            json_text(&version.image)?,
            json_text(&spec.metadata)?,
        );
        self.execute(sql, row)?;
        self.touch(&version.machine, updated_at)
    }

    /// Takes, renews or (with `None`) releases the lease; who may is for the caller to decide.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub fn put_lease(&self, id: &MachineId, lease: Option<&LeaseRecord>) -> Result<(), StoreError> {
        let lease = lease.map(json_text).transpose()?;
        let sql = "UPDATE machines SET lease = ?2 WHERE id = ?1";
        expect_machine(id, self.execute(sql, (id.as_str(), lease))?)
    }

    /// Holds the machine out of the routes, or lets it back in; the generation grows.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub fn put_cordoned(
        &self,
        id: &MachineId,
        cordoned: bool,
        updated_at: UnixMs,
    ) -> Result<(), StoreError> {
        self.execute("UPDATE machines SET cordoned = ?2 WHERE id = ?1", (id.as_str(), cordoned))?;
        self.touch(id, updated_at)
    }

    /// Changes the labels of the current version, which stays the same version.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub fn put_metadata(
        &self,
        id: &MachineId,
        metadata: &BTreeMap<String, String>,
        updated_at: UnixMs,
    ) -> Result<(), StoreError> {
        let mut record = self.machine(id)?.ok_or_else(|| StoreError::not_found("machine", id))?;
        record.spec.metadata.clone_from(metadata);
        if let serde_json::Value::Object(config) = &mut record.config {
            config.insert("metadata".to_owned(), serde_json::to_value(metadata)?);
        }
        let sql = "UPDATE versions SET spec = ?3, config = ?4 WHERE machine = ?1 AND version = ?2";
        let (spec, config) = (json_text(&record.spec)?, json_text(&record.config)?);
        self.execute(sql, (id.as_str(), record.version.as_str(), spec, config))?;
        let sql = "UPDATE machines SET metadata = ?2 WHERE id = ?1";
        self.execute(sql, (id.as_str(), json_text(metadata)?))?;
        self.touch(id, updated_at)
    }

    fn touch(&self, id: &MachineId, updated_at: UnixMs) -> Result<(), StoreError> {
        let sql = "UPDATE machines SET updated_at = ?2, generation = generation + 1 WHERE id = ?1";
        expect_machine(id, self.execute(sql, (id.as_str(), at_column(updated_at)))?)
    }

    /// Forgets a destroyed machine: row, versions, events, plans, refs, what was left of its
    /// selfhood, trace, hooks and what it had to send. Metering stays.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when it is not destroyed, [`StoreError::NotFound`].
    pub fn delete_machine_tombstone(&self, id: &MachineId) -> Result<(), StoreError> {
        let sql = "SELECT state FROM machines WHERE id = ?1";
        let state: String = self
            .one("machines", sql, [id.as_str()], |row| row.plain("state"))?
            .ok_or_else(|| StoreError::not_found("machine", id))?;
        if state != "destroyed" {
            return Err(StoreError::conflict("machine", id, "destroyed", state));
        }
        self.remove_selfhood(id)?; // asks for the app, so the row must still be there
        for sql in [
            "DELETE FROM machines WHERE id = ?1",
            "DELETE FROM versions WHERE machine = ?1",
            "DELETE FROM events WHERE machine = ?1",
            "DELETE FROM plans WHERE machine = ?1",
            "DELETE FROM refs WHERE owner_kind = 'machine' AND owner = ?1",
            "DELETE FROM trace WHERE machine = ?1",
            "DELETE FROM policy_uses WHERE machine = ?1",
            "DELETE FROM hooks WHERE machine = ?1",
            "DELETE FROM outbox WHERE machine = ?1",
        ] {
            self.execute(sql, [id.as_str()])?;
        }
        Ok(())
    }
}

fn expect_machine(id: &MachineId, n_rows: usize) -> Result<(), StoreError> {
    match n_rows {
        0 => Err(StoreError::not_found("machine", id)),
        _ => Ok(()),
    }
}
