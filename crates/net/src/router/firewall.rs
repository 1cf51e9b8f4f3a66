//! The rules of the router: one table, built whole at daemon start, as JSON for `nft`.
//!
//! ```text
//! raw      from the loopback: pass
//!          the route back to the source is not this link: drop        (spoofed)
//!          no route to the destination: refuse                        (asleep, or nowhere)
//!          more asked of the router itself than any machine needs (sets asks4, asks6): drop
//! input    from the loopback, answers to the router's own connections: pass
//!          from a machine to the resolver or the API: pass
//!          else: refuse
//! forward  IPv4  source's network (map net4) and destination in a block of it (set member4): pass
//!          IPv6  source and destination in one network's /48 (set member6): pass
//!          egress on: answers from the uplink pass, what goes to the uplink goes to `out`
//!          else: refuse
//! out      destination is closed to all machines (sets closed4, closed6): refuse
//!          source has a policy (maps egress4, egress6): to its chain, see `super::policy`
//!          else: pass
//! ```
//!
//! The chains' policy is drop all the same.
//!
//! Questions to the resolver and their answers are not tracked as connections: that would cost more
//! than the answer, and one machine's questions could fill the table that all need.

use super::policy::MACHINE_MASK;
use super::statement::{
    accept, connection_mark, destination_kind, drop, elements, field, hooked_chain, is, is_answer,
    meta, one_of, over_rate, prefix, refuse, rule as rule_in, set,
};
use super::{
    API_PORT, API_V6, DNS_PORT, DNS_V4, DNS_V6, Egress, Network, RouterConfig, UPLINK_PEER, closed,
    policy,
};
use crate::addr::{MachineAddrs, V4_BLOCK_LEN, V6_NETWORK_LEN};
use crate::nft;
use model::spec::egress::EgressPolicy;
use serde_json::{Value, json};
use std::net::IpAddr;

/// Name of the table in the router namespace.
pub(super) const TABLE: &str = "dormouse";

/// Place of chains before connection tracking (-200).
const BEFORE_TRACKING: i32 = -300;

/// Datagrams and connections a second that a machine may begin with the router itself, over each of
/// IPv4 and IPv6: twice what the resolver answers.
const ASKS_PER_SEC: u32 = 1_000;

/// So many at once of a machine that was silent before.
const ASKS_BURST: u32 = 2_000;

/// Machines of which the kernel remembers how much they have asked: more than can run.
const ASKERS_MAX: u32 = 65_535;

/// Time after which a silent machine is forgotten, in seconds; its bucket is full long before.
const ASKER_FORGOTTEN_S: u32 = 60;

/// Commands that replace all rules of the router in one transaction.
pub(crate) fn rules(
    config: &RouterConfig,
    networks: &[Network],
    policies: &[(MachineAddrs, EgressPolicy)],
) -> Vec<Value> {
    let mut commands: Vec<Value> = nft::fresh_table(TABLE).into();
    commands.extend(sets());
    commands.extend(source_check());
    commands.extend(thinned());
    commands.extend(untracked());
    commands.extend(input());
    commands.extend(out(config));
    commands.extend(forward(config.egress));
    commands.extend(members(networks));
    commands.extend(policies.iter().flat_map(|(machine, policy)| policy::set(machine, policy)));
    commands
}

/// Commands that make networks and their blocks known, one for each set.
pub(super) fn members(networks: &[Network]) -> Vec<Value> {
    let mut networks_of = Vec::new();
    let mut members4 = Vec::new();
    let mut members6 = Vec::new();
    for network in networks {
        let number = network.id.get();
        let v6 = prefix(network.id.v6_prefix().into(), V6_NETWORK_LEN);
        members6.push(json!({ "concat": [v6, v6] }));
        for block in &network.blocks {
            let v4 = prefix(block.base().into(), V4_BLOCK_LEN);
            networks_of.push(json!([v4, number]));
            members4.push(json!({ "concat": [number, v4] }));
        }
    }
    [("net4", networks_of), ("member4", members4), ("member6", members6)]
        .into_iter()
        .filter(|(_, members)| !members.is_empty())
        .map(|(name, members)| elements("add", TABLE, name, &members))
        .collect()
}

fn sets() -> [Value; 3] {
    let named = |kind: &str, name: &str, of: Value, to: Option<&str>| {
        let mut set = json!({ "family": "inet", "table": TABLE, "name": name,
                              "type": of, "flags": ["interval"] });
        if let Some(to) = to {
            set["map"] = json!(to);
        }
        json!({ "add": { kind: set } })
    };
    [
        named("map", "net4", json!("ipv4_addr"), Some("mark")),
        named("set", "member4", json!(["mark", "ipv4_addr"]), None),
        named("set", "member6", json!(["ipv6_addr", "ipv6_addr"]), None),
    ]
}

/// Drops packets whose source could not be answered over the link they came from, and refuses
/// those that lead nowhere.
///
/// Works before connection tracking, so such a packet leaves no state behind. The kernel by itself
/// would also refuse what leads nowhere, but over IPv4 only some times a second and not at all
/// just after one of our refusals: both draw on one ration of each sender.
fn source_check() -> [Value; 4] {
    let route_back = json!({ "fib": { "result": "oif", "flags": ["saddr", "iif"] } });
    let route_on = json!({ "fib": { "result": "oif", "flags": ["daddr"] } });
    let is_for_others = json!({ "match": { "op": "!=", "left": destination_kind(),
                                           "right": "local" } });
    [
        chain("raw", "filter", "prerouting", BEFORE_TRACKING, "accept"),
        rule("raw", vec![is(meta("iifname"), "lo"), accept()]),
        rule("raw", vec![is(route_back, false), drop()]),
        rule("raw", vec![is_for_others, is(route_on, false), refuse()]),
    ]
}

/// Drops what a machine asks of the router itself beyond [`ASKS_PER_SEC`]: every datagram, and every
/// beginning of a connection.
///
/// The resolver has finer bounds of its own. This one keeps a flood from the queue in front of it,
/// in which the questions of others wait, too.
fn thinned() -> Vec<Value> {
    let asked_of_router = || is(destination_kind(), "local");
    let no_stream = || json!({ "match": { "op": "!=", "left": meta("l4proto"), "right": "tcp" } });
    let begins = || is(field("tcp", "flags"), "syn");
    let machine6 = json!({ "&": [field("ip6", "saddr"), MACHINE_MASK.to_string()] });
    let mut commands = Vec::new();
    for (name, kind, machine) in
        [("asks4", "ipv4_addr", field("ip", "saddr")), ("asks6", "ipv6_addr", machine6)]
    {
        commands.push(json!({ "add": { "set": {
            "family": "inet", "table": TABLE, "name": name, "type": kind,
            "flags": ["timeout"], "timeout": ASKER_FORGOTTEN_S, "size": ASKERS_MAX } } }));
        for kind_of_packet in [no_stream(), begins()] {
            let is_too_much = over_rate(name, machine.clone(), ASKS_PER_SEC, ASKS_BURST);
            let statements = vec![asked_of_router(), kind_of_packet, is_too_much, drop()];
            commands.push(rule("raw", statements));
        }
    }
    commands
}

/// Leaves questions to the resolver and their answers out of connection tracking.
fn untracked() -> Vec<Value> {
    let mut commands = vec![chain("untracked", "filter", "output", BEFORE_TRACKING, "accept")];
    let of_resolver = |protocol: &str, which: &str, port: &str, addr: IpAddr| {
        vec![
            is(field(protocol, which), addr.to_string()),
            is(field("udp", port), DNS_PORT),
            json!({ "notrack": null }),
        ]
    };
    for (protocol, resolver) in [("ip", IpAddr::from(DNS_V4)), ("ip6", DNS_V6.into())] {
        commands.push(rule("raw", of_resolver(protocol, "daddr", "dport", resolver)));
        commands.push(rule("untracked", of_resolver(protocol, "saddr", "sport", resolver)));
    }
    commands
}

/// Machines may ask the resolver and the API; nothing else of the router answers, and nothing at
/// all to what comes by the uplink.
fn input() -> Vec<Value> {
    let from_elsewhere = || is(meta("iifname"), UPLINK_PEER);
    let at = |addr: IpAddr| {
        let protocol = if addr.is_ipv4() { "ip" } else { "ip6" };
        is(field(protocol, "daddr"), addr.to_string())
    };
    let over = |protocols: &[&str]| {
        let protocols: Vec<Value> = protocols.iter().map(|name| json!(name)).collect();
        is(meta("l4proto"), one_of(&protocols))
    };
    let port = |port: u16| is(field("th", "dport"), port);
    let mut commands = vec![
        chain("input", "filter", "input", 0, "drop"),
        rule("input", vec![is(meta("iifname"), "lo"), accept()]),
        rule("input", vec![is_answer(), accept()]),
        rule("input", vec![from_elsewhere(), refuse()]),
    ];
    for resolver in [IpAddr::from(DNS_V4), DNS_V6.into()] {
        let asks = vec![at(resolver), over(&["tcp", "udp"]), port(DNS_PORT), accept()];
        commands.push(rule("input", asks));
    }
    let calls = vec![at(API_V6.into()), over(&["tcp"]), port(API_PORT), accept()];
    commands.push(rule("input", calls));
    commands.push(rule("input", vec![refuse()]));
    commands
}

fn forward(egress: Egress) -> Vec<Value> {
    let network_of_source = json!({ "map": { "key": field("ip", "saddr"), "data": "@net4" } });
    let within4 = json!({ "concat": [meta("mark"), field("ip", "daddr")] });
    let within6 = json!({ "concat": [field("ip6", "saddr"), field("ip6", "daddr")] });
    let mark_source = set(meta("mark"), network_of_source);
    let mut commands = vec![
        chain("forward", "filter", "forward", 0, "drop"),
        rule("forward", vec![mark_source, is(within4, "@member4"), accept()]),
        rule("forward", vec![is(within6, "@member6"), accept()]),
    ];
    if egress == Egress::Nat {
        let to_uplink = || is(meta("oifname"), UPLINK_PEER);
        commands.extend([
            rule("forward", vec![is(meta("iifname"), UPLINK_PEER), is_answer(), accept()]),
            rule("forward", vec![to_uplink(), json!({ "jump": { "target": "out" } })]),
            chain("postrouting", "nat", "postrouting", 100, "accept"),
            rule("postrouting", vec![to_uplink(), json!({ "masquerade": null })]),
        ]);
    }
    commands.push(rule("forward", vec![refuse()]));
    commands
}

/// What may leave by the uplink; there without one too, so that policies have their place.
fn out(config: &RouterConfig) -> Vec<Value> {
    let mut commands = vec![json!({ "add": { "chain": {
        "family": "inet", "table": TABLE, "name": "out" } } })];
    for (protocol, name, kind, ranges) in [
        ("ip", "closed4", "ipv4_addr", closed::v4(config.v4_range)),
        ("ip6", "closed6", "ipv6_addr", closed::v6()),
    ] {
        commands.push(json!({ "add": { "set": {
            "family": "inet", "table": TABLE, "name": name, "type": kind,
            "flags": ["interval"], "elem": ranges } } }));
        let is_closed = is(field(protocol, "daddr"), format!("@{name}"));
        commands.push(rule("out", vec![is_closed, refuse()]));
    }
    commands.extend(policy::dispatch());
    commands.push(rule("out", vec![accept()]));
    commands
}

/// A connection that a policy has let out carries this mark; zero is no policy's.
pub(super) fn is_judged_by(revision: u32) -> Value {
    is(connection_mark(), revision)
}

fn chain(name: &str, kind: &str, hook: &str, prio: i32, policy: &str) -> Value {
    hooked_chain(TABLE, name, kind, hook, prio, policy)
}

fn rule(chain: &str, statements: Vec<Value>) -> Value {
    rule_in(TABLE, chain, statements)
}
