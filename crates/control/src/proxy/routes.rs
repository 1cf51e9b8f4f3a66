//! What the proxy is told of a machine: made from its record, and nothing else.

use model::State;
use net::router::Egress;
use proxy_proto::route::{AppRoute, Certificate, Hostname, MachineRoute, RouteState};
use store::{AppRecord, HostnameRoute, MachineRecord, Reader, StoreError};

/// The record of an app, with its host names.
pub(super) fn of_app(
    reader: &Reader<'_>,
    app: &AppRecord,
    network: u32,
) -> Result<AppRoute, StoreError> {
    Ok(AppRoute {
        app: app.name.to_string(),
        generation: reader.route_generation(&app.name)?,
        network,
        hostnames: reader.hostname_routes(&app.name)?.into_iter().map(of_hostname).collect(),
    })
}

fn of_hostname(route: HostnameRoute) -> Hostname {
    let certificate = route.certificate;
    Hostname {
        name: route.name,
        certificate: certificate.map(|(chain_pem, key_pem)| Certificate { chain_pem, key_pem }),
    }
}

/// The record of a machine, whose way out is `egress`.
pub(super) fn of_machine(record: &MachineRecord, network: u32, egress: Egress) -> MachineRoute {
    let (egress_domains, are_other_names_answered) = names_outside(record, egress);
    MachineRoute {
        machine: record.id.clone(),
        generation: record.generation,
        app: record.app.to_string(),
        network,
        region: record.region.clone(),
        state: route_state(record),
        v4: record.v4,
        v6: record.v6,
        is_cordoned: record.cordoned,
        services: record.spec.services.clone(),
        checks: record.spec.checks.clone(),
        metadata: record.spec.metadata.clone(),
        is_hidden_in_dns: record.spec.is_hidden_in_dns,
        egress_domains,
        are_other_names_answered,
    }
}

/// The domains that are special for a machine, and whether it is told of others.
///
/// Without a way out no name outside is of use, and a machine that asks hears so at once. A policy
/// that lets it go to some domains and addresses only must not leave it a resolver for messages to
/// anybody.
fn names_outside(record: &MachineRecord, egress: Egress) -> (Option<Vec<String>>, bool) {
    if egress == Egress::Off {
        return (Some(Vec::new()), false);
    }
    let Some(policy) = &record.spec.egress else { return (None, true) };
    let domains = policy.domains().into_iter().map(ToString::to_string).collect();
    (Some(domains), policy.leads_anywhere())
}

fn route_state(record: &MachineRecord) -> RouteState {
    match &record.machine.state {
        State::Started { run, .. } | State::Resting { run, .. } => RouteState::Up {
            run: run.id.to_string(),
            since: run.started_at.unwrap_or(run.accepted_at),
        },
        State::Stopped { .. } | State::Suspended { wake: None, .. } | State::Backoff { .. } => {
            RouteState::Asleep
        }
        State::Creating { .. }
        | State::Starting { .. }
        | State::Stopping { .. }
        | State::Suspending { .. }
        | State::Suspended { wake: Some(_), .. }
        | State::Updating { .. } => RouteState::Moving,
        State::Failed { .. } | State::Destroying { .. } | State::Destroyed { .. } => {
            RouteState::Unavailable
        }
    }
}
