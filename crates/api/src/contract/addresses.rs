//! Addresses of apps. Source: machines-api 1.10.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Body of `POST /v1/apps/{app}/ip_assignments`; empty texts are absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct AssignAddress {
    /// `shared_v4` or `shared_v6`, as far as this host has one; others are refused.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Any region means this host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Organisation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub org_slug: Option<String>,
    /// Network a private address would be reached from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// Service it would be for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_name: Option<String>,
}

/// An address of an app.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct AddressAssignment {
    /// The address.
    pub ip: String,
    /// `global`.
    pub region: String,
    /// Empty: every service has it.
    pub service_name: String,
    /// True: all apps of the host have it.
    pub shared: bool,
    /// RFC 3339.
    pub created_at: String,
}

/// Answer to `GET /v1/apps/{app}/ip_assignments`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct AddressAssignments {
    /// The addresses on which the host awaits visitors.
    pub ips: Vec<AddressAssignment>,
}
