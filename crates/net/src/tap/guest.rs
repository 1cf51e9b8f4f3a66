//! What the guest at the other end of a tap has to set, in words for any kind of guest.

use crate::addr::{MachineAddrs, V6_MACHINE_LEN};
use crate::router::{GATEWAY_V6, ROUTER_V4};
use std::net::{Ipv4Addr, Ipv6Addr};

/// Hardware address of both ends of every tap.
///
/// Each is a link of two, so all may have the same: a guest that was copied from another one finds
/// the card that it knows. Locally administered, as the second bit says.
pub const MAC: [u8; 6] = [0x02, 0x64, 0x6d, 0x00, 0x00, 0x02];

/// What a guest has to set on its link to speak with the router, and through it with others.
///
/// The router neither asks nor answers who has an address (no ARP, no neighbour discovery). A guest
/// either does the same on its link, or gives both gateways a permanent neighbour entry with its own hardware
/// address. Detection
/// of duplicates and router advertisements are of no use to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuestNetwork {
    /// Hardware address of the guest's network card, and of both gateways.
    pub mac: [u8; 6],
    /// The machine's IPv4 address.
    pub v4: Ipv4Addr,
    /// Length of its prefix, in bits: all of them, so that everybody else is behind the gateway.
    pub v4_len: u8,
    /// The machine's IPv6 address.
    pub v6: Ipv6Addr,
    /// Length of its prefix, in bits: the guest may use any address in it.
    pub v6_len: u8,
    /// Where the IPv4 default route leads; on the link, though no prefix says so.
    pub gateway_v4: Ipv4Addr,
    /// Where the IPv6 default route leads; link-local.
    pub gateway_v6: Ipv6Addr,
}

impl GuestNetwork {
    /// What the guest of the machine with these addresses has to set.
    #[must_use]
    pub fn of(addrs: &MachineAddrs) -> Self {
        Self {
            mac: MAC,
            v4: addrs.v4,
            v4_len: 32,
            v6: addrs.v6,
            v6_len: V6_MACHINE_LEN,
            gateway_v4: ROUTER_V4,
            gateway_v6: GATEWAY_V6,
        }
    }
}
