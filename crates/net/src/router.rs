//! The router: the network namespace that every link of the instance leads to.
//!
//! Owns the pinned namespace, its settings and its one `nft` table. Links to slots are made by
//! [`crate::slot`], to virtual machines by [`crate::tap`]; the way out to the host is [`Egress`], and with [`Egress::Off`] (the default)
//! nothing connects the router to the host at all.
//!
//! Starting a machine adds two routes here and changes no rule: who may reach whom follows from
//! the addresses (see [`crate::addr`]), so rules change only when a network or block is added and
//! when a machine's egress policy is set or removed.
//!
//! Machines may ask two things of the router itself: its resolver ([`DNS_V6`], [`DNS_V4`]) and the
//! API ([`API_V6`]). Who listens there lives in this namespace too; see [`enter()`].

mod closed;
mod conntrack;
mod egress;
mod enter;
mod firewall;
mod flows;
mod pins;
mod policy;
mod set_element;
mod statement;

pub use conntrack::Flow;
pub use egress::{UPLINK_PEER, uplink_name};
pub(crate) use egress::{forwarding_was_turned_on, has_host_side, host_table, remove_host_side};
pub(crate) use enter::pin_in;
pub use enter::{enter, exists};
pub(crate) use firewall::rules;
pub use flows::{Flows, is_of_router};
pub use pins::{PIN_TTL_MAX, PIN_TTL_MIN, Pinner};

use crate::addr::{MachineAddrs, NetworkId, V4Block, V4Range, V6_SITE};
use crate::error::{Error, Result};
use crate::instance::InstanceNamespaces;
use crate::namespace::{self, OWN_NET};
use crate::{nft, pin, sysctl};
use model::InstanceTag;
use model::spec::egress::{Domain, EgressPolicy};
use netlink::{Batch, Prefix, Route, Socket, Target};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The router's own IPv4 address, on its loopback: source of what it sends to machines and the
/// gateway that slots name. Link-local, so it can be no machine's.
pub const ROUTER_V4: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);
/// The router's own IPv6 address, on its loopback; network zero belongs to the platform.
pub const ROUTER_V6: Ipv6Addr = Ipv6Addr::new(V6_SITE, 0, 0, 0, 0, 0, 0, 1);

/// The router as machines see it over IPv6; link-local, needs no address here.
pub const GATEWAY_V6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

/// Where the resolver answers machines over IPv6. Source: machines-api 5.4.
pub const DNS_V6: Ipv6Addr = Ipv6Addr::new(V6_SITE, 0, 0, 0, 0, 0, 0, 3);
/// Where the resolver answers machines whose programs know IPv4 only.
pub const DNS_V4: Ipv4Addr = ROUTER_V4;
/// Port of the resolver, UDP and TCP.
pub const DNS_PORT: u16 = 53;
/// Where the API answers machines: `_api.internal`.
pub const API_V6: Ipv6Addr = Ipv6Addr::new(V6_SITE, 0, 0, 0, 0, 0, 0, 4);
/// Port of the API for machines, TCP.
pub const API_PORT: u16 = 4280;

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
    // Refusals are one ICMP message each; the kernel's rations, one a second for each machine and 50 at
    // once for all, would turn every further refusal into silence, and a caller's wait for its own
    // timeout. These are the types that are rationed: none, and one that does not exist.
    ("ipv4/icmp_ratemask", "0"),
    ("ipv6/icmp/ratemask", "255"),
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
    pinner: Mutex<Pinner>,
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
        Self::open_with_policies(instance, tag, config, networks, &[])
    }

    /// The same, with the egress policies of the machines that have one, running or not.
    ///
    /// All rules are replaced in one step: there is no moment at which a policy is not in force.
    /// What the resolver has pinned for these machines stays pinned for as long as it was.
    ///
    /// # Errors
    /// Any of [`Error`]; calling again continues a half-made router.
    pub fn open_with_policies(
        instance: &InstanceNamespaces,
        tag: &InstanceTag,
        config: &RouterConfig,
        networks: &[Network],
        policies: &[(MachineAddrs, EgressPolicy)],
    ) -> Result<Self> {
        let path = enter::pin_in(&instance.pins());
        if !pin::is_pin(&path)? {
            namespace::run_in_new_net(|| pin::pin(Path::new(OWN_NET), &path))??;
        }
        let netns = namespace::open(&path)?;
        let (socket, pinner) = namespace::run_inside(netns.as_fd(), || {
            sysctl::set_all(&SETTINGS)?;
            let mut rules = firewall::rules(config, networks, policies);
            rules.extend(pins::kept(policies)?);
            nft::apply("load the router's rules", &rules)?;
            Ok::<_, Error>((Socket::open()?, Pinner::open()?))
        })??;
        let (socket, pinner) = (Mutex::new(socket), Mutex::new(pinner));
        let router = Self { netns, tag: tag.clone(), socket, pinner };
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

    /// Puts a machine's egress policy in force in place of the one before, in one step.
    ///
    /// The machine need not run. Connections that are open are judged anew by their next packet;
    /// pins stay. Runs `nft`, which takes some milliseconds: for create and update, not for a
    /// start. The policy must be valid ([`EgressPolicy::validate`]).
    ///
    /// # Errors
    /// [`Error::NftRefused`] or [`Error::NftMissing`]; nothing has changed.
    pub fn set_egress(&self, machine: &MachineAddrs, policy: &EgressPolicy) -> Result<()> {
        let commands = policy::set(machine, policy);
        self.open_in_router(|| nft::apply("set an egress policy", &commands))?
    }

    /// Leaves a machine without an egress policy and its pins, whether it had one or not.
    ///
    /// # Errors
    /// As [`Router::set_egress`].
    pub fn remove_egress(&self, machine: &MachineAddrs) -> Result<()> {
        let commands = policy::remove(machine);
        self.open_in_router(|| nft::apply("remove an egress policy", &commands))?
    }

    /// Lets a machine speak to the answers for a domain of its policy; see [`Pinner::pin`], which
    /// another process inside the router namespace uses.
    ///
    /// # Errors
    /// As [`Pinner::pin`].
    pub fn pin(
        &self,
        machine: &MachineAddrs,
        domain: &Domain,
        answers: &[(IpAddr, Duration)],
    ) -> Result<()> {
        self.pinner.lock().unwrap_or_else(PoisonError::into_inner).pin(machine, domain, answers)
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
        let v4 = Prefix { addr: ROUTER_V4.into(), len: 32 };
        let v6 = [ROUTER_V6, DNS_V6, API_V6].map(|addr| Prefix { addr: addr.into(), len: 128 });
        for own in [v4].into_iter().chain(v6) {
            netlink::add_address(&mut batch, loopback.index, own);
        }
        netlink::add_route(&mut batch, &nowhere(v4_base.into(), v4_len));
        netlink::add_route(&mut batch, &nowhere(v6_site.into(), 16));
        Ok(socket.apply(batch)?)
    }
}
