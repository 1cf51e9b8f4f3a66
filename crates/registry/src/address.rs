//! Which addresses may be connected to.
//!
//! A reference, a redirect and the realm of a challenge all name hosts, and whoever writes them may
//! not be trusted with this host's own network. So the rule is about addresses, is asked about the
//! very address that is dialled next, and no name is resolved again in between.
//!
//! Sources: the IANA special-purpose address registries for IPv4 and IPv6 (RFC 6890 and its
//! updates); the documented metadata addresses of cloud providers.

use crate::allow::AllowList;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where connections may go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressPolicy {
    /// Anywhere: for what the operator asks for.
    Anywhere,
    /// To public addresses, and to private ones of servers that the operator has named: for what
    /// tenants ask for. A list that only says `*` names nobody.
    Public {
        /// Servers that may be on this host, in private networks or behind carrier NAT.
        except: AllowList,
    },
}

/// What an address is, when it is not a public one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Special {
    /// This host.
    Loopback,
    /// A private network (RFC 1918, RFC 4193).
    Private,
    /// Behind a carrier's NAT (RFC 6598); machines of this host have such addresses.
    Carrier,
    /// Where clouds hand out credentials.
    Metadata,
    /// One link only.
    LinkLocal,
    /// Several hosts at once.
    Multicast,
    /// No host: unspecified, documentation, benchmarks, reserved.
    Reserved,
}

impl fmt::Display for Special {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Loopback => "a loopback address",
            Self::Private => "a private address",
            Self::Carrier => "an address of a carrier's or this host's own NAT",
            Self::Metadata => "a metadata address",
            Self::LinkLocal => "a link-local address",
            Self::Multicast => "a multicast address",
            Self::Reserved => "a reserved address",
        })
    }
}

impl AddressPolicy {
    /// Whether `host`, known to be at `address`, may be connected to on `port`.
    ///
    /// # Errors
    /// What the address is, when that is refused.
    pub fn check(&self, host: &str, port: u16, address: IpAddr) -> Result<(), Special> {
        let Self::Public { except } = self else { return Ok(()) };
        match special(address) {
            None => Ok(()),
            Some(Special::Loopback | Special::Private | Special::Carrier)
                if except.names_server(host, port) =>
            {
                Ok(())
            }
            Some(special) => Err(special),
        }
    }
}

/// Metadata services outside the link-local block: Azure's wire server, Alibaba Cloud, Oracle Cloud.
const METADATA_V4: [Ipv4Addr; 4] = [
    Ipv4Addr::new(169, 254, 169, 254),
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(192, 0, 0, 192),
];
/// Metadata service of EC2.
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

/// Blocks of IPv4: first address, length of the prefix, what it is.
const BLOCKS_V4: [(Ipv4Addr, u32, Special); 16] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8, Special::Reserved),
    (Ipv4Addr::new(10, 0, 0, 0), 8, Special::Private),
    (Ipv4Addr::new(100, 64, 0, 0), 10, Special::Carrier),
    (Ipv4Addr::new(127, 0, 0, 0), 8, Special::Loopback),
    (Ipv4Addr::new(169, 254, 0, 0), 16, Special::LinkLocal),
    (Ipv4Addr::new(172, 16, 0, 0), 12, Special::Private),
    (Ipv4Addr::new(192, 0, 0, 0), 24, Special::Reserved),
    (Ipv4Addr::new(192, 0, 2, 0), 24, Special::Reserved),
    (Ipv4Addr::new(192, 31, 196, 0), 24, Special::Reserved),
    (Ipv4Addr::new(192, 88, 99, 0), 24, Special::Reserved),
    (Ipv4Addr::new(192, 168, 0, 0), 16, Special::Private),
    (Ipv4Addr::new(198, 18, 0, 0), 15, Special::Reserved),
    (Ipv4Addr::new(198, 51, 100, 0), 24, Special::Reserved),
    (Ipv4Addr::new(203, 0, 113, 0), 24, Special::Reserved),
    (Ipv4Addr::new(224, 0, 0, 0), 4, Special::Multicast),
    (Ipv4Addr::new(240, 0, 0, 0), 4, Special::Reserved),
];

/// Blocks of IPv6, in the same form. Only 2000::/3 is handed out; what is special in it stands here
/// with what is worth a name outside of it.
const BLOCKS_V6: [(Ipv6Addr, u32, Special); 8] = [
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7, Special::Private),
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10, Special::LinkLocal),
    (Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0), 10, Special::Private),
    (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8, Special::Multicast),
    // Translation of a private address by a network's own NAT64.
    (Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 48, Special::Private),
    // Teredo and its neighbours, which tunnel to wherever they say.
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23, Special::Reserved),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32, Special::Reserved),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20, Special::Reserved),
];

/// What `address` is, or nothing for a public one.
#[must_use]
pub fn special(address: IpAddr) -> Option<Special> {
    match address {
        IpAddr::V4(v4) => special_v4(v4),
        IpAddr::V6(v6) => special_v6(v6),
    }
}

fn special_v4(address: Ipv4Addr) -> Option<Special> {
    if METADATA_V4.contains(&address) {
        return Some(Special::Metadata);
    }
    let has =
        |first: Ipv4Addr, bits: u32| (address.to_bits() ^ first.to_bits()) >> (32 - bits) == 0;
    BLOCKS_V4.iter().find(|(first, bits, _)| has(*first, *bits)).map(|(_, _, special)| *special)
}

fn special_v6(address: Ipv6Addr) -> Option<Special> {
    if address == Ipv6Addr::LOCALHOST {
        return Some(Special::Loopback);
    }
    if address == METADATA_V6 {
        return Some(Special::Metadata);
    }
    if let Some(v4) = embedded_v4(address) {
        return special_v4(v4);
    }
    let has =
        |first: Ipv6Addr, bits: u32| (address.to_bits() ^ first.to_bits()) >> (128 - bits) == 0;
    let block = BLOCKS_V6.iter().find(|(first, bits, _)| has(*first, *bits));
    let is_global = has(Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);
    block.map(|(_, _, special)| *special).or((!is_global).then_some(Special::Reserved))
}

/// The IPv4 address that packets to this one end up at: mapped (`::ffff:0:0/96`), compatible
/// (`::/96`), translated (`64:ff9b::/96`, RFC 6052) or tunnelled (`2002::/16`, RFC 3056).
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let v4 = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    match (a, b, c, d, e, f) {
        (0, 0, 0, 0, 0, 0 | 0xffff) | (0, 0, 0, 0, 0xffff, 0) | (0x64, 0xff9b, 0, 0, 0, 0) => {
            Some(v4(g, h))
        }
        (0x2002, ..) => Some(v4(b, c)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(address: &str, expected: Option<Special>) {
        let parsed = address.parse().expect("an address");
        assert_eq!(special(parsed), expected, "{address}");
    }

    #[test]
    fn special_addresses_of_ipv4() {
        check("127.0.0.1", Some(Special::Loopback));
        check("127.255.255.254", Some(Special::Loopback));
        check("0.0.0.0", Some(Special::Reserved));
        check("10.1.2.3", Some(Special::Private));
        check("172.15.255.255", None);
        check("172.16.0.0", Some(Special::Private));
        check("172.31.255.255", Some(Special::Private));
        check("172.32.0.0", None);
        check("192.168.1.1", Some(Special::Private));
        check("100.63.255.255", None);
        check("100.64.0.1", Some(Special::Carrier));
        check("100.127.255.255", Some(Special::Carrier));
        check("100.128.0.0", None);
        check("169.254.1.1", Some(Special::LinkLocal));
        check("169.254.169.254", Some(Special::Metadata));
        check("168.63.129.16", Some(Special::Metadata));
        check("100.100.100.200", Some(Special::Metadata));
        check("198.19.0.1", Some(Special::Reserved));
        check("224.0.0.1", Some(Special::Multicast));
        check("255.255.255.255", Some(Special::Reserved));
        check("1.1.1.1", None);
    }

    #[test]
    fn special_addresses_of_ipv6_and_ipv4_in_disguise() {
        check("::1", Some(Special::Loopback));
        check("::", Some(Special::Reserved));
        check("::ffff:127.0.0.1", Some(Special::Loopback));
        check("::ffff:10.0.0.1", Some(Special::Private));
        check("::ffff:1.1.1.1", None);
        check("::127.0.0.1", Some(Special::Loopback));
        check("::ffff:0:169.254.169.254", Some(Special::Metadata));
        check("64:ff9b::7f00:1", Some(Special::Loopback));
        check("64:ff9b:1::1", Some(Special::Private));
        check("2002:7f00:1::1", Some(Special::Loopback));
        check("2002:101:101::1", None);
        check("2001::1", Some(Special::Reserved));
        check("2001:db8::1", Some(Special::Reserved));
        check("fd00:ec2::254", Some(Special::Metadata));
        check("fdaa::3", Some(Special::Private));
        check("fe80::1", Some(Special::LinkLocal));
        check("fec0::1", Some(Special::Private));
        check("ff02::1", Some(Special::Multicast));
        check("4000::1", Some(Special::Reserved));
        check("2606:4700:4700::1111", None);
    }

    #[test]
    fn only_named_servers_may_be_private_and_nobody_may_be_metadata() {
        let named: AllowList = "*, r.corp:5000, *.meta.corp".parse().expect("a list");
        let policy = AddressPolicy::Public { except: named };
        let check =
            |host, port, ip: &str| policy.check(host, port, ip.parse().expect("an address"));
        assert_eq!(check("r.corp", 5000, "10.0.0.1"), Ok(()));
        assert_eq!(check("r.corp", 5000, "127.0.0.1"), Ok(()));
        assert_eq!(check("r.corp", 80, "10.0.0.1"), Err(Special::Private));
        assert_eq!(check("other.org", 5000, "10.0.0.1"), Err(Special::Private));
        assert_eq!(check("other.org", 443, "1.1.1.1"), Ok(()));
        assert_eq!(check("x.meta.corp", 443, "169.254.169.254"), Err(Special::Metadata));
        assert_eq!(check("x.meta.corp", 443, "fe80::1"), Err(Special::LinkLocal));
        let anywhere = AddressPolicy::Anywhere;
        assert_eq!(anywhere.check("x", 1, "127.0.0.1".parse().expect("an address")), Ok(()));
    }

    proptest! {
        #[test]
        fn an_address_is_as_special_as_the_one_in_it(bits in any::<u32>()) {
            let v4 = Ipv4Addr::from_bits(bits);
            let mapped = v4.to_ipv6_mapped();
            prop_assert_eq!(special(v4.into()), special(mapped.into()));
        }

        #[test]
        fn what_the_standard_library_calls_local_is_special(bits in any::<u32>()) {
            let v4 = Ipv4Addr::from_bits(bits);
            if v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_multicast()
                || v4.is_unspecified() || v4.is_broadcast() || v4.is_documentation()
            {
                prop_assert!(special(v4.into()).is_some());
            }
        }
    }
}
