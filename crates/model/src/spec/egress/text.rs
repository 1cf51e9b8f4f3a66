//! Parts of egress rules as text, read and written.

use super::{
    Cidr, Domain, EGRESS_PORTS_MAX, EGRESS_RULES_MAX, EgressProblem, EgressTarget, InvalidEgress,
    PortRange,
};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// Longest domain in bytes, without the dot at its end. Source: RFC 1035, 2.3.4.
pub const DOMAIN_BYTES_MAX: usize = 253;
/// Longest part between two dots of a domain, in bytes. Source: RFC 1035, 2.3.4.
const LABEL_BYTES_MAX: usize = 63;
/// What a text that is no port was expected to be.
pub(super) const PORTS_EXPECTED: &str = "a port from 1 to 65535 or a range such as `8000-8999`";

impl FromStr for EgressTarget {
    type Err = InvalidEgress;
    fn from_str(text: &str) -> Result<Self, InvalidEgress> {
        if text == "*" {
            Ok(Self::Anywhere)
        } else if text.contains('/') || text.parse::<IpAddr>().is_ok() {
            text.parse().map(Self::Cidr)
        } else {
            text.parse().map(Self::Domain)
        }
    }
}

impl FromStr for Cidr {
    type Err = InvalidEgress;
    fn from_str(text: &str) -> Result<Self, InvalidEgress> {
        let invalid = || InvalidEgress {
            given: text.to_owned(),
            expected: "an address or an address range such as `198.51.100.0/24`",
        };
        let (addr, len) = match text.split_once('/') {
            Some((addr, len)) => (addr, Some(number(len).ok_or_else(invalid)?)),
            None => (text, None),
        };
        let addr: IpAddr = addr.parse().ok().ok_or_else(invalid)?;
        Self::new(addr, len.unwrap_or(if addr.is_ipv4() { 32 } else { 128 }))
    }
}

impl FromStr for Domain {
    type Err = InvalidEgress;
    fn from_str(text: &str) -> Result<Self, InvalidEgress> {
        let domain = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let name = domain.strip_prefix("*.").unwrap_or(&domain);
        let is_address_like =
            name.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
        if name.len() <= DOMAIN_BYTES_MAX && name.split('.').all(is_label) && !is_address_like {
            Ok(Self(domain))
        } else {
            Err(InvalidEgress {
                given: text.to_owned(),
                expected: "a domain such as `example.com` or `*.example.com`",
            })
        }
    }
}

/// A part between two dots: as programs use them, so with underscores.
fn is_label(label: &str) -> bool {
    let is_allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    (1..=LABEL_BYTES_MAX).contains(&label.len())
        && label.bytes().all(is_allowed)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

impl FromStr for PortRange {
    type Err = InvalidEgress;
    fn from_str(text: &str) -> Result<Self, InvalidEgress> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let ports = number(first).zip(number(last));
        ports
            .and_then(|(first, last)| Self::new(first, last).ok())
            .ok_or_else(|| InvalidEgress { given: text.to_owned(), expected: PORTS_EXPECTED })
    }
}

/// A number in plain digits; the standard library would also take a sign in front.
fn number<N: FromStr>(digits: &str) -> Option<N> {
    digits.parse().ok().filter(|_| digits.bytes().all(|b| b.is_ascii_digit()))
}

impl fmt::Display for EgressTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anywhere => f.write_str("*"),
            Self::Cidr(cidr) => cidr.fmt(f),
            Self::Domain(domain) => domain.fmt(f),
        }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.addr, self.len)
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

/// Text to type and back, for the records.
macro_rules! as_text {
    ($($name:ident),*) => {$(
        impl TryFrom<String> for $name {
            type Error = InvalidEgress;
            fn try_from(text: String) -> Result<Self, InvalidEgress> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.to_string()
            }
        }
    )*};
}
as_text!(EgressTarget, Cidr, Domain, PortRange);

impl fmt::Display for InvalidEgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not {}", self.given, self.expected)
    }
}

impl std::error::Error for InvalidEgress {}

impl fmt::Display for EgressProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyRules { n_rules } => {
                write!(f, "{n_rules} rules are more than {EGRESS_RULES_MAX}")
            }
            Self::TooManyPorts { rule_idx } => {
                write!(f, "rule {rule_idx} has more than {EGRESS_PORTS_MAX} ports and ranges")
            }
            Self::PortsOfIcmp { rule_idx } => {
                write!(f, "rule {rule_idx} is about `icmp`, which has no ports")
            }
        }
    }
}

impl std::error::Error for EgressProblem {}
