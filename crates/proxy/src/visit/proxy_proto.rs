//! The header that tells a program who its visitor is.
//!
//! Source: the PROXY protocol, versions 1 and 2, sections 2.1 and 2.2.

use model::spec::service::ProxyProto;
use std::net::{IpAddr, SocketAddr};

/// First bytes of version 2.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// Version 2, a connection of somebody else.
const VERSION_2_PROXY: u8 = 0x21;

/// A stream over IPv4.
const STREAM_V4: u8 = 0x11;

/// A stream over IPv6.
const STREAM_V6: u8 = 0x21;

/// The header for a visitor that came from `peer` to `local`.
pub(crate) fn header(version: ProxyProto, peer: SocketAddr, local: SocketAddr) -> Vec<u8> {
    let (peer, local) = same_family(peer, local);
    match version {
        ProxyProto::V1 => line(peer, local).into_bytes(),
        ProxyProto::V2 => binary(peer, local),
    }
}

fn line(peer: SocketAddr, local: SocketAddr) -> String {
    let family = if peer.is_ipv4() { "TCP4" } else { "TCP6" };
    let (from, to) = (peer.ip(), local.ip());
    format!("PROXY {family} {from} {to} {} {}\r\n", peer.port(), local.port())
}

fn binary(peer: SocketAddr, local: SocketAddr) -> Vec<u8> {
    let (family, addresses) = match (peer.ip(), local.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => (STREAM_V4, [from.octets(), to.octets()].concat()),
        (from, to) => {
            let both = [v6_octets(from), v6_octets(to)];
            (STREAM_V6, both.concat())
        }
    };
    let ports = [peer.port().to_be_bytes(), local.port().to_be_bytes()].concat();
    let n_bytes = u16::try_from(addresses.len() + ports.len()).unwrap_or(u16::MAX);
    let head = [&SIGNATURE[..], &[VERSION_2_PROXY, family], &n_bytes.to_be_bytes()].concat();
    [head, addresses, ports].concat()
}

/// Both as IPv4 when they are that, however they are written; else both as IPv6.
fn same_family(peer: SocketAddr, local: SocketAddr) -> (SocketAddr, SocketAddr) {
    let plain = |at: SocketAddr| SocketAddr::new(at.ip().to_canonical(), at.port());
    let (peer, local) = (plain(peer), plain(local));
    if peer.is_ipv4() == local.is_ipv4() {
        return (peer, local);
    }
    let wide = |at: SocketAddr| SocketAddr::new(v6_octets(at.ip()).into(), at.port());
    (wide(peer), wide(local))
}

fn v6_octets(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

#[cfg(test)]
mod tests {
    use super::{SIGNATURE, header};
    use model::spec::service::ProxyProto;

    #[track_caller]
    fn check_v1(peer: &str, local: &str, expected: &str) {
        let (peer, local) = (peer.parse().expect("an address"), local.parse().expect("an address"));
        let line = header(ProxyProto::V1, peer, local);
        assert_eq!(String::from_utf8(line).expect("text"), expected);
    }

    #[test]
    fn lines() {
        check_v1("1.2.3.4:5", "6.7.8.9:80", "PROXY TCP4 1.2.3.4 6.7.8.9 5 80\r\n");
        check_v1("[::1]:5", "[::2]:80", "PROXY TCP6 ::1 ::2 5 80\r\n");
        check_v1("[::ffff:1.2.3.4]:5", "6.7.8.9:80", "PROXY TCP4 1.2.3.4 6.7.8.9 5 80\r\n");
    }

    #[test]
    fn binary_headers() {
        let at = |text: &str| text.parse().expect("an address");
        let v4 = header(ProxyProto::V2, at("1.2.3.4:5"), at("6.7.8.9:80"));
        assert_eq!(v4[..12], SIGNATURE);
        assert_eq!(v4[12..], [0x21, 0x11, 0, 12, 1, 2, 3, 4, 6, 7, 8, 9, 0, 5, 0, 80]);
        let v6 = header(ProxyProto::V2, at("[::1]:5"), at("[::2]:80"));
        assert_eq!((v6.len(), v6[13], v6[15]), (16 + 36, 0x21, 36));
    }
}
