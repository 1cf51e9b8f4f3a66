//! Looking at machines, and changing what does not touch their life.

use super::{Answer, Control};
use crate::error::ControlError;
use crate::facade::MachineFilter;
use crate::machine::Command;
use model::{AppName, Cause, MachineId};
use std::collections::BTreeMap;
use store::{EventRecord, MachineRecord, VersionRecord};

/// Labels of one machine. Source: the reference names no bound; a label is a word, not a document.
const METADATA_MAX: usize = 128;

impl Control {
    /// A machine; one of another app is not found. `None` looks in all apps.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub fn machine(&self, app: Option<&AppName>, id: &MachineId) -> Answer<MachineRecord> {
        self.inner
            .store
            .read(|reader| reader.machine(id))?
            .filter(|record| app.is_none_or(|app| *app == record.app))
            .ok_or(ControlError::NotFound { what: "machine" })
    }

    /// Machines of an app (of all when `None`), oldest first, with what a list shows of them:
    /// configurations are not parsed.
    ///
    /// # Errors
    /// What the store said.
    pub fn machine_listings(
        &self,
        app: Option<&AppName>,
        filter: &MachineFilter,
    ) -> Answer<Vec<store::MachineListing>> {
        let filter = stored_filter(app, filter);
        Ok(self.inner.store.read(|reader| reader.machine_listings(&filter))?)
    }

    /// As [`Control::machine_listings`], without their configurations: fast for a thousand of them.
    ///
    /// # Errors
    /// What the store said.
    pub fn machine_summaries(
        &self,
        app: Option<&AppName>,
        filter: &MachineFilter,
    ) -> Answer<Vec<store::MachineSummary>> {
        let filter = stored_filter(app, filter);
        Ok(self.inner.store.read(|reader| reader.machine_summaries(&filter))?)
    }

    /// Events of a machine, newest first, at most 50.
    ///
    /// # Errors
    /// What the store said.
    pub fn events(&self, id: &MachineId, limit: usize) -> Answer<Vec<EventRecord>> {
        let limit = u32::try_from(limit).unwrap_or(store::EVENT_PAGE_MAX);
        Ok(self
            .inner
            .store
            .read(|reader| reader.events(id, limit.min(store::EVENT_PAGE_MAX), None))?)
    }

    /// Versions of a machine, newest first.
    ///
    /// # Errors
    /// What the store said.
    pub fn versions(&self, id: &MachineId) -> Answer<Vec<VersionRecord>> {
        Ok(self.inner.store.read(|reader| reader.versions(id))?)
    }

    /// Takes the machine out of routing, or puts it back.
    ///
    /// # Errors
    /// A lease of somebody else.
    pub async fn set_cordoned(
        &self,
        id: &MachineId,
        cause: Cause,
        is_cordoned: bool,
    ) -> Answer<()> {
        self.expect_lease(id, &cause)?;
        let machine = id.clone();
        let now = model::clock::now();
        self.inner
            .store
            .write("machine.cordon", move |tx| tx.put_cordoned(&machine, is_cordoned, now))
            .await?;
        self.inner.tell(id, Command::Reread)
    }

    /// Changes labels; `None` removes one. Makes no new version.
    ///
    /// # Errors
    /// [`ControlError::StaleVersion`] when `machine_version` is not the current one.
    pub async fn merge_metadata(
        &self,
        id: &MachineId,
        cause: Cause,
        changes: BTreeMap<String, Option<String>>,
        machine_version: Option<String>,
    ) -> Answer<()> {
        self.expect_lease(id, &cause)?;
        let record = self.machine(None, id)?;
        if let Some(expected) = machine_version
            && expected != record.version.as_str()
        {
            return Err(ControlError::StaleVersion { current: record.version.to_string() });
        }
        let mut metadata = record.spec.metadata;
        for (key, value) in changes {
            match value.filter(|value| !value.is_empty()) {
                Some(value) => drop(metadata.insert(key, value)),
                None => drop(metadata.remove(&key)),
            }
        }
        if metadata.len() > METADATA_MAX {
            return Err(ControlError::Invalid {
                code: "too_many_labels",
                message: format!("a machine has at most {METADATA_MAX} labels"),
                hint: "remove some first".to_owned(),
            });
        }
        let machine = id.clone();
        let now = model::clock::now();
        self.inner
            .store
            .write("machine.metadata", move |tx| tx.put_metadata(&machine, &metadata, now))
            .await?;
        self.inner.tell(id, Command::Reread)
    }
}

fn stored_filter(app: Option<&AppName>, filter: &MachineFilter) -> store::MachineFilter {
    store::MachineFilter {
        app: app.cloned(),
        states: filter.states.clone(),
        include_destroyed: filter.with_destroyed,
        metadata: filter.metadata.clone(),
    }
}
