//! What a machine serves, and how one finds out whether it is well (machines-api 2.5 and 2.7).

use crate::units::DurationMs;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One service of a machine, as in its configuration (machines-api 2.5).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Service {
    /// Transport.
    #[serde(default)]
    pub protocol: Transport,
    /// Port inside the machine.
    pub internal_port: u16,
    /// Where visitors come in; empty: not public.
    #[serde(default)]
    pub ports: Vec<Port>,
    /// Whether a knock may start it.
    #[serde(default = "yes")]
    pub is_autostart: bool,
    /// What idleness does.
    #[serde(default)]
    pub autostop: Autostop,
    /// Idleness before autostop acts.
    #[serde(default)]
    pub idle_timeout: Option<DurationMs>,
    /// Machines of the app that stay up.
    #[serde(default)]
    pub min_machines_running: u32,
    /// How much is too much.
    #[serde(default)]
    pub concurrency: Concurrency,
    /// All must pass for it to be routed to.
    #[serde(default)]
    pub checks: Vec<Check>,
}

const fn yes() -> bool {
    true
}

/// Transport of a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// A stream.
    #[default]
    Tcp,
    /// Datagrams.
    Udp,
}

/// What idleness does to a machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Autostop {
    /// Nothing.
    #[default]
    Off,
    /// It is stopped.
    Stop,
    /// It sleeps as deep as its engine can while RAM is kept.
    Suspend,
}

/// Where visitors come in: one port or a range, and how their bytes are read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Port {
    /// First port.
    pub first: u16,
    /// Last port, the same for a single one.
    pub last: u16,
    /// How the bytes of a visitor are read, outermost first.
    #[serde(default)]
    pub handlers: Vec<Handler>,
    /// Plain HTTP is redirected to HTTPS.
    #[serde(default)]
    pub is_https_forced: bool,
    /// Options of the `http` handler.
    #[serde(default)]
    pub http: HttpOptions,
    /// Options of the `tls` handler.
    #[serde(default)]
    pub tls: TlsOptions,
    /// Version of the header that the `proxy_proto` handler sends.
    #[serde(default)]
    pub proxy_proto: ProxyProto,
}

/// How bytes are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Handler {
    /// HTTP/1.1 and h2.
    Http,
    /// TLS ends here.
    Tls,
    /// A line or header with the visitor's address goes before the bytes.
    ProxyProto,
}

/// Version of the PROXY protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProxyProto {
    /// A line of text.
    #[default]
    V1,
    /// A binary header.
    V2,
}

/// Options of the `http` handler.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpOptions {
    /// The program speaks h2 without TLS.
    #[serde(default)]
    pub is_h2_backend: bool,
    /// Compress answers that can be.
    #[serde(default)]
    pub is_compressed: bool,
    /// Longest silence of a connection.
    #[serde(default)]
    pub idle_timeout: Option<DurationMs>,
    /// Longest wait for a request's head.
    #[serde(default)]
    pub headers_read_timeout: Option<DurationMs>,
    /// Headers of answers: no values removes, else they replace what the program sent.
    #[serde(default)]
    pub response_headers: BTreeMap<String, Vec<String>>,
    /// Adds none of the proxy's own headers to answers.
    #[serde(default)]
    pub is_pristine: bool,
}

/// Options of the `tls` handler.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsOptions {
    /// Protocols offered by ALPN; empty: what the handlers can.
    #[serde(default)]
    pub alpn: Vec<String>,
    /// Versions, `TLSv1.2` and `TLSv1.3`; empty: both.
    #[serde(default)]
    pub versions: Vec<String>,
    /// A self-signed certificate where no other fits.
    #[serde(default)]
    pub is_self_signed_by_default: bool,
}

/// How much is too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Concurrency {
    /// What is counted.
    pub counts: Counts,
    /// From here on others are preferred, and one more machine is woken.
    pub soft_limit: u32,
    /// Never more than this.
    #[serde(default)]
    pub hard_limit: Option<u32>,
}

/// What is counted against the limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Counts {
    /// Open connections.
    #[default]
    Connections,
    /// Requests under way.
    Requests,
}

impl Default for Concurrency {
    /// Source: machines-api 4.2.
    fn default() -> Self {
        Self { counts: Counts::Connections, soft_limit: 20, hard_limit: None }
    }
}

/// How the proxy finds out whether a program is well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Unique in its machine; what the API shows.
    pub name: String,
    /// What is asked.
    pub probe: Probe,
    /// Port inside the machine.
    pub port: u16,
    /// Pause between two.
    pub interval: DurationMs,
    /// Longest wait for the answer.
    pub timeout: DurationMs,
    /// After the start failures do not count for so long.
    pub grace_period: DurationMs,
    /// Failing takes the machine out of balancing.
    pub gates_routing: bool,
}

/// What a check asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Probe {
    /// Passes when the connection is accepted.
    Tcp,
    /// Passes on a 2xx answer; redirects are not followed.
    Http {
        /// `GET` if not said otherwise.
        method: String,
        /// With query.
        path: String,
        /// Over TLS.
        is_https: bool,
        /// Any certificate will do.
        skips_verification: bool,
        /// Name asked for by SNI and checked.
        server_name: Option<String>,
        /// Sent with the request.
        headers: Vec<(String, String)>,
    },
}
