//! The resolver of the machines: it follows the same records as the doors do.

mod outside;
mod pins;

use crate::desk::Desk;
use crate::process::binder::Binder;
use crate::process::handover::Socket;
use crate::visit::door::Doors;
use crate::visit::drain::DrainToken;
use dns::{Machine, NameRule, OtherNames, Server, Upstreams, Zone, ZoneHandle};
use model::spec::service::Transport;
use net::router::{API_V6, DNS_PORT, DNS_V4, DNS_V6};
use outside::Outside;
use pins::Pins;
use proxy_proto::{MachineRoute, RouteState};
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

/// Where the host says who resolves for it.
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// Pause between two looks into it.
const RESOLV_CONF_EVERY: Duration = Duration::from_secs(30);

/// Pause before the resolver's addresses are tried again: a proxy before this one may still have
/// them.
const RETRY: Duration = Duration::from_millis(100);

/// Label with a machine's process group. Source: machines-api 2.9.
const PROCESS_GROUP: &str = "fly_process_group";

/// Resolves for as long as the process accepts.
pub(crate) async fn keep(desk: Desk, doors: Arc<Doors>, binder: Binder, mut drain: DrainToken) {
    let zone = ZoneHandle::new(Zone::new(API_V6));
    let pins = match Pins::open() {
        Ok(pins) => pins,
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, "no names are resolved: addresses cannot be pinned");
            return;
        }
    };
    let upstreams = Upstreams::new(Outside(binder), host_resolvers().await);
    let server = Server::new(zone.clone(), upstreams, pins, dns::Options::default());
    let questions = async {
        let sockets = take_sockets(&doors).await;
        let stop = async move { drain.begun().await };
        if let Err(error) = Arc::clone(&server).run(sockets, stop).await {
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, "names are resolved no longer");
        }
    };
    tokio::select! {
        () = questions => {}
        () = follow_records(&desk, &zone) => {}
        () = follow_host(&server) => {}
    }
}

async fn follow_records(desk: &Desk, zone: &ZoneHandle) {
    loop {
        let changed = desk.take_to_name();
        for id in changed.machines {
            let route = desk.read(|book| book.table.machine(&id).cloned());
            zone.update(|zone| match route {
                Some(route) => zone.upsert_machine(machine(&route)),
                None => zone.remove_machine(&id),
            });
        }
        for name in changed.apps {
            let app = desk.read(|book| book.table.app(&name).cloned());
            zone.update(|zone| match app {
                Some(app) => zone.upsert_app(&name, app.network),
                None => zone.remove_app(&name),
            });
        }
        desk.bells().names.notified().await;
    }
}

async fn follow_host(server: &Server<Upstreams<Outside>, Pins>) {
    loop {
        tokio::time::sleep(RESOLV_CONF_EVERY).await;
        server.forward().set_servers(host_resolvers().await);
    }
}

async fn host_resolvers() -> Vec<SocketAddr> {
    match tokio::fs::read_to_string(RESOLV_CONF).await {
        Ok(text) => dns::parse_resolv_conf(&text),
        Err(error) => {
            tracing::warn!(%error, path = RESOLV_CONF, "the host's resolvers are not known");
            Vec::new()
        }
    }
}

/// Binds the resolver's sockets in this namespace, or takes those of the proxy before; lends copies
/// to the next one.
async fn take_sockets(doors: &Doors) -> dns::Doors {
    loop {
        let addresses = [SocketAddr::from((DNS_V6, DNS_PORT)), (DNS_V4, DNS_PORT).into()];
        match addresses.iter().map(|at| sockets_at(doors, *at)).collect::<io::Result<Vec<_>>>() {
            Ok(pairs) => {
                let (udp, tcp) = pairs.into_iter().unzip();
                return dns::Doors { udp, tcp };
            }
            Err(error) => {
                tracing::debug!(%error, "the resolver's addresses are not to be had yet");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

fn sockets_at(doors: &Doors, at: SocketAddr) -> io::Result<(UdpSocket, TcpListener)> {
    let inherited = (doors.inherited((Transport::Udp, at)), doors.inherited((Transport::Tcp, at)));
    let (udp, tcp) = match inherited {
        (Some(udp), Some(tcp)) => (UdpSocket::from(udp), TcpListener::from(tcp)),
        _ => (UdpSocket::bind(at)?, TcpListener::bind(at)?),
    };
    let copies: [Socket; 2] = [
        (Transport::Udp, at, udp.try_clone()?.into()),
        (Transport::Tcp, at, tcp.try_clone()?.into()),
    ];
    doors.lend(copies);
    Ok((udp, tcp))
}

fn machine(route: &MachineRoute) -> Machine {
    Machine {
        id: route.machine.clone(),
        app: route.app.clone(),
        network: route.network,
        region: route.region.clone(),
        is_up: matches!(route.state, RouteState::Up { .. }),
        v4: route.v4,
        v6: route.v6,
        metadata: route.metadata.clone(),
        process_group: route.metadata.get(PROCESS_GROUP).cloned(),
        is_hidden: route.is_hidden_in_dns,
        name_rule: route.egress_domains.as_ref().and_then(|domains| rule(route, domains)),
    }
}

/// A machine that may speak to some domains only is told of no others: a question to a server of
/// its choice would be a way out too. Of one that may speak to all but some, the names of those are
/// special all the same: their addresses are pinned, so that the rule finds them.
fn rule(route: &MachineRoute, domains: &[String]) -> Option<Arc<NameRule>> {
    let others = match route.are_other_names_answered {
        true => OtherNames::Answered,
        false => OtherNames::Refused,
    };
    let rule = NameRule::new(domains, others).or_else(|error| {
        let error = &error as &dyn std::error::Error;
        tracing::warn!(machine = %route.machine, error, "no name outside is resolved for it");
        NameRule::new::<&str>(&[], OtherNames::Refused)
    });
    rule.ok().map(Arc::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    /// What becomes of other names, and whether there is a rule at all.
    #[track_caller]
    fn check(domains: Option<&[&str]>, are_others_answered: bool, others: Option<OtherNames>) {
        let mut route = fixture::machine(1, "web", 1, Vec::new());
        let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        route.egress_domains = domains.map(owned);
        route.are_other_names_answered = are_others_answered;
        let found = machine(&route).name_rule.map(|rule| rule.others());
        assert_eq!(found, others, "{domains:?}");
    }

    #[test]
    fn other_names_are_answered_or_not_as_the_record_says() {
        check(None, true, None);
        check(None, false, None);
        check(Some(&["*.example.com"]), false, Some(OtherNames::Refused));
        check(Some(&["*.example.com"]), true, Some(OtherNames::Answered));
        check(Some(&[]), false, Some(OtherNames::Refused));
        check(Some(&["no domain"]), true, Some(OtherNames::Refused));
    }
}
