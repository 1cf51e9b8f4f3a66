//! RAM that could be taken from a running machine and given back: by a balloon, which containers lack.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Answer to `GET` and `PUT …/memory`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Memory {
    /// What it may use, in MiB.
    pub limit_mb: u64,
    /// What it does not use of that.
    pub available_mb: u64,
}

/// Body of `PUT …/memory`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SetMemory {
    /// What it shall use at most, in MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit_mb: Option<u64>,
}

/// Body of `POST …/memory/reclaim`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ReclaimMemory {
    /// What it shall give back, in MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount_mb: Option<u64>,
}

/// Answer to `POST …/memory/reclaim`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ReclaimedMemory {
    /// What it gave back, in MiB.
    pub actual_mb: u64,
}
