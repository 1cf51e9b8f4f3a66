//! Records of who can be reached where: whole, each with the generation of its owner.

use model::spec::service::{Check, Service};
use model::{MachineId, UnixMs};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Everything the proxy must know of one app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppRoute {
    /// Its name.
    pub app: String,
    /// Grows with each change of this record.
    pub generation: u64,
    /// Number of its private network.
    pub network: u32,
    /// Names of its own under which it is reached, beside `<app>.localhost`.
    #[serde(default)]
    pub hostnames: Vec<Hostname>,
}

/// A name that visitors use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hostname {
    /// Lower case, without a final dot; `*.` in front matches one label.
    pub name: String,
    /// Chain and key for TLS; without one a certificate is made by the proxy.
    #[serde(default)]
    pub certificate: Option<Certificate>,
}

/// A certificate with its private key, both PEM.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Certificate {
    /// The server's certificate first.
    pub chain_pem: String,
    /// Its private key.
    pub key_pem: String,
}

impl std::fmt::Debug for Certificate {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificate").finish_non_exhaustive()
    }
}

/// Everything the proxy and the resolver must know of one machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MachineRoute {
    /// Its id.
    pub machine: MachineId,
    /// Revision of the machine that this record was made from.
    pub generation: u64,
    /// Its app.
    pub app: String,
    /// Number of its app's private network.
    pub network: u32,
    /// Region of its host.
    pub region: String,
    /// Whether bytes can be sent to it.
    pub state: RouteState,
    /// Its addresses for life.
    pub v4: Ipv4Addr,
    /// As above; always `…:2`.
    pub v6: Ipv6Addr,
    /// Its owner takes it out of the load balancing; it can still be asked for by its id.
    #[serde(default)]
    pub is_cordoned: bool,
    /// What it serves.
    #[serde(default)]
    pub services: Vec<Service>,
    /// Checks of the whole machine. A failing one of kind `readiness` takes it out of balancing.
    #[serde(default)]
    pub checks: Vec<Check>,
    /// Labels, for names like `<value>.<key>.kv._metadata.<app>.internal`.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    /// It wants no name of its own in DNS.
    #[serde(default)]
    pub is_hidden_in_dns: bool,
    /// Domains that its egress rules name, as `example.com` or `*.example.com`: what they stand for
    /// is let through before it is told. `None` when every name is answered and none is special.
    #[serde(default)]
    pub egress_domains: Option<Vec<String>>,
    /// Whether names in none of [`Self::egress_domains`] are answered, too; else they are refused.
    #[serde(default)]
    pub are_other_names_answered: bool,
}

/// Whether bytes can be sent to a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum RouteState {
    /// The program runs.
    Up {
        /// Which run: an answer of another run is not of this machine as it was asked.
        run: String,
        /// Since when.
        since: UnixMs,
    },
    /// It sleeps and can be woken.
    Asleep,
    /// It is on its way up, down, or between versions: who wants it asks control.
    Moving,
    /// It cannot be started now: created but not prepared, failed, being destroyed.
    Unavailable,
}
