//! Records for tests.

use model::MachineId;
use model::spec::service::{Concurrency, Counts, Handler, Port, Service};
use model::{DurationMs, UnixMs};
use proxy_proto::{AppRoute, MachineRoute, RouteState};
use std::net::{Ipv4Addr, Ipv6Addr};

/// The machine with this number.
pub(crate) fn id(n: u32) -> MachineId {
    format!("{n:014x}").parse().expect("14 hex digits")
}

/// A port with these handlers.
pub(crate) fn port(number: u16, handlers: &[Handler]) -> Port {
    let port = serde_json::json!({ "first": number, "last": number });
    Port { handlers: handlers.to_vec(), ..serde_json::from_value(port).expect("a port") }
}

/// A service on port 8080 that is reached through `ports`.
pub(crate) fn service(ports: Vec<Port>) -> Service {
    let service = serde_json::json!({ "internal_port": 8080 });
    Service { ports, ..serde_json::from_value(service).expect("a service") }
}

/// The same with limits.
pub(crate) fn limited(ports: Vec<Port>, soft_limit: u32, hard_limit: Option<u32>) -> Service {
    let concurrency = Concurrency { counts: Counts::Connections, soft_limit, hard_limit };
    Service { concurrency, ..service(ports) }
}

/// A sleeping machine of an app.
pub(crate) fn machine(n: u32, app: &str, generation: u64, services: Vec<Service>) -> MachineRoute {
    MachineRoute {
        machine: id(n),
        generation,
        app: app.to_owned(),
        network: 1,
        region: "local".to_owned(),
        state: RouteState::Asleep,
        v4: Ipv4Addr::LOCALHOST,
        v6: Ipv6Addr::LOCALHOST,
        is_cordoned: false,
        services,
        checks: Vec::new(),
        metadata: std::collections::BTreeMap::new(),
        is_hidden_in_dns: false,
        egress_domains: None,
        are_other_names_answered: false,
    }
}

/// The state of a run.
pub(crate) fn up(run: &str) -> RouteState {
    RouteState::Up { run: run.to_owned(), since: UnixMs(1) }
}

/// An app with names of its own.
pub(crate) fn app(name: &str, generation: u64, hostnames: &[&str]) -> AppRoute {
    let own =
        |name: &&str| proxy_proto::route::Hostname { name: (*name).to_owned(), certificate: None };
    AppRoute {
        app: name.to_owned(),
        generation,
        network: 1,
        hostnames: hostnames.iter().map(own).collect(),
    }
}

/// A refusal.
pub(crate) fn refused(
    code: &str,
    scope: proxy_proto::RefusalScope,
    retry_after_ms: u64,
) -> proxy_proto::KnockOutcome {
    proxy_proto::KnockOutcome::Refused {
        code: code.to_owned(),
        message: "not now".to_owned(),
        hint: None,
        retry_after: Some(DurationMs(retry_after_ms)),
        scope,
    }
}

/// The machine is up.
pub(crate) fn ready(route: MachineRoute) -> proxy_proto::KnockOutcome {
    proxy_proto::KnockOutcome::Ready {
        route: Box::new(route),
        decision: "woken; request".to_owned(),
        timing: proxy_proto::message::KnockTiming::default(),
    }
}
