//! Rules of others on the host that forwarded packets have to pass: a packet is let through only
//! when every chain at the forward hook lets it through, so one that drops beats our acceptance.

use super::{Finding, Severity};
use crate::nft;
use crate::router::{host_table, uplink_name};
use model::InstanceTag;
use serde_json::Value;
use std::fs;
use std::process::Command;

/// The chain that Docker leaves to the host's owner.
const DOCKER_CHAIN: &str = "DOCKER-USER";
/// What both families' old `iptables` is called, and where the kernel lists its tables in use.
const LEGACY: [(&str, &str); 2] = [
    ("iptables-legacy", "/proc/thread-self/net/ip_tables_names"),
    ("ip6tables-legacy", "/proc/thread-self/net/ip6_tables_names"),
];

/// What the firewalls of the calling thread's network namespace can do to machines' way out.
pub(super) fn findings(tag: &InstanceTag) -> Vec<Finding> {
    let own = host_table(tag);
    let listed = nft::list(&["chains"]).unwrap_or_default();
    let mut seen = Seen::default();
    for chain in listed.iter().map(|item| &item["chain"]).filter(|chain| chain["table"] != *own) {
        seen.chain(chain);
    }
    let mut found = Vec::new();
    for (program, tables) in LEGACY {
        let tables = fs::read_to_string(tables).unwrap_or_default();
        if tables.lines().any(|table| table == "filter") {
            found.extend(seen.legacy(program));
        }
    }
    found.extend(seen.findings(&uplink_name(tag)));
    found
}

/// What was seen in all rules.
#[derive(Debug, Default)]
struct Seen {
    /// Chains that drop what nobody accepts, as a person would name them.
    dropping: Vec<String>,
    has_docker: bool,
    has_firewalld: bool,
    has_ufw: bool,
}

impl Seen {
    fn chain(&mut self, chain: &Value) {
        let part = |key: &str| chain[key].as_str().unwrap_or("?");
        if chain["hook"] == "forward" && chain["policy"] == "drop" {
            let name = format!("`{} {} {}`", part("family"), part("table"), part("name"));
            self.dropping.push(name);
        }
        self.has_firewalld |= part("table") == "firewalld";
        self.name(part("name"));
    }

    fn name(&mut self, chain: &str) {
        self.has_docker |= chain == DOCKER_CHAIN;
        self.has_ufw |= chain.starts_with("ufw-");
    }

    /// Looks at the rules that `nft` does not show; what is found when that is not possible.
    ///
    /// Only for tables in use: asking about another one would bring it into use.
    fn legacy(&mut self, program: &str) -> Option<Finding> {
        let asked = Command::new(program).args(["-t", "filter", "-S"]).output();
        let Some(output) = asked.ok().filter(|output| output.status.success()) else {
            return Some(Finding {
                code: "legacy_firewall",
                severity: Severity::Warning,
                text: format!("rules of the old iptables are in use and `{program}` cannot be run"),
                hint: "make sure that chain FORWARD accepts packets from and to the uplink",
            });
        };
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            match line.split(' ').collect::<Vec<_>>()[..] {
                ["-P", "FORWARD", "DROP"] => {
                    self.dropping.push(format!("chain FORWARD of `{program}`"));
                }
                ["-N", chain] => self.name(chain),
                _ => {}
            }
        }
        None
    }

    fn findings(&self, uplink: &str) -> Vec<Finding> {
        let mut found = Vec::new();
        let mut warn = |code, text, hint| {
            found.push(Finding { code, severity: Severity::Warning, text, hint });
        };
        if !self.dropping.is_empty() {
            let names = self.dropping.join(", ");
            let text = format!(
                "{names} drops forwarded packets, so machines may not get out by `{uplink}`"
            );
            let hint = if self.has_docker {
                "accept packets from and to that link in Docker's chain: `iptables -I DOCKER-USER \
                 -i LINK -j ACCEPT`, and the same with `-o LINK`"
            } else {
                "accept packets from and to that link there"
            };
            warn("forward_policy_drop", text, hint);
        }
        if self.has_firewalld {
            let text =
                format!("firewalld refuses forwarded packets unless `{uplink}` is in a zone");
            let hint = "put that link into the zone `trusted`: `firewall-cmd --permanent \
                        --zone=trusted --add-interface=LINK`, then `firewall-cmd --reload`";
            warn("firewalld", text, hint);
        }
        if self.has_ufw {
            let text = format!("ufw is active and drops forwarded packets unless `{uplink}` may");
            let hint = "allow it: `ufw route allow in on LINK`";
            warn("ufw", text, hint);
        }
        found
    }
}
