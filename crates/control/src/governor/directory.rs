//! Names of machines, looked up in the store.

use super::readers::Directory;
use model::{AppName, MachineId};
use store::{AppRecord, MachineFilter, Reader, Store, StoreError};

impl Directory for Store {
    fn find(&self, app: &AppName, name: &str) -> Option<MachineId> {
        found(self.read(|reader| find(reader, app, name)))
    }

    fn is_one_network(&self, app: &AppName, other: &AppName) -> bool {
        found(self.read(|reader| is_one_network(reader, app, other).map(Some))).unwrap_or(false)
    }
}

/// What cannot be read is not found: unknown to rules, until the machine takes its next step.
fn found<T>(read: Result<Option<T>, StoreError>) -> Option<T> {
    read.unwrap_or_else(|error| {
        tracing::error!(%error, "a name cannot be looked up");
        None
    })
}

/// The machine that `name` means to machines of `app`: an id of the same network, a name of the same
/// app, or a name that exactly one machine of the network has.
///
/// # Errors
/// What the store said.
pub(crate) fn find(
    reader: &Reader<'_>,
    app: &AppName,
    name: &str,
) -> Result<Option<MachineId>, StoreError> {
    if let Ok(id) = name.parse::<MachineId>()
        && let Some(record) = reader.machine(&id)?
        && record.machine.state.api_name() != "destroyed"
        && is_one_network(reader, app, &record.app)?
    {
        return Ok(Some(id));
    }
    if let Some(record) = reader.machine_by_name(app, name)? {
        return Ok(Some(record.id));
    }
    let Some(own) = reader.app(app)? else { return Ok(None) };
    let mut others = Vec::new();
    for other in reader.apps()? {
        if other.name != *app && shares_network(&own, &other) {
            others.extend(reader.machine_by_name(&other.name, name)?.map(|record| record.id));
        }
    }
    let [only] = others.as_slice() else { return Ok(None) };
    Ok(Some(only.clone()))
}

fn is_one_network(reader: &Reader<'_>, app: &AppName, other: &AppName) -> Result<bool, StoreError> {
    if app == other {
        return Ok(true);
    }
    let (Some(app), Some(other)) = (reader.app(app)?, reader.app(other)?) else { return Ok(false) };
    Ok(shares_network(&app, &other))
}

fn shares_network(app: &AppRecord, other: &AppRecord) -> bool {
    app.org == other.org && app.network == other.network
}

/// Machines of an app that are up, or on their way there to stay: at most `enough`.
///
/// # Errors
/// What the store said.
pub(super) fn up(
    reader: &Reader<'_>,
    app: &AppName,
    enough: usize,
) -> Result<Vec<MachineId>, StoreError> {
    let mut up = Vec::new();
    for summary in reader.machine_summaries(&running(app, &["started", "starting"]))? {
        if up.len() == enough {
            break;
        }
        let record = reader.machine(&summary.id)?;
        if record.is_some_and(|record| record.machine.state.leads_up()) {
            up.push(summary.id);
        }
    }
    Ok(up)
}

/// How many machines of an app are up.
///
/// # Errors
/// What the store said.
pub(super) fn n_up(reader: &Reader<'_>, app: &AppName) -> Result<u32, StoreError> {
    let n = reader.machine_summaries(&running(app, &["started"]))?.len();
    Ok(u32::try_from(n).unwrap_or(u32::MAX))
}

fn running(app: &AppName, states: &[&str]) -> MachineFilter {
    let states = states.iter().map(|state| (*state).to_owned()).collect();
    MachineFilter { app: Some(app.clone()), states, ..MachineFilter::default() }
}
