//! `services[]` and checks as they are written on the wire (machines-api 2.5 and 2.7).

use super::config::object;
use super::duration::GoDuration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// What a machine serves.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Service {
    /// `tcp` (default) or `udp`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// Port inside the machine; required.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub internal_port: Option<u32>,
    /// Where visitors come in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ports: Option<Vec<Port>>,
    /// Whether a knock starts the machine; true when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub autostart: Option<bool>,
    /// What idleness does: a boolean, `off`, `stop`, `suspend`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub autostop: Option<Switch>,
    /// Idleness before autostop acts, in seconds (our addition).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_timeout_s: Option<u32>,
    /// Machines of the app that stay up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_machines_running: Option<u32>,
    /// How much is too much.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "object")]
    pub concurrency: Option<Concurrency>,
    /// Checks that gate routing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checks: Option<Vec<Check>>,
}

/// A word or a boolean.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Switch {
    /// `false` or `true`.
    Bool(bool),
    /// A word.
    Word(String),
}

/// Where visitors come in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Port {
    /// One port; excludes the range.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u32>,
    /// First of a range.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_port: Option<u32>,
    /// Last of a range.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_port: Option<u32>,
    /// `http`, `tls`, `proxy_proto`, `tcp`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handlers: Option<Vec<String>>,
    /// Redirect plain HTTP to HTTPS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub force_https: Option<bool>,
    /// Options of `http`.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "object")]
    pub http_options: Option<HttpOptions>,
    /// Options of `tls`.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "object")]
    pub tls_options: Option<TlsOptions>,
    /// Options of `proxy_proto`.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "object")]
    pub proxy_proto_options: Option<ProxyProtoOptions>,
}

/// Options of the `http` handler.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct HttpOptions {
    /// Compress answers that can be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compress: Option<bool>,
    /// The program speaks h2 without TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub h2_backend: Option<bool>,
    /// Longest silence of a connection, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_timeout: Option<u32>,
    /// Longest wait for a request's head, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headers_read_timeout: Option<u32>,
    /// Changes of answers.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "object")]
    pub response: Option<ResponseOptions>,
    /// Not supported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replay_cache: Option<Value>,
}

/// Changes of answers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ResponseOptions {
    /// Name to a value, several, or `false` to remove it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headers: Option<BTreeMap<String, HeaderChange>>,
    /// Adds none of the proxy's own headers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pristine: Option<bool>,
}

/// What becomes of a header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum HeaderChange {
    /// Only `false`, which removes it.
    Keep(bool),
    /// One value.
    Value(String),
    /// Several.
    Values(Vec<String>),
}

/// Options of the `tls` handler.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct TlsOptions {
    /// Protocols offered by ALPN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alpn: Option<Vec<String>>,
    /// `TLSv1.2`, `TLSv1.3`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub versions: Option<Vec<String>>,
    /// A self-signed certificate where no other fits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_self_signed: Option<bool>,
}

/// Options of the `proxy_proto` handler.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ProxyProtoOptions {
    /// `v1` or `v2`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// How much is too much.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Concurrency {
    /// `connections` or `requests`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// From here on others are preferred.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub soft_limit: Option<u32>,
    /// Never more; 0 and absence are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hard_limit: Option<u32>,
}

/// How one finds out whether a program is well.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Check {
    /// `tcp` or `http`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Port inside the machine; of a service's check its `internal_port` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u32>,
    /// Pause between two.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<GoDuration>,
    /// Longest wait for the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<GoDuration>,
    /// After the start failures do not count for so long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grace_period: Option<GoDuration>,
    /// `informational` or `readiness`, of a check of the whole machine.
    #[serde(rename = "kind", skip_serializing_if = "Option::is_none")]
    pub effect: Option<String>,
    /// Of `http`: `GET` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Of `http`: `/` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Of `http`: `http` or `https`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// Any certificate will do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_skip_verify: Option<bool>,
    /// Name asked for and checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_server_name: Option<String>,
    /// Sent with the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headers: Option<Vec<CheckHeader>>,
}

/// A header of a check's request.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct CheckHeader {
    /// Its name.
    pub name: String,
    /// Its values.
    pub values: Vec<String>,
}
