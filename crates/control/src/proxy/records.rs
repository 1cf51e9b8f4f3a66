//! The records that a proxy is sent, read from the store when they are.

use super::routes;
use crate::control::Control;
use crate::error::ControlError;
use model::{AppName, MachineId};
use proxy_proto::MachineRoute;
use proxy_proto::message::ToProxy;
use std::collections::HashMap;
use store::{MachineFilter, StoreError};

/// Every record there is.
pub(super) fn all(control: &Control) -> Result<Vec<ToProxy>, ControlError> {
    let read = control.inner.store.read(|reader| {
        let mut networks = HashMap::new();
        let mut records = Vec::new();
        for app in reader.apps()? {
            let network = network_number(reader, &app)?;
            networks.insert(app.name.clone(), network);
            records.push(ToProxy::App(Box::new(routes::of_app(reader, &app, network)?)));
        }
        for record in reader.machines(&MachineFilter::default())? {
            if let Some(network) = networks.get(&record.app) {
                records.push(ToProxy::Machine(Box::new(routes::of_machine(
                    &record,
                    *network,
                    control.inner.egress,
                ))));
            }
        }
        Ok(records)
    });
    Ok(read?)
}

fn network_number(reader: &store::Reader<'_>, app: &store::AppRecord) -> Result<u32, StoreError> {
    Ok(reader.network(&app.org, &app.network)?.map_or(0, |network| network.id))
}

/// An app as it is now.
pub(super) fn of_app(control: &Control, name: &str) -> Result<ToProxy, ControlError> {
    let gone = || ToProxy::AppGone { app: name.to_owned() };
    let Ok(name) = name.parse::<AppName>() else { return Ok(gone()) };
    let read = control.inner.store.read(|reader| {
        let Some(app) = reader.app(&name)? else { return Ok(gone()) };
        let network = network_number(reader, &app)?;
        Ok(ToProxy::App(Box::new(routes::of_app(reader, &app, network)?)))
    });
    Ok(read?)
}

/// A machine as it is now; `None` when it is gone.
pub(super) fn of_machine(
    control: &Control,
    id: &MachineId,
) -> Result<Option<MachineRoute>, ControlError> {
    let read = control.inner.store.read(|reader| {
        let Some(record) = reader.machine(id)? else { return Ok(None) };
        if matches!(record.machine.state, model::State::Destroyed { .. }) {
            return Ok(None);
        }
        let Some(app) = reader.app(&record.app)? else { return Ok(None) };
        Ok(Some(routes::of_machine(&record, network_number(reader, &app)?, control.inner.egress)))
    });
    Ok(read?)
}
