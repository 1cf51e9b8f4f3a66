//! Public ports of services that cannot be opened, and who on this host has them.

use client::{Client, ClientError, Target};
use control::{Finding, FindingLevel};
use proxy_proto::message::Door;
use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;

/// State of a TCP socket that listens, and of a UDP socket that is bound, in the kernel's tables.
/// Source: `include/net/tcp_states.h`.
const LISTENS: &str = "0A";
const BOUND: &str = "07";

/// What the proxy says of its doors. Without a proxy there are none.
pub(super) async fn findings(client: &Client) -> Result<Vec<Finding>, ClientError> {
    let described = match client.proxy(None).await {
        Err(error) if error.code() == Some("no_proxy") => return Ok(Vec::new()),
        other => other?,
    };
    // Over the network the tables of this host say nothing about that of the daemon.
    let is_here = matches!(client.target(), Target::Unix(_));
    Ok(described.newest.doors.iter().filter_map(|door| finding(door, is_here)).collect())
}

fn finding(door: &Door, is_here: bool) -> Option<Finding> {
    let problem = door.problem.as_deref()?;
    let holders = place(&door.address).filter(|_| is_here).map(holders).unwrap_or_default();
    let (held, hint) = if holders.is_empty() {
        (String::new(), "`dormouse proxy routes` shows who wants it".to_owned())
    } else {
        let names = holders.into_iter().collect::<Vec<_>>().join(", ");
        let hint = "end that process, or give the service another port: it opens as soon as it can";
        (format!("; {names} has it"), hint.to_owned())
    };
    Some(Finding {
        check: format!("port.{}", door.address),
        level: FindingLevel::Degraded,
        message: format!("of app {}: {problem}{held}", door.apps.join(", ")),
        hint: Some(hint),
    })
}

/// A port, and whether it is one of UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    port: u16,
    is_udp: bool,
}

/// `127.0.0.1:80/tcp` as a place.
fn place(address: &str) -> Option<Place> {
    let (socket, transport) = address.split_once('/')?;
    let port = socket.parse::<SocketAddr>().ok()?.port();
    Some(Place { port, is_udp: transport == "udp" })
}

/// The processes that have a socket there, as far as this user may know: `name (pid)`.
fn holders(place: Place) -> BTreeSet<String> {
    let tables = if place.is_udp { ["udp", "udp6"] } else { ["tcp", "tcp6"] };
    let state = if place.is_udp { BOUND } else { LISTENS };
    let text = |table| fs::read_to_string(format!("/proc/net/{table}")).unwrap_or_default();
    let sockets: BTreeSet<String> =
        tables.iter().flat_map(|table| sockets_at(&text(table), place.port, state)).collect();
    if sockets.is_empty() {
        return BTreeSet::new();
    }
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| has_one_of(*pid, &sockets)).map(named).collect()
}

/// The numbers of the sockets in a table of the kernel that are at `port` in `state`.
fn sockets_at(table: &str, port: u16, state: &str) -> Vec<String> {
    let end = format!(":{port:04X}");
    let of_line = |line: &str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let is_there = fields.get(1)?.ends_with(&end) && *fields.get(3)? == state;
        is_there.then(|| fields.get(9).map(|inode| (*inode).to_owned()))?
    };
    table.lines().filter_map(of_line).collect()
}

fn has_one_of(pid: u32, sockets: &BTreeSet<String>) -> bool {
    let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let mut targets = files.filter_map(|file| fs::read_link(file.path()).ok());
    targets.any(|target| {
        let name = target.to_string_lossy();
        let inode = name.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']'));
        inode.is_some_and(|inode| sockets.contains(inode))
    })
}

fn named(pid: u32) -> String {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    format!("`{}` (process {pid})", crate::output::one_line(name.trim()))
}

#[cfg(test)]
mod tests {
    use super::{Place, holders, place, sockets_at};
    use std::net::{TcpListener, UdpSocket};

    #[test]
    fn doors_are_places() {
        assert_eq!(place("127.0.0.1:80/tcp"), Some(Place { port: 80, is_udp: false }));
        assert_eq!(place("[::]:53/udp"), Some(Place { port: 53, is_udp: true }));
        assert_eq!(place("somewhere"), None);
    }

    #[test]
    fn lines_of_the_kernels_table_are_read() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid \
                     timeout inode\n   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 \
                     00000000     0        0 4711 1 0000000000000000\n   1: 0100007F:1F90 0100007F:9000 \
                     01 00000000:00000000 00:00000000 00000000     0        0 4712 1\n";
        assert_eq!(sockets_at(table, 8080, "0A"), ["4711"]);
        assert!(sockets_at(table, 80, "0A").is_empty());
    }

    #[test]
    fn a_stranger_is_found_by_the_port_it_has() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let own = format!("(process {})", std::process::id());
        let found = holders(Place { port, is_udp: false });
        assert!(found.iter().any(|name| name.ends_with(&own)), "{found:?}");
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let port = socket.local_addr().expect("bound").port();
        let found = holders(Place { port, is_udp: true });
        assert!(found.iter().any(|name| name.ends_with(&own)), "{found:?}");
    }
}
