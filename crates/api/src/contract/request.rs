//! Bodies and answers of the machine calls.

use super::config::{MachineConfig, object};
use super::duration::GoDuration;
use super::signal::Signal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Body of `POST …/machines`, and of an update (where `name` and `region` are ignored).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CreateMachine {
    /// What it should be; only `config.image` is required.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "object")]
    pub config: Option<MachineConfig>,
    /// Its name, unique in the app; drawn when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Any valid region expression; all mean this host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Prepare, but do not start. An update leaves a machine down that was down, unless this is false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skip_launch: Option<bool>,
    /// Create it cordoned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skip_service_registration: Option<bool>,
    /// Take a lease of so many seconds with the call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease_ttl: Option<u64>,
    /// Least version of the app's secrets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_secrets_version: Option<u64>,
    /// Give it no secrets of its app as variables.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skip_secrets: Option<bool>,
    /// Update only: only if this is the current version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_version: Option<String>,
}

/// `{"ok":true}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ok {
    /// Always true.
    pub ok: bool,
}

/// Answer to `POST …/start`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Started {
    /// State before the call.
    pub previous_state: String,
    /// Always false: a machine never leaves its host by itself.
    pub migrated: bool,
    /// Always empty.
    pub new_host: String,
}

/// Body of `POST …/stop`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StopRequest {
    /// Instead of the machine's stop signal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<Signal>,
    /// Instead of the machine's stop timeout; zero counts as absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<GoDuration>,
}

/// Body of `POST …/signal`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SignalRequest {
    /// Name or number.
    pub signal: Signal,
}

/// Answer to `GET …/wait`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WaitReply {
    /// True.
    pub ok: bool,
    /// The state that ended the wait.
    #[serde(default)]
    pub state: String,
    /// The machine's version.
    #[serde(default)]
    pub version: String,
    /// The newest event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_id: Option<String>,
}

/// Body of `PUT` and `PATCH …/metadata`: both merge.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MetadataChange {
    /// New values; `null` or empty removes a key.
    #[serde(default)]
    pub metadata: BTreeMap<String, Option<String>>,
    /// Only if this is the machine's version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine_version: Option<String>,
}

/// Body of `POST …/metadata/{key}`, and the answer to its `GET`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MetadataValue {
    /// The value.
    #[serde(default)]
    pub value: Option<String>,
}
