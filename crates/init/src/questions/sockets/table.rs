//! From the tables of `/proc/net`.
//!
//! The kernel walks every place of its hash tables for them, whether anything is there or not: on a
//! host with much memory that takes ten milliseconds for TCP.

use super::{Found, Kind};
use crate::files;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Most bytes read of each table. The kernel lists listening TCP sockets first.
const TABLE_MAX_BYTES: usize = 1024 * 1024;

/// State of a listening TCP socket.
const TCP_LISTEN: &str = "0A";

/// State of a UDP socket that is not connected.
const UDP_UNCONNECTED: &str = "07";

/// The listening sockets of this kind; none if there is no such table.
pub(super) fn find(kind: Kind) -> Vec<Found> {
    let (path, state) = match kind {
        Kind::Tcp4 => ("/proc/net/tcp", TCP_LISTEN),
        Kind::Tcp6 => ("/proc/net/tcp6", TCP_LISTEN),
        Kind::Udp4 => ("/proc/net/udp", UDP_UNCONNECTED),
        Kind::Udp6 => ("/proc/net/udp6", UDP_UNCONNECTED),
    };
    let table = files::read_bounded(path, TABLE_MAX_BYTES).unwrap_or_default();
    parse(kind, state, &String::from_utf8_lossy(&table))
}

fn parse(kind: Kind, state: &str, table: &str) -> Vec<Found> {
    table.lines().skip(1).filter_map(|line| parse_line(kind, state, line)).collect()
}

/// Fields of a line: number, local address, remote address, state, …, inode at 9.
fn parse_line(kind: Kind, state: &str, line: &str) -> Option<Found> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let local = fields.next()?;
    if fields.nth(1)? != state {
        return None;
    }
    let inode = fields.nth(5)?.parse().ok()?;
    Some(Found { kind, address: parse_address(local)?, inode })
}

/// `0100007F:1F90`: each four bytes of the address as one number in the host's byte order.
fn parse_address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word =
        |at: usize| Some(u32::from_str_radix(address.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    let address = match address.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut bytes = [0; 16];
            for (n, chunk) in bytes.chunks_exact_mut(4).enumerate() {
                chunk.copy_from_slice(&word(n * 8)?);
            }
            IpAddr::V6(Ipv6Addr::from(bytes))
        }
        _ => return None,
    };
    Some(SocketAddr::new(address, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(kind: Kind, state: &str, line: &str, expected: Option<(&str, u64)>) {
        let found = parse_line(kind, state, line);
        let found = found.map(|found| (found.address.to_string(), found.inode));
        let found = found.as_ref().map(|(address, inode)| (&**address, *inode));
        assert_eq!(found, expected, "{line}");
    }

    #[test]
    fn tables_of_the_kernel() {
        let tail = "00000000:00000000 00:00000000 00000000 0 0";
        check(
            Kind::Tcp4,
            TCP_LISTEN,
            &format!(" 0: 0100007F:1F90 00000000:0000 0A {tail} 4242 1"),
            Some(("127.0.0.1:8080", 4242)),
        );
        check(
            Kind::Tcp4,
            TCP_LISTEN,
            &format!(" 0: 0100007F:1F90 00000000:0000 01 {tail} 4242 1"),
            None,
        );
        check(
            Kind::Tcp4,
            TCP_LISTEN,
            &format!(
                "0: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A {tail} 7"
            ),
            Some(("[::1]:80", 7)),
        );
        check(
            Kind::Udp4,
            UDP_UNCONNECTED,
            &format!("99: 00000000:0035 00000000:0000 07 {tail} 8 2"),
            Some(("0.0.0.0:53", 8)),
        );
    }

    #[test]
    fn nonsense_is_passed_over() {
        for line in
            ["", "0:", "0: x:y z 0A", "0: 0100007F:1F90 0:0 0A", "0: é00007F:1F90 0 0A 0 0 0 0 0 1"]
        {
            check(Kind::Tcp4, TCP_LISTEN, line, None);
        }
    }
}
