//! The Machine object and its events, as answers carry them.

use super::lease::Lease;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// A machine. `C` is its configuration: JSON, or what is written as such.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, bound(deserialize = "C: Default + Deserialize<'de>"))]
#[schemars(rename = "Machine", bound = "C: Default + Serialize + JsonSchema")]
pub struct Machine<C = Value> {
    /// 14 lower-case hex digits.
    pub id: String,
    /// Its name.
    pub name: String,
    /// State of its active version.
    pub state: String,
    /// Region: this host's name.
    pub region: String,
    /// Its version.
    pub instance_id: String,
    /// The same.
    pub version: String,
    /// Its IPv6 address in its private network.
    pub private_ip: String,
    /// The image it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_ref: Option<ImageRef>,
    /// Configuration as stored; absent in a summary.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<C>,
    /// Newest first; absent in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events: Option<Vec<Event>>,
    /// How its checks went last; absent when it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checks: Option<Vec<CheckStatus>>,
    /// `ok`.
    pub host_status: String,
    /// Whether the proxy leaves it out.
    pub cordoned: bool,
    /// Nonce of the lease that was taken with the call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
    /// Its lease, without the nonce; only with `include_leases`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease: Option<Lease>,
    /// RFC 3339.
    pub created_at: String,
    /// RFC 3339.
    pub updated_at: String,
    /// Its app (our addition).
    pub app_name: String,
    /// What runs it (our addition).
    pub engine: String,
    /// What runs the code of a virtual machine: `kvm`, or `tcg` for a processor that is emulated (our
    /// addition).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accel: Option<String>,
    /// Its IPv4 address in its private network (our addition).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_ipv4: Option<String>,
    /// How it sleeps (our addition); only in state `suspended`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sleep: Option<Sleep>,
    /// Why it is in state `failed` (our addition).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// How a check went last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct CheckStatus {
    /// The key of a check of the machine; of a service's check `servicecheck-…`.
    pub name: String,
    /// `passing`, `warning`, `critical`.
    pub status: String,
    /// What was seen, in words.
    pub output: String,
    /// RFC 3339.
    pub updated_at: String,
}

/// The image a machine runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ImageRef {
    /// Host of the registry, or `local` for an imported file.
    pub registry: String,
    /// Repository.
    pub repository: String,
    /// Tag.
    pub tag: String,
    /// Digest.
    pub digest: String,
    /// Labels of the image.
    pub labels: BTreeMap<String, String>,
}

/// How a machine sleeps with its RAM.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Sleep {
    /// `freeze` or `suspend`.
    pub depth: String,
    /// RFC 3339.
    pub since: String,
    /// RAM of the host it still holds.
    pub ram_bytes: u64,
}

/// Why a machine cannot be brought up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Failure {
    /// Stable word.
    pub code: String,
    /// A sentence.
    pub message: String,
}

/// Something that happened to a machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// ULID.
    pub id: String,
    /// `launch`, `start`, `exit`, `stop`, `suspend`, `restart`, `update`, `destroy`.
    pub r#type: String,
    /// State reached.
    pub status: String,
    /// `user` or `flyd`.
    pub source: String,
    /// Unix milliseconds.
    pub timestamp: u64,
    /// How a run ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Value>,
    /// Why, when it was a start or a rest (our addition).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Value>,
    /// In words: what failed, or why something happened that nobody called for (our addition).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// A version of a machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MachineVersion {
    /// ULID.
    pub version: String,
    /// Its configuration.
    pub user_config: Value,
}

/// A page of an organisation's machines.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct OrgMachines {
    /// The page.
    pub machines: Vec<OrgMachine>,
    /// Where the next page begins; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
    /// Last of the page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_machine_id: Option<String>,
    /// Its `updated_at`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_updated_at: Option<String>,
    /// Always empty.
    pub error_regions: Vec<String>,
}

/// A machine in an organisation's list.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct OrgMachine {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its app.
    pub app_name: String,
    /// Its region.
    pub region: String,
    /// Its state.
    pub state: String,
    /// Its version.
    pub version: String,
    /// The same; deprecated.
    pub instance_id: String,
    /// Its address.
    pub private_ip: String,
    /// RFC 3339.
    pub created_at: String,
    /// RFC 3339.
    pub updated_at: String,
    /// Image, guest and metadata of its configuration.
    pub config: Value,
}
