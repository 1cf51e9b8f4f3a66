//! The words of `nft`'s JSON that rules are made of.
//!
//! Source: libnftables-json(5).

use serde_json::{Value, json};
use std::net::IpAddr;

/// A chain that the kernel walks through at `hook`.
pub(super) fn hooked_chain(
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

pub(super) fn rule(table: &str, chain: &str, statements: Vec<Value>) -> Value {
    json!({ "add": { "rule": {
        "family": "inet", "table": table, "chain": chain, "expr": statements } } })
}

pub(super) fn elements(verb: &str, table: &str, set: &str, elements: &[Value]) -> Value {
    json!({ verb: { "element": {
        "family": "inet", "table": table, "name": set, "elem": elements } } })
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

/// The mark of the packet's connection.
pub(super) fn connection_mark() -> Value {
    json!({ "ct": { "key": "mark" } })
}

/// Kind of the destination in the eyes of this namespace: `local`, `unicast`, …
pub(super) fn destination_kind() -> Value {
    json!({ "fib": { "result": "type", "flags": ["daddr"] } })
}

pub(super) fn field(protocol: &str, field: &str) -> Value {
    json!({ "payload": { "protocol": protocol, "field": field } })
}

pub(super) fn prefix(addr: IpAddr, len: u8) -> Value {
    json!({ "prefix": { "addr": addr.to_string(), "len": len } })
}

/// One of several, written in place.
pub(super) fn one_of(values: &[Value]) -> Value {
    json!({ "set": values })
}

/// Is one more of `key` than `per_sec` and a burst allow; counted in the set `name`.
pub(super) fn over_rate(name: &str, key: Value, per_sec: u32, burst: u32) -> Value {
    let limit = json!({ "limit": { "rate": per_sec, "per": "second", "burst": burst,
                                   "inv": true } });
    json!({ "set": { "op": "update", "elem": key, "set": format!("@{name}"), "stmt": [limit] } })
}

/// Sets a mark or other property.
pub(super) fn set(key: Value, value: impl Into<Value>) -> Value {
    json!({ "mangle": { "key": key, "value": value.into() } })
}

pub(super) fn accept() -> Value {
    json!({ "accept": null })
}

pub(super) fn drop() -> Value {
    json!({ "drop": null })
}

/// Answers "host unreachable", the same as for a machine that sleeps: the sender fails at once and
/// learns nothing about others.
///
/// TCP over IPv6 may take a second for it: the answer is there before `connect` has let go of its
/// socket, Linux then takes it as passing, and believes the answer to the next try.
pub(super) fn refuse() -> Value {
    json!({ "reject": { "type": "icmpx", "expr": "host-unreachable" } })
}

/// Goes on in another chain and does not come back.
pub(super) fn goto(chain: &str) -> Value {
    json!({ "goto": { "target": chain } })
}
