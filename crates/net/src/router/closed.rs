//! Where no machine gets to by the way out, whatever its policy says.
//!
//! Metadata services hand the host's cloud credentials to whoever asks from the host's address,
//! and translation makes every machine ask from there. The instance's own ranges are closed so
//! that a packet to a machine never takes a way around the rules, here or through another
//! instance. The private ranges of the operator's own networks (10/8, 172.16/12, 192.168/16,
//! fc00::/7) are open, as a user of containers expects; a policy can close them.

use super::statement::prefix;
use crate::addr::{V4Range, V6_SITE};
use serde_json::Value;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Closed IPv4 ranges beside the instance's own.
const CLOSED_V4: [(Ipv4Addr, u8); 6] = [
    // "This host", RFC 1122.
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    // Where machines of any instance live; also Alibaba Cloud's metadata at 100.100.100.200.
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    // Azure's platform address: certificates and settings of the host.
    (Ipv4Addr::new(168, 63, 129, 16), 32),
    // Link-local: metadata of nearly every cloud at 169.254.169.254, and all uplinks.
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    // Multicast, reserved and broadcast, RFC 1112.
    (Ipv4Addr::new(224, 0, 0, 0), 3),
];

/// Closed IPv6 ranges.
const CLOSED_V6: [(Ipv6Addr, u8); 9] = [
    // Loopback, unspecified and the old form of embedded IPv4 addresses.
    (Ipv6Addr::UNSPECIFIED, 96),
    // IPv4 addresses dressed up as IPv6.
    (Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96),
    // 169.254.0.0/16 through a translator, RFC 6052.
    (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0xa9fe, 0), 112),
    // Metadata of AWS and of Google Cloud.
    (Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), 128),
    (Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254), 128),
    // The uplinks of all instances.
    (Ipv6Addr::new(0xfd64, 0x6d00, 0, 0, 0, 0, 0, 0), 32),
    // Where machines of any instance live.
    (Ipv6Addr::new(V6_SITE, 0, 0, 0, 0, 0, 0, 0), 16),
    // Link-local and multicast.
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10),
    (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8),
];

/// The closed IPv4 ranges of an instance whose machines live in `own`, none inside another.
pub(super) fn v4(own: V4Range) -> Vec<Value> {
    let own = own.prefix();
    let holds = |(outer, len): (Ipv4Addr, u8), (inner, inner_len): (Ipv4Addr, u8)| {
        len <= inner_len && (u32::from(outer) ^ u32::from(inner)) >> (32 - len) == 0
    };
    let mut ranges: Vec<_> = CLOSED_V4.into_iter().filter(|range| !holds(own, *range)).collect();
    if !ranges.iter().any(|range| holds(*range, own)) {
        ranges.push(own);
    }
    ranges.into_iter().map(|(addr, len)| prefix(addr.into(), len)).collect()
}

/// The closed IPv6 ranges.
pub(super) fn v6() -> Vec<Value> {
    CLOSED_V6.into_iter().map(|(addr, len)| prefix(addr.into(), len)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(own: [u8; 4], len: u8, expected: &[&str]) {
        let range = V4Range::new(own.into(), len).expect("aligned");
        let mut texts: Vec<String> = v4(range)
            .iter()
            .map(|range| {
                let range = &range["prefix"];
                format!("{}/{}", range["addr"].as_str().expect("text"), range["len"])
            })
            .collect();
        texts.sort_unstable();
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        assert_eq!(texts, expected);
    }

    /// The kernel refuses a set whose ranges overlap.
    #[test]
    fn the_own_range_joins_without_overlap() {
        let usual = [
            "0.0.0.0/8",
            "100.64.0.0/10",
            "127.0.0.0/8",
            "168.63.129.16/32",
            "169.254.0.0/16",
            "224.0.0.0/3",
        ];
        check([100, 64, 0, 0], 10, &usual);
        check([100, 65, 0, 0], 16, &usual);
        check([10, 0, 0, 0], 8, &[&usual[..], &["10.0.0.0/8"]].concat());
        let wider = ["0.0.0.0/8", "127.0.0.0/8", "168.63.129.16/32", "169.254.0.0/16"];
        check([100, 0, 0, 0], 8, &[&wider[..], &["224.0.0.0/3", "100.0.0.0/8"]].concat());
    }
}
