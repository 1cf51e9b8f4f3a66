//! Any addresses in the header that tells a program who its visitor is, read by another hand.

#![no_main]

use libfuzzer_sys::fuzz_target;
use model::spec::service::ProxyProto;
use proxy::fuzzing::proxy_header;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Addresses and ports of one end: whether it is IPv4, the address, the port.
const END_BYTES: usize = 1 + 16 + 2;

/// Longest line of version 1, in bytes. Source: the PROXY protocol, section 2.1.
const LINE_MAX_BYTES: usize = 107;

fuzz_target!(|bytes: &[u8]| {
    let Some((peer, rest)) = bytes.split_at_checked(END_BYTES) else { return };
    let Some((local, _)) = rest.split_at_checked(END_BYTES) else { return };
    let (peer, local) = (end(peer), end(local));
    let line = proxy_header(ProxyProto::V1, peer, local);
    assert!(line.len() <= LINE_MAX_BYTES, "{}", line.escape_ascii());
    assert!(is_same(of_line(&line), (peer, local)), "{}", line.escape_ascii());
    let binary = proxy_header(ProxyProto::V2, peer, local);
    assert!(is_same(of_binary(&binary), (peer, local)), "{binary:02x?}");
});

fn end(bytes: &[u8]) -> SocketAddr {
    let octets: [u8; 16] = bytes[1..17].try_into().expect("16 bytes");
    let ip: IpAddr = match bytes[0] & 1 {
        0 => Ipv4Addr::new(octets[0], octets[1], octets[2], octets[3]).into(),
        _ => Ipv6Addr::from(octets).into(),
    };
    SocketAddr::new(ip, u16::from_be_bytes([bytes[17], bytes[18]]))
}

/// However IPv4 is written.
fn is_same(told: (SocketAddr, SocketAddr), meant: (SocketAddr, SocketAddr)) -> bool {
    let plain = |at: SocketAddr| (at.ip().to_canonical(), at.port());
    plain(told.0) == plain(meant.0) && plain(told.1) == plain(meant.1)
}

fn of_line(line: &[u8]) -> (SocketAddr, SocketAddr) {
    let text = std::str::from_utf8(line).expect("text");
    let words: Vec<_> = text.strip_suffix("\r\n").expect("its end").split(' ').collect();
    let [proxy, family, from, to, from_port, to_port] = words[..] else { panic!("{text}") };
    let ip = |text: &str| -> IpAddr { text.parse().expect("an address") };
    let port = |text: &str| -> u16 { text.parse().expect("a port") };
    let is_v4 = family == "TCP4";
    assert!(proxy == "PROXY" && (is_v4 || family == "TCP6"));
    assert!(ip(from).is_ipv4() == is_v4 && ip(to).is_ipv4() == is_v4, "{text}");
    (SocketAddr::new(ip(from), port(from_port)), SocketAddr::new(ip(to), port(to_port)))
}

fn of_binary(header: &[u8]) -> (SocketAddr, SocketAddr) {
    assert_eq!(header[..13], *b"\r\n\r\n\0\r\nQUIT\n\x21");
    let n_rest = usize::from(u16::from_be_bytes([header[14], header[15]]));
    let rest = &header[16..];
    assert_eq!(rest.len(), n_rest);
    let n_ip = match header[13] {
        0x11 => 4,
        0x21 => 16,
        other => panic!("{other:02x} is no family"),
    };
    let ip = |bytes: &[u8]| -> IpAddr {
        match <[u8; 4]>::try_from(bytes) {
            Ok(octets) => octets.into(),
            Err(_) => <[u8; 16]>::try_from(bytes).expect("16 bytes").into(),
        }
    };
    let (from, rest) = rest.split_at(n_ip);
    let (to, ports) = rest.split_at(n_ip);
    let port = |at: usize| u16::from_be_bytes([ports[at], ports[at + 1]]);
    assert_eq!(ports.len(), 4);
    (SocketAddr::new(ip(from), port(0)), SocketAddr::new(ip(to), port(2)))
}
