//! Versions of a machine's configuration.

use crate::error::StoreError;
use crate::row::{Fields, Reader, Tx, at_column, json_text};
use model::spec::{ImageConfig, ImageRef};
use model::{MachineId, MachineSpec, UnixMs, VersionId};

/// Versions kept per machine: enough to look back, and a bound for a machine updated in a loop.
pub const VERSIONS_KEPT: u32 = 50;

/// One version of a machine's configuration, with the image it was resolved to.
#[derive(Clone, Debug, PartialEq)]
pub struct VersionRecord {
    /// The machine.
    pub machine: MachineId,
    /// The version.
    pub version: VersionId,
    /// The configuration as the user sent it.
    pub config: serde_json::Value,
    /// The configuration, parsed.
    pub spec: MachineSpec,
    /// The image it runs.
    pub image: ImageRef,
    /// The image's defaults.
    pub image_config: ImageConfig,
    /// When it was created.
    pub created_at: UnixMs,
}

impl VersionRecord {
    fn from_row(row: &Fields<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            machine: row.parsed("machine")?,
            version: row.parsed("version")?,
            config: row.json("config")?,
            spec: row.json("spec")?,
            image: row.json("image")?,
            image_config: row.json("image_config")?,
            created_at: row.at("created_at")?,
        })
    }
}

impl Reader<'_> {
    /// One version of a machine.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Corrupt`].
    pub fn version(
        &self,
        machine: &MachineId,
        version: &VersionId,
    ) -> Result<Option<VersionRecord>, StoreError> {
        let sql = "SELECT * FROM versions WHERE machine = ?1 AND version = ?2";
        let key = [machine.as_str(), version.as_str()];
        self.one("versions", sql, key, VersionRecord::from_row)
    }

    /// The versions of a machine that are kept, newest first.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Corrupt`].
    pub fn versions(&self, machine: &MachineId) -> Result<Vec<VersionRecord>, StoreError> {
        let sql = "SELECT * FROM versions WHERE machine = ?1 ORDER BY rowid DESC";
        self.all("versions", sql, [machine.as_str()], VersionRecord::from_row)
    }
}

impl Tx<'_> {
    /// Adds a version and forgets the oldest beyond [`VERSIONS_KEPT`], never the current one.
    pub(crate) fn insert_version(&self, version: &VersionRecord) -> Result<(), StoreError> {
        let sql = "INSERT INTO versions
                   (machine, version, created_at, image, image_config, spec, config)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        let row = (
            version.machine.as_str(),
            version.version.as_str(),
            at_column(version.created_at),
            json_text(&version.image)?,
            json_text(&version.image_config)?,
            json_text(&version.spec)?,
            json_text(&version.config)?,
        );
        self.execute(sql, row)?;
        self.trim_versions(&version.machine)
    }

    /// Stores what the image of a version needs: known only when the image is here.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn put_image_config(
        &self,
        machine: &MachineId,
        version: &VersionId,
        config: &ImageConfig,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE versions SET image_config = ?3 WHERE machine = ?1 AND version = ?2";
        self.execute(sql, (machine.as_str(), version.as_str(), json_text(config)?))?;
        Ok(())
    }

    fn trim_versions(&self, machine: &MachineId) -> Result<(), StoreError> {
        let sql = "DELETE FROM versions WHERE machine = ?1
                   AND version IS NOT (SELECT version FROM machines WHERE id = ?1)
                   AND rowid NOT IN (SELECT rowid FROM versions WHERE machine = ?1
                                     ORDER BY rowid DESC LIMIT ?2)";
        self.execute(sql, (machine.as_str(), VERSIONS_KEPT))?;
        Ok(())
    }
}
