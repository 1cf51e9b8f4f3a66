//! What a list of whole machines shows, read without parsing what it only passes on.

use super::{MATCHES, MachineFilter, MachineSummary};
use crate::error::StoreError;
use crate::row::{Fields, Reader};
use model::Machine;
use serde::Deserialize;
use std::collections::BTreeMap;

/// A machine as a list shows it: neither its parsed configuration nor most of its image's defaults.
#[derive(Clone, Debug, PartialEq)]
pub struct MachineListing {
    /// What a summary shows.
    pub summary: MachineSummary,
    /// Labels of its image.
    pub image_labels: BTreeMap<String, String>,
    /// The configuration as the user sent it: JSON text.
    pub config: String,
    /// All that decides about its life, in a state whose data is shown (asleep, failed).
    pub machine: Option<Machine>,
}

/// The part of an image's defaults that is shown.
#[derive(Deserialize)]
struct ImageLabels {
    labels: BTreeMap<String, String>,
}

/// Columns of a listing: those of a summary, and three more.
const LISTING: &str = "SELECT m.id, m.app, m.name, m.state, m.revision, m.generation, m.version,
    m.region, m.v6, m.v4, m.cordoned, m.cpu_kind, m.cpus, m.memory_mib, m.engine, m.image,
    m.metadata, m.created_at, m.updated_at, v.image_config, v.config,
    CASE WHEN m.state IN ('suspended', 'starting', 'failed') THEN m.machine END AS machine
    FROM machines m JOIN versions v ON v.machine = m.id AND v.version = m.version";

impl MachineListing {
    fn from_row(row: &Fields<'_>) -> Result<Self, StoreError> {
        let image: ImageLabels = row.json("image_config")?;
        Ok(Self {
            summary: MachineSummary::from_row(row)?,
            image_labels: image.labels,
            config: row.plain("config")?,
            machine: row.json_opt("machine")?,
        })
    }
}

impl Reader<'_> {
    /// The machines that match as a list shows them, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Corrupt`].
    pub fn machine_listings(
        &self,
        filter: &MachineFilter,
    ) -> Result<Vec<MachineListing>, StoreError> {
        let sql = format!("{LISTING} WHERE {MATCHES} ORDER BY m.created_at, m.id");
        let mut found = self.all("machines", &sql, filter.params()?, MachineListing::from_row)?;
        found.retain(|listing| filter.has_labels_of(&listing.summary.metadata));
        Ok(found)
    }
}
