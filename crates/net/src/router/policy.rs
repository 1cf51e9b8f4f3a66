//! The egress policy of one machine as rules: a chain and two sets of its own in the router.
//!
//! ```text
//! maps egress4, egress6    machine's /32, /112 ─► goto m_<address>
//! chain m_<address>        let out by this policy before (mark of the connection): pass
//!                          each rule in order: mark the connection and pass, or refuse
//!                          the default: the same
//! sets pins4_<address>     (domain, address) for as long as an answer of the resolver lives;
//!      pins6_<address>     filled by `super::pins`
//! ```
//!
//! A machine's key is its IPv4 address, which it keeps for life; slots come and go. A machine
//! without a policy costs its packets one look into a map.
//!
//! The mark is drawn from the text of the policy: a connection outlives the answer that allowed
//! it, and the daemon, but is judged anew by the next packet after the policy has changed.

use super::firewall::{TABLE, is_judged_by};
use super::statement::{
    accept, connection_mark, elements, field, goto, is, meta, one_of, prefix, refuse,
    rule as rule_in, set as set_to,
};
use crate::addr::MachineAddrs;
use model::spec::egress::{
    Domain, EgressAction, EgressPolicy, EgressProtocol, EgressRule, EgressTarget, PortRange,
};
use serde_json::{Value, json};
use std::net::{Ipv4Addr, Ipv6Addr};

/// Most pinned addresses of a machine and family, over all of its domains.
///
/// A service with many addresses gives some dozens at a time, each for minutes.
pub(super) const PINS_MAX: u32 = 2048;
/// All but the last group: the part of an IPv6 address that says the machine.
pub(super) const MACHINE_MASK: Ipv6Addr =
    Ipv6Addr::new(0xffff, 0xffff, 0xffff, 0xffff, 0xffff, 0xffff, 0xffff, 0);

/// The maps from machines to their chains, and the rules that look into them.
pub(super) fn dispatch() -> Vec<Value> {
    let machine6 = json!({ "&": [field("ip6", "saddr"), MACHINE_MASK.to_string()] });
    let mut commands = Vec::new();
    for (map, kind, machine) in
        [("egress4", "ipv4_addr", field("ip", "saddr")), ("egress6", "ipv6_addr", machine6)]
    {
        commands.push(json!({ "add": { "map": {
            "family": "inet", "table": TABLE, "name": map, "type": kind, "map": "verdict" } } }));
        let to_its_chain = json!({ "vmap": { "key": machine, "data": format!("@{map}") } });
        commands.push(rule_in(TABLE, "out", vec![to_its_chain]));
    }
    commands
}

/// Commands that put the policy in force in place of another one; pins stay.
///
/// One that allows everything is the same as none.
pub(super) fn set(machine: &MachineAddrs, policy: &EgressPolicy) -> Vec<Value> {
    if policy.allows_everything() {
        return remove(machine);
    }
    let names = Names::of(machine);
    let revision = revision(policy);
    let mut commands = vec![names.chain("add"), names.chain("flush")];
    commands.extend(names.sets("add"));
    let mut rule = |statements| commands.push(rule_in(TABLE, &names.chain, statements));
    rule(vec![is_judged_by(revision), accept()]);
    for egress_rule in &policy.rules {
        for mut statements in fits(egress_rule, &names) {
            statements.extend(verdict(egress_rule.action, revision));
            rule(statements);
        }
    }
    rule(verdict(policy.default, revision));
    commands.extend(names.entries("add"));
    commands
}

/// Commands that leave the machine without a policy, whether it had one or not.
pub(super) fn remove(machine: &MachineAddrs) -> Vec<Value> {
    // What is deleted must be there, so each part is added first.
    let names = Names::of(machine);
    let mut commands = vec![names.chain("add")];
    commands.extend(names.entries("add"));
    commands.extend(names.entries("delete"));
    commands.extend([names.chain("flush"), names.chain("delete")]);
    commands.extend(names.sets("add"));
    commands.extend(names.sets("delete"));
    commands
}

/// The number that stands for a domain in the sets: 32 bits drawn from its text.
///
/// Were two domains of one policy to share it, each would also fit the other's addresses.
pub(super) fn number_of(domain: &Domain) -> u32 {
    fold(domain.as_str().as_bytes())
}

/// What the parts of one machine are called.
#[derive(Debug)]
pub(super) struct Names {
    chain: String,
    /// The sets of pinned addresses, IPv4 and IPv6.
    pub(super) pins: [String; 2],
    v4: Ipv4Addr,
    /// The first address of the machine's /112.
    v6: Ipv6Addr,
}

impl Names {
    pub(super) fn of(machine: &MachineAddrs) -> Self {
        let key = format!("{:08x}", u32::from(machine.v4));
        let v6 = Ipv6Addr::from(u128::from(machine.v6) & u128::from(MACHINE_MASK));
        Self {
            chain: format!("m_{key}"),
            pins: [format!("pins4_{key}"), format!("pins6_{key}")],
            v4: machine.v4,
            v6,
        }
    }

    fn chain(&self, verb: &str) -> Value {
        json!({ verb: { "chain": { "family": "inet", "table": TABLE, "name": self.chain } } })
    }

    fn entries(&self, verb: &str) -> [Value; 2] {
        let entry = |addr: String| [json!([addr, goto(&self.chain)])];
        [
            elements(verb, TABLE, "egress4", &entry(self.v4.to_string())),
            elements(verb, TABLE, "egress6", &entry(self.v6.to_string())),
        ]
    }

    fn sets(&self, verb: &str) -> [Value; 2] {
        let [pins4, pins6] = &self.pins;
        [(pins4, "ipv4_addr"), (pins6, "ipv6_addr")].map(|(name, kind)| {
            json!({ verb: { "set": { "family": "inet", "table": TABLE, "name": name,
                "type": ["mark", kind], "flags": ["timeout"], "size": PINS_MAX } } })
        })
    }
}

/// What a packet must look like to fit the rule: each way in statements.
fn fits(rule: &EgressRule, names: &Names) -> Vec<Vec<Value>> {
    let through = transport(rule.protocol, &rule.ports);
    let mut ways = destinations(&rule.to, names);
    for way in &mut ways {
        way.extend(through.iter().cloned());
    }
    ways
}

fn destinations(to: &EgressTarget, names: &Names) -> Vec<Vec<Value>> {
    match to {
        EgressTarget::Anywhere => vec![Vec::new()],
        EgressTarget::Cidr(cidr) => {
            let protocol = if cidr.addr().is_ipv4() { "ip" } else { "ip6" };
            let range = prefix(cidr.addr(), cidr.prefix_len());
            vec![vec![is(field(protocol, "daddr"), range)]]
        }
        EgressTarget::Domain(domain) => {
            let [pins4, pins6] = &names.pins;
            let pinned = |protocol: &str, pins: &str| {
                let key = json!({ "concat": [meta("mark"), field(protocol, "daddr")] });
                vec![set_to(meta("mark"), number_of(domain)), is(key, format!("@{pins}"))]
            };
            vec![pinned("ip", pins4), pinned("ip6", pins6)]
        }
    }
}

fn transport(protocol: Option<EgressProtocol>, ports: &[PortRange]) -> Vec<Value> {
    let over = |names: &[&str]| {
        let names: Vec<Value> = names.iter().map(|name| json!(name)).collect();
        is(meta("l4proto"), one_of(&names))
    };
    let mut statements = match protocol {
        Some(EgressProtocol::Tcp) => vec![over(&["tcp"])],
        Some(EgressProtocol::Udp) => vec![over(&["udp"])],
        Some(EgressProtocol::Icmp) => vec![over(&["icmp", "ipv6-icmp"])],
        None if ports.is_empty() => Vec::new(),
        None => vec![over(&["tcp", "udp"])],
    };
    if !ports.is_empty() {
        let ranges: Vec<Value> = merged(ports)
            .into_iter()
            .map(|(first, last)| json!({ "range": [first, last] }))
            .collect();
        statements.push(is(field("th", "dport"), one_of(&ranges)));
    }
    statements
}

/// The same ports in ranges that do not overlap, as the kernel wants them.
fn merged(ports: &[PortRange]) -> Vec<(u16, u16)> {
    let mut sorted: Vec<_> = ports.iter().map(|ports| (ports.first(), ports.last())).collect();
    sorted.sort_unstable();
    let mut apart: Vec<(u16, u16)> = Vec::new();
    for (first, last) in sorted {
        match apart.last_mut() {
            Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
            _ => apart.push((first, last)),
        }
    }
    apart
}

fn verdict(action: EgressAction, revision: u32) -> Vec<Value> {
    match action {
        EgressAction::Allow => vec![set_to(connection_mark(), revision), accept()],
        EgressAction::Deny => vec![refuse()],
    }
}

/// The mark of connections that this policy let out; never zero, which is no mark.
fn revision(policy: &EgressPolicy) -> u32 {
    fold(format!("{policy:?}").as_bytes()).max(1)
}

/// FNV-1a: any two texts are very likely told apart, today and after the next start alike.
fn fold(text: &[u8]) -> u32 {
    text.iter().fold(0x811c_9dc5, |hash, &byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_merged_where_they_meet() {
        let check = |texts: &[&str], expected: &[(u16, u16)]| {
            let ports: Vec<PortRange> = texts.iter().map(|t| t.parse().expect("ports")).collect();
            assert_eq!(merged(&ports), expected, "{texts:?}");
        };
        check(&["443"], &[(443, 443)]);
        check(&["443", "80"], &[(80, 80), (443, 443)]);
        check(&["443", "443"], &[(443, 443)]);
        check(&["1-10", "5-6", "11", "13"], &[(1, 11), (13, 13)]);
        check(&["65535", "1-65535"], &[(1, 65535)]);
    }

    #[test]
    fn another_policy_has_another_mark() {
        let policy = |text: &str| -> EgressPolicy { serde_json::from_str(text).expect("a policy") };
        let open = policy(r#"{"default":"allow"}"#);
        let shut = policy(r#"{"default":"deny"}"#);
        assert_ne!(revision(&open), revision(&shut));
        assert_eq!(revision(&shut), revision(&shut.clone()));
    }
}
