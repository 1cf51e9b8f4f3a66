//! Secrets of an app, and keys that work for it without ever leaving.
//!
//! Source: machines-api 1.9. Bytes are read as base64 or as lists of numbers, and written as base64.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// A secret.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct AppSecret {
    /// Its name.
    pub name: String,
    /// Tells this value from others without showing it.
    pub digest: String,
    /// Its value; only with `show_secrets=true`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// When a secret of this name was first set, RFC 3339.
    pub created_at: String,
    /// When it got this value.
    pub updated_at: String,
}

impl fmt::Debug for AppSecret {
    /// Without the value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppSecret").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Answer to `GET /v1/apps/{app}/secrets`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct AppSecretList {
    /// By name.
    pub secrets: Vec<AppSecret>,
    /// Version of all of them together (our addition to this answer).
    pub version: u64,
}

/// Body of `POST /v1/apps/{app}/secrets`.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SetAppSecrets {
    /// New values; `null` removes a secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub values: Option<BTreeMap<String, Option<String>>>,
}

impl fmt::Debug for SetAppSecrets {
    /// Without values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.values.iter().flatten().map(|(name, _)| name).collect();
        f.debug_struct("SetAppSecrets").field("names", &names).finish_non_exhaustive()
    }
}

/// Answer to `POST /v1/apps/{app}/secrets`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct AppSecretsSet {
    /// All secrets of the app.
    pub secrets: Vec<AppSecret>,
    /// What the change is known by.
    #[serde(flatten)]
    pub version: SecretsVersion,
}

/// The version that has a change, under both names that clients know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SecretsVersion {
    /// For `min_secrets_version`.
    pub version: u64,
    /// The same; deprecated.
    #[serde(rename = "Version")]
    pub deprecated: u64,
}

impl From<u64> for SecretsVersion {
    fn from(version: u64) -> Self {
        Self { version, deprecated: version }
    }
}

/// Body of `POST /v1/apps/{app}/secrets/{name}`.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SetAppSecret {
    /// Its value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

impl fmt::Debug for SetAppSecret {
    /// Without the value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SetAppSecret").finish_non_exhaustive()
    }
}

/// Answer to `POST /v1/apps/{app}/secrets/{name}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct AppSecretSet {
    /// The secret.
    #[serde(flatten)]
    pub secret: AppSecret,
    /// What the change is known by.
    #[serde(flatten)]
    pub version: SecretsVersion,
}
