//! The router: the network namespace that every link of the instance leads to.
//!
//! Owns the pinned namespace, its settings and its one `nft` table. Links to slots are made by
//! [`crate::slot`]; the way out to the host is [`Egress`], and with [`Egress::Off`] (the default)
//! nothing connects the router to the host at all.
//!
//! Starting a machine adds two routes here and changes no rule: who may reach whom follows from
//! the addresses (see [`crate::addr`]), so rules change only when a network or block is added.

mod egress;
mod firewall;

pub use egress::{UPLINK_PEER, uplink_name};
pub(crate) use egress::{forwarding_was_turned_on, host_table, remove_host_side};
pub(crate) use firewall::rules;

use crate::addr::{NetworkId, V4Block, V4Range, V6_SITE};
use crate::error::{Error, Result};
use crate::instance::InstanceNamespaces;
use crate::namespace::{self, OWN_NET};
use crate::netlink::{self, Batch, Prefix, Route, Socket, Target};
use crate::{nft, pin, sysctl};
use model::InstanceTag;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The router's own IPv4 address, on its loopback: source of what it sends to machines and the
/// gateway that slots name. Link-local, so it can be no machine's.
pub const ROUTER_V4: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);
/// The router's own IPv6 address, on its loopback; network zero belongs to the platform.
pub const ROUTER_V6: Ipv6Addr = Ipv6Addr::new(V6_SITE, 0, 0, 0, 0, 0, 0, 1);

/// Settings of the router namespace, made before it has any link.
///
/// `rp_filter` 1 is strict: an IPv4 source is valid only on the link that the route back uses
/// (RFC 3704); IPv6 has no such setting, the rules check both families.
const SETTINGS: [(&str, &str); 18] = [
    ("ipv4/conf/all/rp_filter", "1"),
    ("ipv4/conf/default/rp_filter", "1"),
    ("ipv4/conf/all/accept_redirects", "0"),
    ("ipv4/conf/default/accept_redirects", "0"),
    ("ipv4/conf/all/send_redirects", "0"),
    ("ipv4/conf/default/send_redirects", "0"),
    ("ipv6/conf/all/accept_ra", "0"),
    ("ipv6/conf/default/accept_ra", "0"),
    ("ipv6/conf/default/autoconf", "0"),
    ("ipv6/conf/all/accept_dad", "0"),
    ("ipv6/conf/default/accept_dad", "0"),
    ("ipv6/conf/all/accept_redirects", "0"),
    ("ipv6/conf/default/accept_redirects", "0"),
    ("ipv4/ip_forward", "1"),
    ("ipv6/conf/all/forwarding", "1"),
    ("ipv6/conf/default/forwarding", "1"),
    // Refusals are one ICMP message each; the kernel's ration of one a second per machine would turn
    // every further refusal into silence, and a caller's wait for its own timeout.
    ("ipv4/icmp_ratelimit", "0"),
    ("ipv6/icmp/ratelimit", "0"),
];

/// Whether machines may reach beyond the instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Egress {
    /// No link to the host exists.
    #[default]
    Off,
    /// Out through the host by address translation; nothing comes in, the host itself is closed.
    Nat,
}

/// What the router is built from.
#[derive(Clone, Copy, Debug, Default)]
pub struct RouterConfig {
    /// Where machines' IPv4 addresses come from.
    pub v4_range: V4Range,
    /// Whether machines may reach beyond the instance.
    pub egress: Egress,
}

/// A network and the IPv4 blocks it owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Which network.
    pub id: NetworkId,
    /// Its blocks; may be empty before its first machine.
    pub blocks: Vec<V4Block>,
}

/// The open router of an instance; one per process, shared by all who set routes.
#[derive(Debug)]
pub struct Router {
    netns: OwnedFd,
    tag: InstanceTag,
    socket: Mutex<Socket>,
}

impl Router {
    /// Opens the instance's router, making it when it does not exist, and rebuilds its rules.
    ///
    /// Links and routes of running machines stay as they are.
    ///
    /// # Errors
    /// Any of [`Error`]; calling again continues a half-made router.
    pub fn open(
        instance: &InstanceNamespaces,
        tag: &InstanceTag,
        config: &RouterConfig,
        networks: &[Network],
    ) -> Result<Self> {
        let path = instance.pins().join("router");
        if !pin::is_pin(&path)? {
            namespace::run_in_new_net(|| pin::pin(Path::new(OWN_NET), &path))??;
        }
        let netns = namespace::open(&path)?;
        let socket = namespace::run_inside(netns.as_fd(), || {
            sysctl::set_all(&SETTINGS)?;
            nft::apply("load the router's rules", &firewall::rules(config.egress, networks))?;
            Socket::open()
        })??;
        let router = Self { netns, tag: tag.clone(), socket: Mutex::new(socket) };
        router.settle_loopback(config)?;
        egress::settle(&router, config.egress)?;
        Ok(router)
    }

    /// Lets the machines of a network reach each other, by IPv6 and in its IPv4 blocks.
    ///
    /// For a new network or a new block of one; what is known already is not changed. Runs `nft`,
    /// which takes some milliseconds: for the creation of things, not for a start.
    ///
    /// # Errors
    /// [`Error::NftRefused`] (also when another network owns a block) or [`Error::NftMissing`];
    /// nothing has changed.
    pub fn add_network(&self, network: &Network) -> Result<()> {
        let commands = firewall::members(std::slice::from_ref(network));
        self.open_in_router(|| nft::apply("add a network", &commands))?
    }

    /// Runs `work` on a short-lived thread inside the router namespace and gives its result.
    ///
    /// A socket that `work` opens stays in the namespace and may be returned: this is how the
    /// proxy gets a connection to a guest.
    ///
    /// # Errors
    /// [`Error::Namespace`] when the thread cannot be started or cannot enter.
    pub fn open_in_router<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        namespace::run_inside(self.netns.as_fd(), work)
    }

    /// The router's network namespace.
    #[must_use]
    pub fn netns(&self) -> BorrowedFd<'_> {
        self.netns.as_fd()
    }

    /// The instance this router belongs to.
    #[must_use]
    pub fn tag(&self) -> &InstanceTag {
        &self.tag
    }

    /// The router's netlink socket. A panic of a former holder leaves at most unread answers,
    /// which are told apart by number, so a poisoned lock is taken all the same.
    pub(crate) fn socket(&self) -> MutexGuard<'_, Socket> {
        self.socket.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Loopback with the router's own addresses; machines' ranges lead nowhere by default, so
    /// that packets to a machine that sleeps never leave by the way out.
    fn settle_loopback(&self, config: &RouterConfig) -> Result<()> {
        let mut socket = self.socket();
        let loopback = netlink::link_named(&mut socket, "lo")?
            .ok_or_else(|| Error::NetlinkAnswer { doing: "find the loopback".to_owned() })?;
        let (v4_base, v4_len) = config.v4_range.prefix();
        let v6_site = Ipv6Addr::new(V6_SITE, 0, 0, 0, 0, 0, 0, 0);
        let nowhere = |addr: IpAddr, len| Route {
            to: Prefix { addr, len },
            target: Target::Unreachable,
            source: None,
        };
        let mut batch = Batch::new();
        netlink::set_up(&mut batch, "lo", loopback.index);
        netlink::add_address(
            &mut batch,
            loopback.index,
            Prefix { addr: ROUTER_V4.into(), len: 32 },
        );
        netlink::add_address(
            &mut batch,
            loopback.index,
            Prefix { addr: ROUTER_V6.into(), len: 128 },
        );
        netlink::add_route(&mut batch, &nowhere(v4_base.into(), v4_len));
        netlink::add_route(&mut batch, &nowhere(v6_site.into(), 16));
        socket.apply(batch)
    }
}
