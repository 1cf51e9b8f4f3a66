//! The rules of the router: one table, built whole at daemon start, as JSON for `nft`.
//!
//! ```text
//! raw      from the loopback: pass
//!          the route back to the source is not this link: drop        (spoofed)
//! input    from the loopback, answers to the router's own connections: pass
//!          else: refuse
//! forward  IPv4  source's network (map net4) and destination in a block of it (set member4): pass
//!          IPv6  source and destination in one network's /48 (set member6): pass
//!          egress on: out by the uplink except to link-local, answers back: pass
//!          else: refuse
//! ```
//!
//! Refusals answer "host unreachable", the same as for a machine that sleeps: the sender fails at
//! once and learns nothing about other networks. The chains' policy is drop all the same.

use super::{Egress, Network, UPLINK_PEER};
use crate::addr::{V4_BLOCK_LEN, V6_NETWORK_LEN};
use crate::nft;
use serde_json::{Value, json};
use std::net::IpAddr;

/// Name of the table in the router namespace.
const TABLE: &str = "dormouse";

/// Commands that replace all rules of the router in one transaction.
pub(crate) fn rules(egress: Egress, networks: &[Network]) -> Vec<Value> {
    let mut commands: Vec<Value> = nft::fresh_table(TABLE).into();
    commands.extend(sets());
    commands.extend(source_check());
    commands.extend(input());
    commands.extend(forward());
    if egress == Egress::Nat {
        commands.extend(way_out());
    }
    commands.push(rule("forward", vec![refuse()]));
    commands.extend(members(networks));
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
        .filter(|(_, elements)| !elements.is_empty())
        .map(|(set, elements)| {
            json!({ "add": { "element": {
                "family": "inet", "table": TABLE, "name": set, "elem": elements } } })
        })
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

/// Drops packets whose source could not be answered over the link they came from.
///
/// Works before connection tracking, so a spoofed packet leaves no state behind.
fn source_check() -> [Value; 3] {
    let route_back = json!({ "fib": { "result": "oif", "flags": ["saddr", "iif"] } });
    [
        chain("raw", "filter", "prerouting", -300, "accept"),
        rule("raw", vec![is(meta("iifname"), "lo"), accept()]),
        rule("raw", vec![is(route_back, false), json!({ "drop": null })]),
    ]
}

fn input() -> [Value; 4] {
    [
        chain("input", "filter", "input", 0, "drop"),
        rule("input", vec![is(meta("iifname"), "lo"), accept()]),
        rule("input", vec![is_answer(), accept()]),
        rule("input", vec![refuse()]),
    ]
}

fn forward() -> [Value; 3] {
    let network_of_source = json!({ "map": { "key": field("ip", "saddr"), "data": "@net4" } });
    let mark_source = json!({ "mangle": { "key": meta("mark"), "value": network_of_source } });
    let within4 = json!({ "concat": [meta("mark"), field("ip", "daddr")] });
    let within6 = json!({ "concat": [field("ip6", "saddr"), field("ip6", "daddr")] });
    [
        chain("forward", "filter", "forward", 0, "drop"),
        rule("forward", vec![mark_source, is(within4, "@member4"), accept()]),
        rule("forward", vec![is(within6, "@member6"), accept()]),
    ]
}

/// Lets machines out by the uplink and answers back in; link-local stays closed, and with it the
/// metadata services that clouds offer there.
fn way_out() -> [Value; 5] {
    let to_uplink = || is(meta("oifname"), UPLINK_PEER);
    let link_local = prefix([169, 254, 0, 0].into(), 16);
    [
        rule("forward", vec![is(field("ip", "daddr"), link_local), refuse()]),
        rule("forward", vec![to_uplink(), accept()]),
        rule("forward", vec![is(meta("iifname"), UPLINK_PEER), is_answer(), accept()]),
        chain("postrouting", "nat", "postrouting", 100, "accept"),
        rule("postrouting", vec![to_uplink(), json!({ "masquerade": null })]),
    ]
}

fn chain(name: &str, kind: &str, hook: &str, prio: i32, policy: &str) -> Value {
    chain_of(TABLE, name, kind, hook, prio, policy)
}

fn rule(chain: &str, statements: Vec<Value>) -> Value {
    rule_of(TABLE, chain, statements)
}

pub(super) fn chain_of(
    table: &str,
    name: &str,
    kind: &str,
    hook: &str,
    prio: i32,
    policy: &str,
) -> Value {
    json!({ "add": { "chain": { "family": "inet", "table": table, "name": name,
        "type": kind, "hook": hook, "prio": prio, "policy": policy } } })
}

pub(super) fn rule_of(table: &str, chain: &str, statements: Vec<Value>) -> Value {
    json!({ "add": { "rule": {
        "family": "inet", "table": table, "chain": chain, "expr": statements } } })
}

pub(super) fn is(left: Value, right: impl Into<Value>) -> Value {
    json!({ "match": { "op": "==", "left": left, "right": right.into() } })
}

/// Belongs to a connection that was let through in the other direction, or reports its failure.
pub(super) fn is_answer() -> Value {
    json!({ "match": { "op": "in", "left": { "ct": { "key": "state" } },
                       "right": ["established", "related"] } })
}

pub(super) fn meta(key: &str) -> Value {
    json!({ "meta": { "key": key } })
}

pub(super) fn field(protocol: &str, field: &str) -> Value {
    json!({ "payload": { "protocol": protocol, "field": field } })
}

pub(super) fn prefix(addr: IpAddr, len: u8) -> Value {
    json!({ "prefix": { "addr": addr.to_string(), "len": len } })
}

pub(super) fn accept() -> Value {
    json!({ "accept": null })
}

fn refuse() -> Value {
    json!({ "reject": { "type": "icmpx", "expr": "host-unreachable" } })
}
