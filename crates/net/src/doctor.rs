//! What this host lacks for the network, or has in its way, found by trying and looking.

mod firewalls;

use crate::addr::{MachineAddrs, NetworkId, V4Range};
use crate::error::{Error, Result};
use crate::router::{self, Egress, Network, RouterConfig};
use crate::slot::MAX_SLOTS;
use crate::{namespace, nft, sysctl};
use model::InstanceTag;
use rustix::process::{Resource, getrlimit};
use std::error::Error as _;
use std::fs;
use std::net::Ipv4Addr;

/// Open files that one slot costs the control process: two namespaces and a socket.
const FILES_PER_SLOT: u64 = 3;
/// Value of `rp_filter` by which a source must be reached over the link it came from (RFC 3704).
const RP_FILTER_STRICT: u8 = 1;
/// A policy with every kind of rule, to be tried.
const SAMPLE_POLICY: &str = r#"{"default":"deny","rules":[
    {"action":"allow","to":"example.com","protocol":"tcp","ports":["443"]},
    {"action":"deny","to":"198.51.100.0/24","ports":["1-1023"]},
    {"action":"allow","to":"2001:db8::/32","protocol":"icmp"}]}"#;

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
        found.extend(forwarding_is_off(tag));
        found.extend(sources_are_checked_strictly(tag));
        found.extend(firewalls::findings(tag));
        found.extend(no_v6_egress());
    }
    found
}

/// Loads the real rules into a namespace of their own: tells about `nft` and kernel at once.
fn rules_do_not_load() -> Option<Finding> {
    let network = NetworkId::from_random(1);
    let blocks = V4Range::default().blocks().take(1).collect();
    let policy = serde_json::from_str(SAMPLE_POLICY).expect("a policy");
    let machine = MachineAddrs::draw(network, [0; 6], Ipv4Addr::new(100, 64, 0, 1));
    let rules = router::rules(
        &RouterConfig { egress: Egress::Nat, ..RouterConfig::default() },
        &[Network { id: network, blocks }],
        &[(machine, policy)],
    );
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
            hint: "the kernel needs nf_tables with fib, reject, conntrack, masquerade and set timeouts",
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

/// We turn it on when the way out is made; afterwards somebody else may have turned it off.
fn forwarding_is_off(tag: &InstanceTag) -> Option<Finding> {
    let forwards = sysctl::get("ipv4/ip_forward");
    forwards.ok().filter(|value| value == "0")?;
    let is_up = router::has_host_side(tag).unwrap_or(false);
    Some(Finding {
        code: "ip_forward_off",
        severity: if is_up { Severity::Failure } else { Severity::Note },
        text: "net.ipv4.ip_forward is off, and machines want a way out".to_owned(),
        hint: if is_up {
            "something has turned it off: `sysctl -w net.ipv4.ip_forward=1`, and look in /etc/sysctl.d"
        } else {
            "it is turned on when the instance starts"
        },
    })
}

/// Harmless with plain routes, since the host's route to the router leads over the same link; rules
/// that send answers elsewhere (VPNs, several tables) make the kernel drop what comes from it.
fn sources_are_checked_strictly(tag: &InstanceTag) -> Option<Finding> {
    let link = router::uplink_name(tag);
    let value = |name: &str| {
        let text = sysctl::get(&format!("ipv4/conf/{name}/rp_filter"));
        text.ok().and_then(|text| text.parse::<u8>().ok())
    };
    let effective = value("all").max(value(&link).or_else(|| value("default")));
    (effective == Some(RP_FILTER_STRICT)).then(|| Finding {
        code: "rp_filter_strict",
        severity: Severity::Note,
        text: format!("sources of packets from `{link}` are checked strictly (rp_filter 1)"),
        hint: "where a VPN or policy routing is in use and machines get no answers, set \
               net.ipv4.conf.LINK.rp_filter=2",
    })
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
