//! Which ports listen?
//!
//! The kernel is asked for listening sockets alone ([`diag`]); where it cannot be asked, its tables
//! of all sockets are read ([`table`]).

mod diag;
mod table;

use guest_proto::message::ListenSocket;
use std::net::SocketAddr;

/// Most sockets told.
const SOCKETS_MAX: usize = 1_000;

/// Protocol and family of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Tcp4,
    Tcp6,
    Udp4,
    Udp6,
}

/// A listening socket and its inode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// What it is.
    pub(crate) kind: Kind,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Its inode, as in `/proc/<pid>/fd`.
    pub(crate) inode: u64,
}

impl Kind {
    const TCP: [Self; 2] = [Self::Tcp4, Self::Tcp6];
    const ALL: [Self; 4] = [Self::Tcp4, Self::Tcp6, Self::Udp4, Self::Udp6];

    const fn protocol(self) -> &'static str {
        match self {
            Self::Tcp4 | Self::Tcp6 => "tcp",
            Self::Udp4 | Self::Udp6 => "udp",
        }
    }
}

impl Found {
    /// As it is told to the host.
    pub(crate) fn socket(&self) -> ListenSocket {
        ListenSocket { proto: self.kind.protocol().to_owned(), address: self.address.to_string() }
    }
}

/// The listening sockets of the machine.
pub(crate) fn listening() -> Vec<ListenSocket> {
    find_all().iter().map(Found::socket).collect()
}

/// TCP ports that listen.
pub(crate) fn tcp_ports() -> Vec<u16> {
    find(&Kind::TCP).iter().map(|found| found.address.port()).collect()
}

/// The listening sockets with their inodes.
pub(crate) fn find_all() -> Vec<Found> {
    find(&Kind::ALL)
}

fn find(kinds: &[Kind]) -> Vec<Found> {
    // Kernels without this interface, or this part of it, have the tables still.
    let of_kind = |kind: &Kind| diag::find(*kind).unwrap_or_else(|_error| table::find(*kind));
    kinds.iter().flat_map(of_kind).take(SOCKETS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::{Found, Kind, diag, table};
    use std::net::{SocketAddr, TcpListener, UdpSocket};

    #[test]
    fn both_ways_find_the_same() {
        let tcp4 = TcpListener::bind("127.0.0.1:0").expect("a socket");
        let tcp6 = TcpListener::bind("[::1]:0").expect("a socket");
        let udp4 = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let udp6 = UdpSocket::bind("[::1]:0").expect("a socket");
        let addresses =
            [tcp4.local_addr(), tcp6.local_addr(), udp4.local_addr(), udp6.local_addr()];
        let at = |found: Vec<Found>, address: SocketAddr| -> Vec<Found> {
            found.into_iter().filter(|found| found.address == address).collect()
        };
        for (kind, address) in Kind::ALL.into_iter().zip(addresses) {
            let address = address.expect("an address");
            let asked = at(diag::find(kind).expect("found"), address);
            assert_eq!(asked.len(), 1, "{asked:?}");
            assert_eq!(asked, at(table::find(kind), address));
        }
    }
}
