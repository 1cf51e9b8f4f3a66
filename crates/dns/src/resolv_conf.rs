//! Which resolvers does the host use?

use std::net::{IpAddr, SocketAddr};

/// Most upstream servers taken from a configuration; the C library reads no more either.
pub const UPSTREAMS_MAX: usize = 3;

/// Port of DNS.
const PORT: u16 = 53;

/// Reads the `nameserver` lines of a `resolv.conf`; what cannot be read is left out, also
/// link-local addresses with a scope.
#[must_use]
pub fn parse_resolv_conf(text: &str) -> Vec<SocketAddr> {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_ascii_whitespace();
            (words.next() == Some("nameserver")).then(|| words.next()).flatten()
        })
        .filter_map(|word| word.parse::<IpAddr>().ok())
        .map(|address| SocketAddr::new(address, PORT))
        .take(UPSTREAMS_MAX)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let found: Vec<String> = parse_resolv_conf(text).iter().map(ToString::to_string).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn nameservers_are_read_in_order_and_bounded() {
        check("nameserver 127.0.0.53\noptions edns0 trust-ad\n", &["127.0.0.53:53"]);
        check("# nameserver 1.1.1.1\n; x\n\tnameserver   2001:db8::1 \n", &["[2001:db8::1]:53"]);
        check("nameserver fe80::1%eth0\nnameserver x\nnameserver\n", &[]);
        check(&"nameserver 192.0.2.1\n".repeat(9), &["192.0.2.1:53"; UPSTREAMS_MAX]);
        check("nameservers 192.0.2.1\n", &[]);
    }
}
