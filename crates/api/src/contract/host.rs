//! Our own answers about the host: tokens, use, health. Regions, because clients ask.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Code of the one region a host has.
pub const REGION: &str = "local";

/// Answer to `GET /v1/platform/regions`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Regions {
    /// The one.
    pub nearest: String,
    /// Only the one.
    pub regions: Vec<Region>,
}

/// A region.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Region {
    /// Its code.
    pub code: String,
    /// Its name.
    pub name: String,
    /// Part of the world; unknown here.
    pub geo_region: String,
    /// Unknown here.
    pub latitude: f64,
    /// Unknown here.
    pub longitude: f64,
    /// False.
    pub gateway_available: bool,
    /// False.
    pub requires_paid_plan: bool,
    /// False.
    pub deprecated: bool,
}

/// Body of `POST /v1/tokens`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CreateToken {
    /// Its name, for people and events.
    #[serde(default)]
    pub name: String,
    /// Only this app.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
    /// Only this machine of the app.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
    /// `read` or `operate` (default).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rights: Option<String>,
    /// Life, e.g. `24h`; for ever when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<super::GoDuration>,
}

/// A token, without its secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct TokenInfo {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What it reaches: `all`, `app:<name>`, `machine:<id>`.
    pub scope: String,
    /// `read` or `operate`.
    pub rights: String,
    /// RFC 3339.
    pub created_at: String,
    /// RFC 3339; absent is never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// Id of the token it was made with; it is withdrawn with that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
}

/// Answer to `POST /v1/tokens`: the only time the secret is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TokenCreated {
    /// The secret.
    pub token: String,
    /// The token.
    #[serde(flatten)]
    pub info: TokenInfo,
}

/// Body of `POST /v1/apps/{app}/deploy_token`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CreateDeployToken {
    /// Life, e.g. `24h`; for ever when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiry: Option<super::GoDuration>,
}

/// Answer to `POST /v1/apps/{app}/deploy_token`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeployToken {
    /// The secret of a token that may operate the app and nothing else.
    pub token: String,
}

/// Answer to `GET …/usage`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Usage {
    /// Seconds in `started`.
    pub started_s: f64,
    /// CPU seconds used by runs that have ended.
    pub cpu_s: f64,
}

/// Answer to `GET /v1/apps/{app}/usage`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct AppUsage {
    /// Seconds in `started`, of all machines together.
    pub started_s: f64,
    /// CPU seconds used by runs that have ended.
    pub cpu_s: f64,
    /// From when on, RFC 3339.
    pub since: String,
    /// Until when.
    pub until: String,
    /// Each machine's, also of those that are destroyed.
    pub machines: Vec<MachineUsage>,
}

/// Metered use of a machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct MachineUsage {
    /// The machine.
    pub machine_id: String,
    /// Seconds in `started`.
    pub started_s: f64,
    /// CPU seconds used by runs that have ended.
    pub cpu_s: f64,
}

/// Answer to `GET /v1/doctor`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Doctor {
    /// One line each.
    #[schemars(with = "Vec<super::shapes::HostFinding>")]
    pub findings: Vec<control::Finding>,
}
