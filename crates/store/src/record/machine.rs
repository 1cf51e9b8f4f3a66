//! Machines: a small row that changes often, beside a version that does not.
//!
//! A state change rewrites one row of a few hundred bytes, however large the configuration is, and
//! a list of a thousand summaries reads no configuration at all.

use crate::error::StoreError;
use crate::record::version::VersionRecord;
use crate::row::{Fields, Reader, json_text};
use model::spec::{EngineKind, GuestSize, ImageConfig, ImageRef};
use model::{AppName, Machine, MachineId, MachineSpec, UnixMs, VersionId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

mod change;
mod listing;

pub use listing::MachineListing;

/// All that is stored of a machine, with its current version.
#[derive(Clone, Debug, PartialEq)]
pub struct MachineRecord {
    /// Its id, never reused.
    pub id: MachineId,
    /// The app it belongs to.
    pub app: AppName,
    /// Its name, unique within the app until it is destroyed.
    pub name: String,
    /// The current version.
    pub version: VersionId,
    /// All that decides about its life.
    pub machine: Machine,
    /// The configuration, parsed.
    pub spec: MachineSpec,
    /// The configuration as the user sent it.
    pub config: serde_json::Value,
    /// The image it runs.
    pub image: ImageRef,
    /// The image's defaults.
    pub image_config: ImageConfig,
    /// Its address for life.
    pub v6: Ipv6Addr,
    /// Its IPv4 address for life.
    pub v4: Ipv4Addr,
    /// Where it runs, as clients name it.
    pub region: String,
    /// Held out of the routes.
    pub cordoned: bool,
    /// The lease, also when it has expired.
    pub lease: Option<LeaseRecord>,
    /// Grows with each change that a route or directory must hear of.
    pub generation: u64,
    /// When it was created.
    pub created_at: UnixMs,
    /// When it last changed.
    pub updated_at: UnixMs,
}

/// What a list shows of a machine, without its configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct MachineSummary {
    /// Its id.
    pub id: MachineId,
    /// The app it belongs to.
    pub app: AppName,
    /// Its name.
    pub name: String,
    /// The state, as the API names it.
    pub state: String,
    /// Revision of the state.
    pub revision: u64,
    /// As in [`MachineRecord`].
    pub generation: u64,
    /// The current version.
    pub version: VersionId,
    /// As in [`MachineRecord`].
    pub region: String,
    /// Its address.
    pub v6: Ipv6Addr,
    /// Its IPv4 address.
    pub v4: Ipv4Addr,
    /// Held out of the routes.
    pub cordoned: bool,
    /// Its size.
    pub guest: GuestSize,
    /// What runs it.
    pub engine: EngineKind,
    /// The image it runs.
    pub image: ImageRef,
    /// Labels of the owner.
    pub metadata: BTreeMap<String, String>,
    /// When it was created.
    pub created_at: UnixMs,
    /// When it last changed.
    pub updated_at: UnixMs,
}

/// An exclusive right to write to one machine, with an end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRecord {
    /// Proves that a caller holds it.
    pub nonce: String,
    /// Who took it.
    pub owner: String,
    /// What for.
    pub description: String,
    /// When it ends by itself.
    pub expires_at: UnixMs,
    /// Version of the machine when it was taken.
    pub version: VersionId,
}

/// Which machines a list shows. The default shows all that are not destroyed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MachineFilter {
    /// Only of this app.
    pub app: Option<AppName>,
    /// Only in these states, as the API names them; empty means any.
    pub states: Vec<String>,
    /// Also destroyed ones that are still kept (also when `states` names `destroyed`).
    pub include_destroyed: bool,
    /// Only with all of these labels.
    pub metadata: BTreeMap<String, String>,
}

/// Columns of the machine row and its version; `image` is the same in both.
const RECORD: &str = "SELECT m.id, m.app, m.name, m.version, m.machine, v.spec, v.config, m.image,
    v.image_config, m.v6, m.v4, m.region, m.cordoned, m.lease, m.generation, m.created_at,
    m.updated_at
    FROM machines m JOIN versions v ON v.machine = m.id AND v.version = m.version";

/// Columns of a summary: not the state's data, which would only be copied while sorting.
const SUMMARY: &str = "SELECT m.id, m.app, m.name, m.state, m.revision, m.generation, m.version,
    m.region, m.v6, m.v4, m.cordoned, m.cpu_kind, m.cpus, m.memory_mib, m.engine, m.image,
    m.metadata, m.created_at, m.updated_at FROM machines m";

/// `?1` app or null, `?2` JSON list of states or null, `?3` whether destroyed ones are shown.
const MATCHES: &str = "(?1 IS NULL OR m.app = ?1)
    AND (?2 IS NULL OR m.state IN (SELECT value FROM json_each(?2)))
    AND (?3 OR m.state <> 'destroyed')";

impl MachineRecord {
    fn from_row(row: &Fields<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.parsed("id")?,
            app: row.parsed("app")?,
            name: row.plain("name")?,
            version: row.parsed("version")?,
            machine: row.json("machine")?,
            spec: row.json("spec")?,
            config: row.json("config")?,
            image: row.json("image")?,
            image_config: row.json("image_config")?,
            v6: row.parsed("v6")?,
            v4: row.parsed("v4")?,
            region: row.plain("region")?,
            cordoned: row.plain("cordoned")?,
            lease: row.json_opt("lease")?,
            generation: row.count("generation")?,
            created_at: row.at("created_at")?,
            updated_at: row.at("updated_at")?,
        })
    }

    /// The current version as a record of its own.
    #[must_use]
    pub fn current_version(&self) -> VersionRecord {
        VersionRecord {
            machine: self.id.clone(),
            version: self.version.clone(),
            config: self.config.clone(),
            spec: self.spec.clone(),
            image: self.image.clone(),
            image_config: self.image_config.clone(),
            created_at: self.updated_at,
        }
    }
}

impl MachineSummary {
    fn from_row(row: &Fields<'_>) -> Result<Self, StoreError> {
        let guest = GuestSize {
            cpu_kind: row.word("cpu_kind")?,
            cpus: row.plain("cpus")?,
            memory_mib: row.plain("memory_mib")?,
        };
        Ok(Self {
            id: row.parsed("id")?,
            app: row.parsed("app")?,
            name: row.plain("name")?,
            state: row.plain("state")?,
            revision: row.count("revision")?,
            generation: row.count("generation")?,
            version: row.parsed("version")?,
            region: row.plain("region")?,
            v6: row.parsed("v6")?,
            v4: row.parsed("v4")?,
            cordoned: row.plain("cordoned")?,
            guest,
            engine: row.word("engine")?,
            image: row.json("image")?,
            metadata: row.json("metadata")?,
            created_at: row.at("created_at")?,
            updated_at: row.at("updated_at")?,
        })
    }
}

impl MachineFilter {
    /// Values of the parameters in [`MATCHES`].
    fn params(&self) -> Result<(Option<&str>, Option<String>, bool), StoreError> {
        let states = match self.states.as_slice() {
            [] => None,
            states => Some(json_text(&states)?),
        };
        let shows_destroyed =
            self.include_destroyed || self.states.iter().any(|state| state == "destroyed");
        Ok((self.app.as_ref().map(AppName::as_str), states, shows_destroyed))
    }

    fn has_labels_of(&self, metadata: &BTreeMap<String, String>) -> bool {
        self.metadata.iter().all(|(key, value)| metadata.get(key) == Some(value))
    }
}

impl Reader<'_> {
    /// The machine with this id, destroyed or not.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Corrupt`].
    pub fn machine(&self, id: &MachineId) -> Result<Option<MachineRecord>, StoreError> {
        let sql = format!("{RECORD} WHERE m.id = ?1");
        self.one("machines", &sql, [id.as_str()], MachineRecord::from_row)
    }

    /// The machine with this name that is not destroyed.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Corrupt`].
    pub fn machine_by_name(
        &self,
        app: &AppName,
        name: &str,
    ) -> Result<Option<MachineRecord>, StoreError> {
        let sql = format!("{RECORD} WHERE m.app = ?1 AND m.name = ?2 AND m.state <> 'destroyed'");
        self.one("machines", &sql, [app.as_str(), name], MachineRecord::from_row)
    }

    /// Whole records of the machines that match, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Corrupt`].
    pub fn machines(&self, filter: &MachineFilter) -> Result<Vec<MachineRecord>, StoreError> {
        let sql = format!("{RECORD} WHERE {MATCHES} ORDER BY m.created_at, m.id");
        let mut found = self.all("machines", &sql, filter.params()?, MachineRecord::from_row)?;
        found.retain(|record| filter.has_labels_of(&record.spec.metadata));
        Ok(found)
    }

    /// Summaries of the machines that match, oldest first; a thousand in a few milliseconds.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Corrupt`].
    pub fn machine_summaries(
        &self,
        filter: &MachineFilter,
    ) -> Result<Vec<MachineSummary>, StoreError> {
        let sql = format!("{SUMMARY} WHERE {MATCHES} ORDER BY m.created_at, m.id");
        let mut found = self.all("machines", &sql, filter.params()?, MachineSummary::from_row)?;
        found.retain(|summary| filter.has_labels_of(&summary.metadata));
        Ok(found)
    }

    /// How many machines that are not destroyed each app has; apps without any are left out.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Corrupt`].
    pub fn machine_counts(&self) -> Result<BTreeMap<AppName, u64>, StoreError> {
        let sql = "SELECT app, count(*) AS n FROM machines WHERE state <> 'destroyed' GROUP BY app";
        let counts =
            self.all("machines", sql, [], |row| Ok((row.parsed("app")?, row.count("n")?)))?;
        Ok(counts.into_iter().collect())
    }

    /// Leases of machines that are not destroyed, of an app or of all, also those that have expired.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Corrupt`].
    pub fn leases(
        &self,
        app: Option<&AppName>,
    ) -> Result<Vec<(MachineId, LeaseRecord)>, StoreError> {
        let sql = "SELECT id, lease FROM machines WHERE lease IS NOT NULL
                   AND (?1 IS NULL OR app = ?1) AND state <> 'destroyed'";
        let app = app.map(AppName::as_str);
        self.all("machines", sql, [app], |row| Ok((row.parsed("id")?, row.json("lease")?)))
    }

    /// Whether a machine that is not destroyed has this address.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn is_v4_used(&self, address: Ipv4Addr) -> Result<bool, StoreError> {
        let sql = "SELECT 1 AS used FROM machines WHERE v4 = ?1 AND state <> 'destroyed'";
        let used =
            self.one("machines", sql, [address.to_string()], |row| row.plain::<bool>("used"));
        Ok(used?.is_some())
    }

    /// Whether a machine of the app that is not destroyed has this name.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn is_name_used(&self, app: &AppName, name: &str) -> Result<bool, StoreError> {
        let sql = "SELECT 1 AS used FROM machines WHERE app = ?1 AND name = ?2
                   AND state <> 'destroyed'";
        let used = self.one("machines", sql, [app.as_str(), name], |row| row.plain::<bool>("used"));
        Ok(used?.is_some())
    }
}
