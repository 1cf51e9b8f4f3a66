//! Volumes, as far as clients need them to see that there are none.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A volume; there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Volume {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: String,
    /// Its size.
    pub size_gb: u64,
    /// Where it is.
    pub region: String,
}

/// Answer to `GET /v1/orgs/{org}/volumes`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct OrgVolumes {
    /// None.
    pub volumes: Vec<Volume>,
    /// Where the next page begins; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
    /// Last of the page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_volume_id: Option<String>,
    /// Its `updated_at`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_updated_at: Option<String>,
    /// Always empty.
    pub error_regions: Vec<String>,
}
