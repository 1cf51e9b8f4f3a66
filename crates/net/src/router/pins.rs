//! Answers of the resolver that open a way: addresses pinned to a machine for a while.
//!
//! The resolver pins before it answers, so a program that connects at once finds its way open. It
//! does so from a process of its own, inside the router namespace, through netlink: an `nft` run
//! for each answer would take longer than the answer.

use super::firewall::TABLE;
use super::policy::{Names, number_of};
use super::set_element::{Element, begin_transaction, end_transaction, renew_elements};
use super::statement::elements;
use crate::addr::MachineAddrs;
use crate::error::Result;
use crate::nft;
use model::spec::egress::{Domain, EgressPolicy};
use netlink::{Batch, Protocol, Socket};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

/// Shortest time that an answer opens a way, however short it lives: a program has to connect.
pub const PIN_TTL_MIN: Duration = Duration::from_secs(10);
/// Longest time that an answer opens a way, whatever it says of itself.
pub const PIN_TTL_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Addresses in one message; more take several. An attribute ends at 64 KiB, this many at 3 KiB.
const ADDRESSES_PER_MESSAGE: usize = 64;

/// Pins addresses to machines; belongs to the router namespace it was opened in.
#[derive(Debug)]
pub struct Pinner {
    socket: Socket,
}

impl Pinner {
    /// Opens it in the network namespace of the calling thread: the router's.
    ///
    /// # Errors
    /// [`crate::Error::Namespace`].
    pub fn open() -> Result<Self> {
        Ok(Self { socket: Socket::open_for(Protocol::Rules)? })
    }

    /// Lets the machine speak to `answers` as its rules about `domain` say, each for the time
    /// beside it, brought between [`PIN_TTL_MIN`] and [`PIN_TTL_MAX`]; all at once, or none.
    ///
    /// `domain` is written as in the rule (`*.example.com`), not the name that was asked for. A
    /// pin that is there begins to live anew. Connections outlive the pin that allowed them.
    /// Takes well under a millisecond. A machine without a policy needs no pin and gets none.
    ///
    /// # Errors
    /// [`crate::Error::Netlink`], with `ENFILE` as its source when the machine has some thousand
    /// addresses pinned already; nothing has changed.
    pub fn pin(
        &mut self,
        machine: &MachineAddrs,
        domain: &Domain,
        answers: &[(IpAddr, Duration)],
    ) -> Result<()> {
        if answers.is_empty() {
            return Ok(());
        }
        let [pins4, pins6] = Names::of(machine).pins;
        let (v4, v6): (Vec<_>, Vec<_>) = answers.iter().partition(|(addr, _)| addr.is_ipv4());
        let mut batch = Batch::new();
        begin_transaction(&mut batch);
        for (set, answers) in [(pins4, v4), (pins6, v6)] {
            for some in answers.chunks(ADDRESSES_PER_MESSAGE) {
                let some: Vec<Element> =
                    some.iter().map(|answer| element(domain, answer)).collect();
                renew_elements(&mut batch, TABLE, &set, &some);
            }
        }
        end_transaction(&mut batch);
        Ok(self.socket.apply(batch)?)
    }
}

fn element(domain: &Domain, &(addr, ttl): &(IpAddr, Duration)) -> Element {
    let octets = match addr {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    };
    let key = [&number_of(domain).to_ne_bytes()[..], &octets].concat();
    Element { key, timeout: ttl.clamp(PIN_TTL_MIN, PIN_TTL_MAX) }
}

/// Commands that pin again what the rules in force have pinned for these machines, to be added to
/// those that replace the rules.
///
/// Runs `nft` in the calling thread's namespace, unless no policy names a domain.
pub(super) fn kept(policies: &[(MachineAddrs, EgressPolicy)]) -> Result<Vec<Value>> {
    let with_domains = policies.iter().filter(|(_, policy)| !policy.domains().is_empty());
    let sets: BTreeSet<String> =
        with_domains.flat_map(|(machine, _)| Names::of(machine).pins).collect();
    if sets.is_empty() {
        return Ok(Vec::new());
    }
    let listed = nft::list(&["sets", "inet"])?;
    let kept = listed.iter().map(|item| &item["set"]).filter_map(|set| {
        let name = set["name"].as_str().filter(|name| sets.contains(*name))?;
        let alive: Vec<Value> = set["elem"].as_array()?.iter().filter_map(rest_of).collect();
        let is_worth_it = set["table"] == TABLE && !alive.is_empty();
        is_worth_it.then(|| elements("add", TABLE, name, &alive))
    });
    Ok(kept.collect())
}

/// The listed element with the rest of its life; `None` in its last second.
fn rest_of(listed: &Value) -> Option<Value> {
    let element = &listed["elem"];
    let left_s = element["expires"].as_u64().filter(|&left_s| left_s > 0)?;
    Some(json!({ "elem": { "val": element["val"], "timeout": left_s } }))
}
