//! Where a machine may speak to beyond its own network: an ordered list of rules.
//!
//! The first rule that fits a new connection decides; when none does, the default decides. Rules
//! are about what leaves by the way out. Machines of the same network, and the platform's own
//! resolver and API, can always be spoken to; the platform's refusals (metadata services, the
//! host, other networks) hold whatever a rule says.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::net::IpAddr;

mod decide;
#[cfg(test)]
mod tests;
mod text;

pub use decide::EgressConnection;
pub use text::DOMAIN_BYTES_MAX;

/// Most rules of one policy: each is one or two rules of the kernel that every new connection of
/// the machine walks through.
pub const EGRESS_RULES_MAX: usize = 64;
/// Most ports and ranges of one rule.
pub const EGRESS_PORTS_MAX: usize = 16;
/// Where one machine may speak to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EgressPolicy {
    /// What happens to a connection that no rule fits.
    pub default: EgressAction,
    /// The first that fits decides.
    #[serde(default)]
    pub rules: Vec<EgressRule>,
}

/// What happens to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EgressAction {
    /// It goes out.
    Allow,
    /// It is refused at once.
    Deny,
}

/// One rule: what happens to which connections.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EgressRule {
    /// What happens.
    pub action: EgressAction,
    /// To where.
    pub to: EgressTarget,
    /// Over what; `None` fits every protocol (TCP and UDP when there are ports).
    #[serde(default)]
    pub protocol: Option<EgressProtocol>,
    /// To which ports; empty fits all.
    #[serde(default)]
    pub ports: Vec<PortRange>,
}

/// Over what a connection goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EgressProtocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP and ICMPv6, such as ping; it has no ports.
    Icmp,
}

/// Where a connection goes; written `*`, `198.51.100.0/24`, `2001:db8::1` or `*.example.com`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum EgressTarget {
    /// To every address of both families.
    Anywhere,
    /// To a range of addresses.
    Cidr(Cidr),
    /// To an address that the platform's resolver has given the machine for this domain, as long
    /// as the answer lives.
    Domain(Domain),
}

/// A range of addresses: all that share the first bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cidr {
    addr: IpAddr,
    len: u8,
}

/// A domain in lower case, or with `*.` in front everything below it (and not itself).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Domain(String);

/// One port or a range of them, written `443` or `8000-8999`; never port 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PortRange {
    first: u16,
    last: u16,
}

/// Why a text is not part of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidEgress {
    /// What was given.
    pub given: String,
    /// What was expected, with its article.
    pub expected: &'static str,
}

/// What is wrong with a policy whose parts are each right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EgressProblem {
    /// More than [`EGRESS_RULES_MAX`] rules.
    TooManyRules {
        /// How many there are.
        n_rules: usize,
    },
    /// A rule with more than [`EGRESS_PORTS_MAX`] ports and ranges.
    TooManyPorts {
        /// Which rule, counted from 0.
        rule_idx: usize,
    },
    /// A rule about ICMP that names ports.
    PortsOfIcmp {
        /// Which rule, counted from 0.
        rule_idx: usize,
    },
}

impl EgressPolicy {
    /// Checks what the types do not: bounds, and parts that do not go together.
    ///
    /// # Errors
    /// The first [`EgressProblem`].
    pub fn validate(&self) -> Result<(), EgressProblem> {
        let n_rules = self.rules.len();
        if n_rules > EGRESS_RULES_MAX {
            return Err(EgressProblem::TooManyRules { n_rules });
        }
        for (rule_idx, rule) in self.rules.iter().enumerate() {
            if rule.ports.len() > EGRESS_PORTS_MAX {
                return Err(EgressProblem::TooManyPorts { rule_idx });
            }
            if rule.protocol == Some(EgressProtocol::Icmp) && !rule.ports.is_empty() {
                return Err(EgressProblem::PortsOfIcmp { rule_idx });
            }
        }
        Ok(())
    }

    /// Whether it refuses nothing, so that it need not be there.
    #[must_use]
    pub fn allows_everything(&self) -> bool {
        let denies = |rule: &EgressRule| rule.action == EgressAction::Deny;
        self.default == EgressAction::Allow && !self.rules.iter().any(denies)
    }

    /// Whether it lets connections go to any address whatever, so that any name may be of use.
    ///
    /// Of one that does not, names outside its rules need not be answered, and should not be: a
    /// question to a server of the machine's choice is a way out, too.
    #[must_use]
    pub fn leads_anywhere(&self) -> bool {
        for rule in &self.rules {
            match rule.action {
                EgressAction::Allow if rule.to.is_all() => return true,
                EgressAction::Deny if rule.fits_everything() => return false,
                EgressAction::Allow | EgressAction::Deny => {}
            }
        }
        self.default == EgressAction::Allow
    }

    /// The domains that rules name, each once, in order.
    #[must_use]
    pub fn domains(&self) -> BTreeSet<&Domain> {
        self.rules.iter().filter_map(|rule| rule.to.domain()).collect()
    }
}

impl EgressRule {
    /// Whether it leaves nothing to the rules after it.
    fn fits_everything(&self) -> bool {
        self.to == EgressTarget::Anywhere && self.protocol.is_none() && self.ports.is_empty()
    }
}

impl EgressTarget {
    /// The domain, when it is one.
    #[must_use]
    pub fn domain(&self) -> Option<&Domain> {
        match self {
            Self::Domain(domain) => Some(domain),
            Self::Anywhere | Self::Cidr(_) => None,
        }
    }

    /// Whether it is every address, at least of one family.
    fn is_all(&self) -> bool {
        match self {
            Self::Anywhere => true,
            Self::Cidr(range) => range.prefix_len() == 0,
            Self::Domain(_) => false,
        }
    }
}

impl Cidr {
    /// The range of all addresses whose first `len` bits are those of `addr`.
    ///
    /// # Errors
    /// [`InvalidEgress`] when `len` is too large, when `addr` has bits below it, or when it is an
    /// IPv4 address dressed up as IPv6, which no packet carries.
    pub fn new(addr: IpAddr, len: u8) -> Result<Self, InvalidEgress> {
        let (n_bits, trailing_zeros, is_dressed_up) = match addr {
            IpAddr::V4(v4) => (32, u32::from(v4).trailing_zeros(), false),
            IpAddr::V6(v6) => (128, u128::from(v6).trailing_zeros(), v6.to_ipv4_mapped().is_some()),
        };
        let is_range = u32::from(len) <= n_bits && trailing_zeros >= n_bits - u32::from(len);
        if is_range && !is_dressed_up {
            Ok(Self { addr, len })
        } else {
            Err(InvalidEgress {
                given: format!("{addr}/{len}"),
                expected: "an address range such as `198.51.100.0/24` without bits below its length",
            })
        }
    }

    /// The first address.
    #[must_use]
    pub fn addr(self) -> IpAddr {
        self.addr
    }

    /// How many bits all addresses share.
    #[must_use]
    pub fn prefix_len(self) -> u8 {
        self.len
    }
}

impl Domain {
    /// The text, such as `example.com` or `*.example.com`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `name`, in any case, with or without the dot at its end, belongs to it.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        let name = name.strip_suffix('.').unwrap_or(name);
        let Some(parent) = self.0.strip_prefix("*.") else {
            return name.eq_ignore_ascii_case(&self.0);
        };
        let Some(at_dot) = name.len().checked_sub(parent.len() + 1).filter(|&at| at > 0) else {
            return false;
        };
        let (name, parent) = (name.as_bytes(), parent.as_bytes());
        name[at_dot] == b'.' && name[at_dot + 1..].eq_ignore_ascii_case(parent)
    }
}

impl PortRange {
    /// The ports from `first` to `last`, both included.
    ///
    /// # Errors
    /// [`InvalidEgress`] when `first` is 0 or above `last`.
    pub fn new(first: u16, last: u16) -> Result<Self, InvalidEgress> {
        if (1..=last).contains(&first) {
            Ok(Self { first, last })
        } else {
            Err(InvalidEgress { given: format!("{first}-{last}"), expected: text::PORTS_EXPECTED })
        }
    }

    /// The first port.
    #[must_use]
    pub fn first(self) -> u16 {
        self.first
    }

    /// The last port, the same for a single one.
    #[must_use]
    pub fn last(self) -> u16 {
        self.last
    }
}
