//! The way out: a link from the router to the host, translation on both, and its removal.
//!
//! ```text
//! router namespace          host namespace
//! uplink  169.254.x.2/30 ── 169.254.x.1/30  dm<inst>-up ── host's own routes
//! masquerade                table inet dormouse_<inst>: masquerade, forward, closed host
//! ```
//!
//! The host is closed by any of its addresses, and before its own rules can send a packet for one
//! of them elsewhere: what the host's containers publish on its addresses is the host's, too.
//!
//! The host's `ip_forward` is turned on when it was off. An empty chain in the instance's table on
//! the host remembers that, and later instances copy it, so the last one turns it off again; like
//! the setting itself it ends with a reboot. IPv6 goes out only where the host forwards
//! IPv6 already: turning that on would make the host deaf to router advertisements.

use super::statement::{
    accept, destination_kind, drop, field, hooked_chain, is, is_answer, meta, refuse,
    rule as rule_in, set,
};
use super::{Egress, Router};
use crate::error::{Error, Result};
use crate::{nft, sysctl};
use model::InstanceTag;
use netlink::{
    Batch, Link, Prefix, Route, Socket, Target, VethPair, add_address, add_route, set_up,
};
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Name of the router's end of the uplink.
pub const UPLINK_PEER: &str = "uplink";
/// Hardware address of both ends of the uplink.
const UPLINK_MAC: [u8; 6] = [0x02, 0x64, 0x6d, 0xff, 0xff, 0xff];
/// First address used for uplinks: link-local, clear of [`super::ROUTER_V4`].
const UPLINK_BASE: Ipv4Addr = Ipv4Addr::new(169, 254, 16, 0);
/// Values of the third octet used for uplinks: stops short of 169.254.169.254.
const UPLINK_OCTETS: u32 = 144;
/// /30 networks in one value of the third octet.
const NETS_PER_OCTET: u32 = 64;
/// Start of the names of our tables in the host's namespace.
const HOST_TABLE_PREFIX: &str = "dormouse_";
/// Empty chain that says: `ip_forward` was off before the first of our tables.
const FORWARDING_WAS_OFF: &str = "forwarding_was_off";

/// Place of a chain after connection tracking (-200) and before destinations are translated (-100).
const BEFORE_TRANSLATION: i32 = -150;

/// Name of the host's end of the uplink of an instance.
#[must_use]
pub fn uplink_name(tag: &InstanceTag) -> String {
    format!("dm{tag}-up")
}

/// Name of the instance's table in the host's namespace.
pub(crate) fn host_table(tag: &InstanceTag) -> String {
    format!("{HOST_TABLE_PREFIX}{tag}")
}

/// Makes the way out exist, or not, as `egress` says.
pub(super) fn settle(router: &Router, egress: Egress) -> Result<()> {
    match egress {
        Egress::Off => remove_host_side(router.tag()),
        Egress::Nat => build(router),
    }
}

/// Removes what egress put into the host's namespace; the router's end of the link goes with it.
///
/// The rules go last: they hold the memory of what else is to be undone.
pub(crate) fn remove_host_side(tag: &InstanceTag) -> Result<()> {
    let mut batch = Batch::new();
    netlink::delete_link(&mut batch, &uplink_name(tag));
    Socket::open()?.apply(batch)?;

    let table = host_table(tag);
    let chains = our_chains()?;
    if !chains.iter().any(|chain| chain.table == table) {
        return Ok(());
    }
    let is_last = chains.iter().all(|chain| chain.table == table);
    if is_last && chains.iter().any(OurChain::remembers_forwarding_off) {
        sysctl::set("ipv4/ip_forward", "0")?;
    }
    nft::apply("remove the host's rules", &nft::no_table(&table))
}

/// Whether the host's `ip_forward` is on only because instances have a way out.
pub(crate) fn forwarding_was_turned_on() -> Result<bool> {
    Ok(our_chains()?.iter().any(OurChain::remembers_forwarding_off))
}

/// Whether the instance has a way out, as far as the host's rules tell.
pub(crate) fn has_host_side(tag: &InstanceTag) -> Result<bool> {
    let table = host_table(tag);
    Ok(our_chains()?.iter().any(|chain| chain.table == table))
}

fn build(router: &Router) -> Result<()> {
    let mut host = Socket::open()?;
    let forwards_v6 = sysctl::get("ipv6/conf/all/forwarding")? == "1";
    let ends = Ends::choose(&mut host, router.tag(), forwards_v6)?;
    let was_off = sysctl::get("ipv4/ip_forward")? == "0" || forwarding_was_turned_on()?;
    let mut rules = host_rules(router.tag(), &ends);
    if was_off {
        rules.push(json!({ "add": { "chain": { "family": "inet",
            "table": host_table(router.tag()), "name": FORWARDING_WAS_OFF } } }));
    }
    nft::apply("load the host's rules for the uplink", &rules)?;
    sysctl::set("ipv4/ip_forward", "1")?;
    link(router, &mut host, &ends)
}

/// A chain in a table of ours, this instance's or another's.
#[derive(Debug)]
struct OurChain {
    table: String,
    name: String,
}

impl OurChain {
    fn remembers_forwarding_off(&self) -> bool {
        self.name == FORWARDING_WAS_OFF
    }
}

/// Our chains in the calling thread's namespace; none where `nft` was never installed.
fn our_chains() -> Result<Vec<OurChain>> {
    let listed = match nft::list(&["chains", "inet"]) {
        Err(Error::NftMissing { .. }) => Vec::new(),
        other => other?,
    };
    let chains = listed.iter().filter_map(|item| {
        let text = |key: &str| item["chain"][key].as_str().map(str::to_owned);
        Some(OurChain { table: text("table")?, name: text("name")? })
    });
    Ok(chains.filter(|chain| chain.table.starts_with(HOST_TABLE_PREFIX)).collect())
}

/// Addresses of the two ends, host first.
#[derive(Debug)]
struct Ends {
    v4: [Ipv4Addr; 2],
    v6: Option<[Ipv6Addr; 2]>,
}

impl Ends {
    /// The /30 that the host's end already has, else the first one from the tag's place on that no
    /// link of the host uses.
    fn choose(host: &mut Socket, tag: &InstanceTag, with_v6: bool) -> Result<Self> {
        let name = uplink_name(tag);
        let own = match netlink::link_named(host, &name)? {
            Some(link) => netlink::addresses_of(host, Some(link.index))?,
            None => Vec::new(),
        };
        let taken = netlink::addresses_of(host, None)?;
        let seed = u32::from_str_radix(tag.as_str(), 16).unwrap_or(0);
        let is_used = |net: &Ipv4Addr, by: &[Prefix]| {
            by.iter()
                .any(|p| matches!(p.addr, IpAddr::V4(a) if u32::from(a) & !3 == u32::from(*net)))
        };
        let net = candidates(seed)
            .find(|net| is_used(net, &own))
            .or_else(|| candidates(seed).find(|net| !is_used(net, &taken)))
            .ok_or(Error::NoFreeBlock)?;
        let v4 = [1, 2].map(|host| Ipv4Addr::from(u32::from(net) + host));
        let v6 = with_v6.then(|| [1, 2].map(|host| v6_end(seed, host)));
        Ok(Self { v4, v6 })
    }

    fn all(&self) -> impl Iterator<Item = [Prefix; 2]> {
        let v4 = self.v4.map(|addr| Prefix { addr: addr.into(), len: 30 });
        let v6 = self.v6.map(|ends| ends.map(|addr| Prefix { addr: addr.into(), len: 126 }));
        std::iter::once(v4).chain(v6)
    }
}

/// Every /30 of the uplink range, starting at the place of `seed`.
fn candidates(seed: u32) -> impl Iterator<Item = Ipv4Addr> {
    let count = UPLINK_OCTETS * NETS_PER_OCTET;
    let base = u32::from(UPLINK_BASE);
    (0..count).map(move |nth| Ipv4Addr::from(base + ((seed + nth) % count) * 4))
}

/// `fd64:6d00::/32` with the instance's 20 bits: a unique local address (RFC 4193).
fn v6_end(seed: u32, host: u16) -> Ipv6Addr {
    let [_, high, a, b] = seed.to_be_bytes();
    let low = u16::from_be_bytes([a, b]);
    Ipv6Addr::new(0xfd64, 0x6d00, u16::from(high), low, 0, 0, 0, host)
}

/// Makes the link or keeps it, and sets both ends; repeating it changes nothing.
fn link(router: &Router, host: &mut Socket, ends: &Ends) -> Result<()> {
    let name = uplink_name(router.tag());
    let find = |host: &mut Socket| -> Result<Option<[Link; 2]>> {
        let host_end = netlink::link_named(host, &name)?;
        let router_end = netlink::link_named(&mut router.socket(), UPLINK_PEER)?;
        Ok(host_end.zip(router_end).map(|(host_end, router_end)| [host_end, router_end]))
    };
    if find(host)?.is_none() {
        make_link(router, host, &name)?;
    }
    let missing = || Error::NetlinkAnswer { doing: format!("find both ends of {name}") };
    let links @ [host_end, router_end] = find(host)?.ok_or_else(missing)?;

    let mut here = Batch::new();
    let mut there = Batch::new();
    set_up(&mut here, &name, host_end.index);
    set_up(&mut there, UPLINK_PEER, router_end.index);
    for addrs @ [host_addr, router_addr] in ends.all() {
        add_address(&mut here, host_end.index, host_addr);
        add_address(&mut there, router_end.index, router_addr);
        add_routes(&mut here, &mut there, links, addrs);
    }
    host.apply(here)?;
    Ok(router.socket().apply(there)?)
}

fn add_routes(
    here: &mut Batch,
    there: &mut Batch,
    [host_end, router_end]: [Link; 2],
    [host_addr, router_addr]: [Prefix; 2],
) {
    let len = if router_addr.addr.is_ipv4() { 32 } else { 128 };
    let everywhere: IpAddr = match router_addr.addr {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    add_route(
        here,
        &Route {
            to: Prefix { addr: router_addr.addr, len },
            target: Target::Link(host_end.index),
            source: Some(host_addr.addr),
        },
    );
    add_route(
        there,
        &Route {
            to: Prefix { addr: everywhere, len: 0 },
            target: Target::Gateway(router_end.index, host_addr.addr),
            source: Some(router_addr.addr),
        },
    );
}

fn make_link(router: &Router, host: &mut Socket, name: &str) -> Result<()> {
    let pair =
        VethPair { name, peer_name: UPLINK_PEER, peer_netns: router.netns(), mac: UPLINK_MAC };
    let mut batch = Batch::new();
    netlink::delete_link(&mut batch, name);
    netlink::add_veth(&mut batch, &pair);
    Ok(host.apply(batch)?)
}

/// Rules of the host: translate and forward what comes from the uplink, keep the host closed.
fn host_rules(tag: &InstanceTag, ends: &Ends) -> Vec<Value> {
    let table = host_table(tag);
    let name = uplink_name(tag);
    let from_uplink = || is(meta("iifname"), name.as_str());
    let to_uplink = || is(meta("oifname"), name.as_str());
    let chain = |name, kind, prio| hooked_chain(&table, name, kind, name, prio, "accept");
    let rule = |chain, statements| rule_in(&table, chain, statements);
    // Some hosts have a smaller packet size towards the world than our links.
    let clamp = vec![
        from_uplink(),
        is(field("tcp", "flags"), "syn"),
        set(
            json!({ "tcp option": { "name": "maxseg", "field": "size" } }),
            json!({ "rt": { "key": "mtu" } }),
        ),
    ];
    let mut commands: Vec<Value> = nft::fresh_table(&table).into();
    commands.extend([
        chain("prerouting", "filter", BEFORE_TRANSLATION),
        rule("prerouting", vec![from_uplink(), is_answer(), accept()]),
        rule("prerouting", vec![from_uplink(), is(destination_kind(), "local"), refuse()]),
        chain("input", "filter", 0),
        rule("input", vec![from_uplink(), is_answer(), accept()]),
        rule("input", vec![from_uplink(), refuse()]),
        chain("forward", "filter", 0),
        rule("forward", clamp),
        rule("forward", vec![from_uplink(), accept()]),
        rule("forward", vec![to_uplink(), is_answer(), accept()]),
        rule("forward", vec![to_uplink(), drop()]),
        chain("postrouting", "nat", 100),
    ]);
    for [_, router_end] in ends.all() {
        let protocol = if router_end.addr.is_ipv4() { "ip" } else { "ip6" };
        let source = is(field(protocol, "saddr"), router_end.addr.to_string());
        commands.push(rule("postrouting", vec![source, json!({ "masquerade": null })]));
    }
    commands
}
