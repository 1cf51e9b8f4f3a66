//! `egress` as it is written on the wire (our addition): where a machine may speak to beyond its own
//! network.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Rules in order; the first that fits a new connection decides, else `default` does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Egress {
    /// `allow` or `deny`; required.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// The rules.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rules: Option<Vec<EgressRule>>,
}

/// What happens to which connections.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct EgressRule {
    /// `allow` or `deny`; required.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// `*`, an address, a range like `198.51.100.0/24`, a domain, or `*.` and a domain; required.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// `tcp`, `udp` or `icmp`; every protocol when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// Ports; all when absent or empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ports: Option<Vec<EgressPorts>>,
}

/// A port as a number or as text, or a range as text: `443`, `"443"`, `"8000-8999"`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum EgressPorts {
    /// One port.
    One(u32),
    /// One port or a range.
    Text(String),
}
