//! Looking at machines, and changing what does not touch their life.

use super::{Answer, Control, lease};
use crate::error::ControlError;
use crate::facade::MachineFilter;
use crate::machine::Command;
use model::{AppName, Cause, MachineId};
use std::collections::BTreeMap;
use store::{EventRecord, LeaseRecord, MachineRecord, StoreError, Tx, VersionRecord};

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
        let machine = id.clone();
        let now = model::clock::now();
        let cordon = move |tx: &Tx<'_>| match writable(tx, &machine, &cause)? {
            Ok(_) => tx.put_cordoned(&machine, is_cordoned, now).map(Ok),
            Err(why) => Ok(Err(why)),
        };
        self.inner.store.write("machine.cordon", cordon).await??;
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
        let machine = id.clone();
        let now = model::clock::now();
        let merge = move |tx: &Tx<'_>| {
            let record = match writable(tx, &machine, &cause)? {
                Ok(record) => record,
                Err(why) => return Ok(Err(why)),
            };
            if machine_version.is_some_and(|expected| expected != record.version.as_str()) {
                let current = record.version.to_string();
                return Ok(Err(ControlError::StaleVersion { current }));
            }
            let metadata = merged(record.spec.metadata, changes);
            if metadata.len() > METADATA_MAX {
                return Ok(Err(too_many_labels()));
            }
            tx.put_metadata(&machine, &metadata, now).map(Ok)
        };
        self.inner.store.write("machine.metadata", merge).await??;
        self.inner.tell(id, Command::Reread)
    }

    /// Leases of machines of an app (of all when `None`), by machine.
    ///
    /// # Errors
    /// What the store said.
    pub fn leases(&self, app: Option<&AppName>) -> Answer<BTreeMap<MachineId, LeaseRecord>> {
        let now = model::clock::now();
        let all = self.inner.store.read(|reader| reader.leases(app))?;
        Ok(all.into_iter().filter(|(_, lease)| lease.expires_at > now).collect())
    }
}

/// The machine as it is in this transaction, unless somebody else's lease keeps the caller from it.
fn writable(
    tx: &Tx<'_>,
    id: &MachineId,
    cause: &Cause,
) -> Result<Answer<MachineRecord>, StoreError> {
    let Some(record) = tx.machine(id)? else {
        return Ok(Err(ControlError::NotFound { what: "machine" }));
    };
    Ok(lease::expect(&record, cause).map(|()| record))
}

/// `labels` with `changes`; an empty value removes a label.
fn merged(
    mut labels: BTreeMap<String, String>,
    changes: BTreeMap<String, Option<String>>,
) -> BTreeMap<String, String> {
    for (key, value) in changes {
        match value.filter(|value| !value.is_empty()) {
            Some(value) => drop(labels.insert(key, value)),
            None => drop(labels.remove(&key)),
        }
    }
    labels
}

fn too_many_labels() -> ControlError {
    ControlError::Invalid {
        code: "too_many_labels",
        message: format!("a machine has at most {METADATA_MAX} labels"),
        hint: "remove some first".to_owned(),
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
