//! Loopback, and the machine's link, as a slot of the container engine has them (`crates/net/src/slot`), but
//! set by the guest itself: a kernel has both switched off.
//!
//! Finding the card and switching it on takes three times as long as all the rest, and is the same for
//! every machine: it is done while nobody waits.

use super::Failure;
use crate::start_error::text;
use guest_proto::LinkOrders;
use netlink::{
    Batch, Error, Prefix, Route, Socket, Target, add_address, add_neighbour, add_route,
    delete_address, link_named, set_down, set_up,
};
use std::net::{Ipv4Addr, Ipv6Addr};

/// Name of the link: the kernel's own for its first card, and that of a slot's link.
const NAME: &str = "eth0";

/// Name and number of the loopback interface: the first that each network has.
const LOOPBACK: (&str, u32) = ("lo", 1);

/// The network card.
#[derive(Debug)]
pub(super) struct Card {
    /// Its number, if there is one.
    index: Option<u32>,
}

impl Card {
    /// Switches loopback on, and the card. That one has no address, so nobody hears what comes.
    pub(super) fn make_ready() -> Result<Self, Failure> {
        let ready = || {
            let mut socket = Socket::open()?;
            let index = link_named(&mut socket, NAME)?.map(|link| link.index);
            let mut batch = Batch::new();
            let (name, number) = LOOPBACK;
            set_up(&mut batch, name, number);
            if let Some(index) = index {
                set_up(&mut batch, NAME, index);
            }
            socket.apply(batch)?;
            Ok(Self { index })
        };
        ready().map_err(failure("switch loopback and the network card on"))
    }

    /// Makes it the link that is ordered; without orders, the machine has none.
    pub(super) fn set(&self, orders: Option<&LinkOrders>) -> Result<(), Failure> {
        let mut batch = Batch::new();
        match (self.index, orders) {
            (None, None) => return Ok(()),
            (None, Some(_)) => return Err(Failure("the machine has no network card".to_owned())),
            (Some(index), None) => set_down(&mut batch, NAME, index),
            (Some(index), Some(orders)) => carry(&mut batch, index, orders),
        }
        apply(batch, "set the network up")
    }

    /// Takes away what [`Card::set`] has given it: it is as ready as before.
    pub(super) fn clear(&self, orders: Option<&LinkOrders>) -> Result<(), Failure> {
        let Some(index) = self.index else { return Ok(()) };
        let mut batch = Batch::new();
        if let Some(orders) = orders {
            delete_address(&mut batch, index, Prefix { addr: orders.v4.into(), len: 32 });
            delete_address(
                &mut batch,
                index,
                Prefix { addr: orders.v6.into(), len: orders.v6_len },
            );
        }
        // Routes and neighbours go with it.
        set_down(&mut batch, NAME, index);
        set_up(&mut batch, NAME, index);
        apply(batch, "clear the network")
    }
}

/// Gives the link addresses, and the ways to everybody else.
fn carry(batch: &mut Batch, index: u32, orders: &LinkOrders) {
    let (v4, v6) = (orders.v4.into(), orders.v6.into());
    let (gateway_v4, gateway_v6) = (orders.gateway_v4.into(), orders.gateway_v6.into());
    add_neighbour(batch, index, gateway_v4, orders.gateway_mac);
    add_neighbour(batch, index, gateway_v6, orders.gateway_mac);
    add_address(batch, index, Prefix { addr: v4, len: 32 });
    add_address(batch, index, Prefix { addr: v6, len: orders.v6_len });
    let everywhere_v4 = Prefix { addr: Ipv4Addr::UNSPECIFIED.into(), len: 0 };
    let everywhere_v6 = Prefix { addr: Ipv6Addr::UNSPECIFIED.into(), len: 0 };
    let target = Target::Gateway(index, gateway_v4);
    add_route(batch, &Route { to: everywhere_v4, target, source: Some(v4) });
    let target = Target::Gateway(index, gateway_v6);
    add_route(batch, &Route { to: everywhere_v6, target, source: None });
}

fn apply(batch: Batch, doing: &str) -> Result<(), Failure> {
    let apply = || Socket::open()?.apply(batch);
    apply().map_err(failure(doing))
}

fn failure(doing: &str) -> impl FnOnce(Error) -> Failure {
    move |error| match &error {
        Error::Socket { source } | Error::Refused { source, .. } => {
            Failure(format!("cannot {doing}: {error}: {}", text(*source)))
        }
        Error::Answer { .. } => Failure(format!("cannot {doing}: {error}")),
    }
}
