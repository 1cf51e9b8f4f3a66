//! A machine's addresses on a slot, and off again: the start path's part of the network.
//!
//! The addresses go onto the slot's link first and the routes into the router last, and leave in
//! the opposite order. So whatever a crash leaves behind, the addresses found in the slot name
//! every route that may exist.

use super::Slot;
use crate::addr::{MachineAddrs, V6_MACHINE_LEN};
use crate::error::Result;
use crate::router::{ROUTER_V4, ROUTER_V6, Router};
use netlink::{Batch, Prefix, Route, Target, add_address, add_route, delete_address, delete_route};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The addresses of a machine as they stand on its link.
pub(crate) fn prefixes(addrs: &MachineAddrs) -> [Prefix; 2] {
    [
        Prefix { addr: addrs.v4.into(), len: 32 },
        Prefix { addr: addrs.v6.into(), len: V6_MACHINE_LEN },
    ]
}

/// Makes the slot the place of a machine's addresses.
pub(super) fn assign(router: &Router, slot: &mut Slot, addrs: &MachineAddrs) -> Result<()> {
    if !slot.carries(addrs) {
        unassign(router, slot)?;
    }
    let wanted = prefixes(addrs);
    slot.carried = wanted.to_vec();
    let mut inside = Batch::new();
    for prefix in wanted {
        add_address(&mut inside, slot.guest_index, prefix);
    }
    // The kernel drops IPv4 routes with the last IPv4 address, so this one is set each time.
    add_route(&mut inside, &default_v4(slot.guest_index, addrs.v4));
    slot.socket.apply(inside)?;

    lead_here(router, slot.router_index, &wanted)
}

/// Takes every address off the slot and its routes out of the router.
pub(super) fn unassign(router: &Router, slot: &mut Slot) -> Result<()> {
    if slot.carried.is_empty() {
        return Ok(());
    }
    lead_away(router, slot.router_index, &slot.carried)?;
    let mut inside = Batch::new();
    for &prefix in &slot.carried {
        delete_address(&mut inside, slot.guest_index, prefix);
    }
    slot.socket.apply(inside)?;
    slot.carried.clear();
    Ok(())
}

/// Leads what is sent to these addresses to a link of the router, wherever it went before.
pub(crate) fn lead_here(router: &Router, router_index: u32, prefixes: &[Prefix]) -> Result<()> {
    let mut batch = Batch::new();
    for &prefix in prefixes {
        let (to, source) = destination(prefix);
        let target = Target::Link(router_index);
        add_route(&mut batch, &Route { to, target, source: Some(source) });
    }
    Ok(router.socket().apply(batch)?)
}

/// Leads what is sent to these addresses to a link of the router no longer, if it did.
pub(crate) fn lead_away(router: &Router, router_index: u32, prefixes: &[Prefix]) -> Result<()> {
    let mut batch = Batch::new();
    for &prefix in prefixes {
        delete_route(&mut batch, destination(prefix).0, router_index);
    }
    Ok(router.socket().apply(batch)?)
}

fn default_v4(guest_index: u32, own: Ipv4Addr) -> Route {
    Route {
        to: Prefix { addr: Ipv4Addr::UNSPECIFIED.into(), len: 0 },
        target: Target::Gateway(guest_index, ROUTER_V4.into()),
        source: Some(own.into()),
    }
}

/// Where the router's route to an address of a machine leads, and the source it sends from.
pub(crate) fn destination(prefix: Prefix) -> (Prefix, IpAddr) {
    match prefix.addr {
        IpAddr::V4(_) => (prefix, ROUTER_V4.into()),
        IpAddr::V6(addr) => {
            let host_bits = u128::MAX.checked_shr(u32::from(prefix.len)).unwrap_or(0);
            let network = Ipv6Addr::from(u128::from(addr) & !host_bits);
            (Prefix { addr: network.into(), len: prefix.len }, ROUTER_V6.into())
        }
    }
}
