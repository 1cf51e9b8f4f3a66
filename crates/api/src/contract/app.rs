//! Apps: namespaces of machines.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Organisation that every caller has: one host has one owner.
pub const DEFAULT_ORG: &str = "personal";

/// Body of `POST /v1/apps`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CreateApp {
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its name, as older clients call it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_name: Option<String>,
    /// Organisation it belongs to; required.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub org_slug: Option<String>,
    /// Private network; the organisation's own when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
}

/// Answer to `POST /v1/apps`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AppCreated {
    /// Its id.
    pub id: String,
    /// When, in Unix milliseconds.
    pub created_at: u64,
}

/// An app.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct App {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// `pending` until its first machine, then `deployed`.
    pub status: String,
    /// Private network; `default` is the organisation's own.
    pub network: String,
    /// Machines in it, without destroyed ones.
    pub machine_count: u64,
    /// Volumes in it.
    pub volume_count: u64,
    /// To whom it belongs.
    pub organization: Organization,
}

/// An organisation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Organization {
    /// Its name.
    pub name: String,
    /// Its slug.
    pub slug: String,
}

/// Answer to `GET /v1/apps`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AppList {
    /// How many.
    pub total_apps: usize,
    /// Which.
    pub apps: Vec<App>,
}
