//! Where machines may be placed: on this host, while it has room.

use super::config::{Guest, object};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Body of `POST /v1/platform/placements`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct FindPlacements {
    /// Organisation; required.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub org_slug: Option<String>,
    /// Region expression; all of them mean this host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// How many machines; zero is as many as there is room for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// Size of each; one performance CPU with 2 GiB when absent.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "object")]
    pub compute: Option<Guest>,
    /// Not supported: there are no volumes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_name: Option<String>,
    /// Not supported: there are no volumes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_size_bytes: Option<u64>,
    /// Means nothing to a single host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weights: Option<Value>,
}

/// Answer to `POST /v1/platform/placements`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Placements {
    /// This host, unless it has no room.
    pub regions: Vec<Placement>,
}

/// Room in a region.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Placement {
    /// Its code.
    pub region: String,
    /// How many of the machines have room there.
    pub count: u64,
    /// How many of them may be made at once.
    pub concurrency: u64,
}
