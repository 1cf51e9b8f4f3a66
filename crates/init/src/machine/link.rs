//! Loopback, and the machine's link, as a slot of the container engine has them (`crates/net/src/slot`), but
//! set by the guest itself: a kernel has both switched off.
//!
//! What is the same for every machine is done while nobody waits: the card is found and switched on, and
//! has its default routes.

use super::Failure;
use crate::start_error::text;
use guest_proto::LinkOrders;
use netlink::{
    Batch, Error, Prefix, Route, Socket, Target, add_address, add_route, delete_address,
    link_named, set_down, set_no_arp, set_up,
};
use std::net::{Ipv4Addr, Ipv6Addr};

/// Name of the link: the kernel's own for its first card, and that of a slot's link.
const NAME: &str = "eth0";

/// Name and number of the loopback interface: the first that each network has.
const LOOPBACK: (&str, u32) = ("lo", 1);

/// The network card.
#[derive(Debug)]
pub(super) struct Card {
    /// To the kernel; nobody else can be reached by it.
    socket: Socket,
    /// Its number, if there is one.
    index: Option<u32>,
    /// Where its default routes lead, if it has any.
    gateways: Option<Gateways>,
}

/// Where default routes lead.
type Gateways = (Ipv4Addr, Ipv6Addr);

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
                set_no_arp(&mut batch, NAME, index);
                set_up(&mut batch, NAME, index);
            }
            socket.apply(batch)?;
            Ok(Self { socket, index, gateways: None })
        };
        ready().map_err(failure("switch loopback and the network card on"))
    }

    /// Makes it the link that is ordered; without orders, the machine has none.
    pub(super) fn set(&mut self, orders: Option<&LinkOrders>) -> Result<(), Failure> {
        let mut batch = Batch::new();
        match (self.index, orders) {
            (None, None) => return Ok(()),
            (None, Some(_)) => return Err(Failure("the machine has no network card".to_owned())),
            (Some(index), None) => {
                set_down(&mut batch, NAME, index);
                self.gateways = None;
            }
            (Some(index), Some(orders)) => {
                addresses(orders).into_iter().for_each(|own| add_address(&mut batch, index, own));
                self.route(&mut batch, index, gateways(orders));
            }
        }
        self.socket.apply(batch).map_err(failure("set the network up"))
    }

    /// Takes away what [`Card::set`] has given it: it is as ready as before, and has routes to where the
    /// next machine's will lead, too.
    pub(super) fn clear(&mut self, orders: Option<&LinkOrders>) -> Result<(), Failure> {
        let Some(index) = self.index else { return Ok(()) };
        let mut batch = Batch::new();
        for own in orders.map(addresses).into_iter().flatten() {
            delete_address(&mut batch, index, own);
        }
        // Routes and neighbours go with it.
        set_down(&mut batch, NAME, index);
        set_up(&mut batch, NAME, index);
        self.gateways = None;
        if let Some(orders) = orders {
            self.route(&mut batch, index, gateways(orders));
        }
        self.socket.apply(batch).map_err(failure("clear the network"))
    }

    /// Has everybody else be reached by these.
    fn route(&mut self, batch: &mut Batch, index: u32, gateways: Gateways) {
        if self.gateways == Some(gateways) {
            return;
        }
        let (v4, v6) = gateways;
        let everywhere_v4 = Prefix { addr: Ipv4Addr::UNSPECIFIED.into(), len: 0 };
        let everywhere_v6 = Prefix { addr: Ipv6Addr::UNSPECIFIED.into(), len: 0 };
        for (to, gateway) in [(everywhere_v4, v4.into()), (everywhere_v6, v6.into())] {
            let target = Target::Gateway(index, gateway);
            add_route(batch, &Route { to, target, source: None });
        }
        self.gateways = Some(gateways);
    }
}

fn addresses(orders: &LinkOrders) -> [Prefix; 2] {
    let v4 = Prefix { addr: orders.v4.into(), len: 32 };
    [v4, Prefix { addr: orders.v6.into(), len: orders.v6_len }]
}

const fn gateways(orders: &LinkOrders) -> Gateways {
    (orders.gateway_v4, orders.gateway_v6)
}

fn failure(doing: &str) -> impl FnOnce(Error) -> Failure {
    move |error| match &error {
        Error::Socket { source } | Error::Refused { source, .. } => {
            Failure(format!("cannot {doing}: {error}: {}", text(*source)))
        }
        Error::Answer { .. } => Failure(format!("cannot {doing}: {error}")),
    }
}
