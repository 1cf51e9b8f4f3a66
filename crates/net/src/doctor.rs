//! What this host lacks for the network, found by trying.

use crate::error::{Error, Result};
use crate::router::{self, Egress, Network};
use crate::slot::MAX_SLOTS;
use crate::{NetworkId, addr::V4Range, namespace, nft, sysctl};
use model::InstanceTag;
use rustix::process::{Resource, getrlimit};
use serde_json::Value;
use std::error::Error as _;
use std::fs;

/// Open files that one slot costs the control process: two namespaces and a socket.
const FILES_PER_SLOT: u64 = 3;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Good to know.
    Note,
    /// Something works less well or not for everyone.
    Warning,
    /// Machines cannot run, or not safely.
    Failure,
}

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Stable name.
    pub code: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// What was found.
    pub text: String,
    /// What to do about it.
    pub hint: &'static str,
}

/// Looks at the host on behalf of one instance; nothing is changed.
///
/// Runs `nft` in a throw-away network namespace.
#[must_use]
pub fn findings(tag: &InstanceTag, egress: Egress) -> Vec<Finding> {
    let mut found = Vec::new();
    found.extend(rules_do_not_load());
    found.extend(too_few_namespaces("max_net_namespaces", "few_network_namespaces"));
    found.extend(too_few_namespaces("max_user_namespaces", "few_user_namespaces"));
    found.extend(too_few_files());
    if egress == Egress::Nat {
        found.extend(forwarding_was_turned_on());
        found.extend(others_drop_forwarded(tag));
        found.extend(no_v6_egress());
    }
    found
}

/// Loads the real rules into a namespace of their own: tells about `nft` and kernel at once.
fn rules_do_not_load() -> Option<Finding> {
    let network = NetworkId::from_random(1);
    let blocks = V4Range::default().blocks().take(1).collect();
    let rules = router::rules(Egress::Nat, &[Network { id: network, blocks }]);
    let loaded = namespace::run_in_new_net(|| nft::apply("load the rules on trial", &rules))
        .and_then(|loaded| loaded);
    match loaded {
        Ok(()) => None,
        Err(Error::NftMissing { source }) => Some(Finding {
            code: "nft_missing",
            severity: Severity::Failure,
            text: format!("`nft` cannot be run: {source}"),
            hint: "install the package `nftables`",
        }),
        Err(e @ Error::Namespace { .. }) => Some(Finding {
            code: "no_network_namespace",
            severity: Severity::Failure,
            text: e.source().map_or_else(|| e.to_string(), |cause| format!("{e}: {cause}")),
            hint: "run as root on a kernel with network namespaces",
        }),
        Err(e) => Some(Finding {
            code: "rules_refused",
            severity: Severity::Failure,
            text: e.to_string(),
            hint: "the kernel needs nf_tables with fib, reject, conntrack and masquerade",
        }),
    }
}

fn too_few_namespaces(name: &str, code: &'static str) -> Option<Finding> {
    let limit: u64 =
        fs::read_to_string(format!("/proc/sys/user/{name}")).ok()?.trim().parse().ok()?;
    (limit < u64::from(MAX_SLOTS)).then(|| Finding {
        code,
        severity: if limit == 0 { Severity::Failure } else { Severity::Warning },
        text: format!("user.{name} is {limit}; {MAX_SLOTS} machines may run at once"),
        hint: "raise it with sysctl",
    })
}

fn too_few_files() -> Option<Finding> {
    let limit = getrlimit(Resource::Nofile).maximum?;
    let wanted = u64::from(MAX_SLOTS) * FILES_PER_SLOT;
    (limit < wanted).then(|| Finding {
        code: "few_open_files",
        severity: Severity::Note,
        text: format!("{limit} open files allow about {} slots", limit / FILES_PER_SLOT),
        hint: "raise the hard limit of open files of the service",
    })
}

fn forwarding_was_turned_on() -> Option<Finding> {
    router::forwarding_was_turned_on().ok().filter(|&was_turned_on| was_turned_on)?;
    Some(Finding {
        code: "ip_forward",
        severity: Severity::Note,
        text: "net.ipv4.ip_forward is kept on while machines have a way out".to_owned(),
        hint: "it is set back when the last instance with egress is destroyed",
    })
}

/// A chain of someone else that drops forwarded packets, as Docker's does, beats our acceptance.
fn others_drop_forwarded(tag: &InstanceTag) -> Option<Finding> {
    let own = router::host_table(tag);
    let chains = nft::list(&["chains"]).ok()?;
    let names: Vec<String> = chains
        .iter()
        .map(|item| &item["chain"])
        .filter(|chain| drops_forwarded(chain) && chain["table"] != own.as_str())
        .map(|chain| {
            let part = |key: &str| chain[key].as_str().unwrap_or("?").to_owned();
            format!("`{} {} {}`", part("family"), part("table"), part("name"))
        })
        .collect();
    (!names.is_empty()).then(|| Finding {
        code: "forward_policy_drop",
        severity: Severity::Warning,
        text: format!("{} drops forwarded packets, so machines may not get out", names.join(", ")),
        hint: "accept packets from and to the uplink there (with Docker: in chain DOCKER-USER)",
    })
}

fn drops_forwarded(chain: &Value) -> bool {
    chain["hook"] == "forward" && chain["policy"] == "drop"
}

fn no_v6_egress() -> Option<Finding> {
    let forwards: Result<String> = sysctl::get("ipv6/conf/all/forwarding");
    forwards.ok().filter(|value| value == "0")?;
    Some(Finding {
        code: "no_ipv6_egress",
        severity: Severity::Note,
        text: "the host does not forward IPv6, so machines get out over IPv4 only".to_owned(),
        hint: "set net.ipv6.conf.all.forwarding=1 (and accept_ra=2 where the host needs it)",
    })
}
