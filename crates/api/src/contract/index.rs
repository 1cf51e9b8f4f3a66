//! Where to begin.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// Answer to `GET /`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Index {
    /// What answers.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it is, in a sentence.
    pub about: String,
    /// How callers say who they are.
    pub authentication: String,
    /// Where things are.
    pub links: BTreeMap<String, String>,
    /// First steps.
    pub steps: Vec<Step>,
    /// All paths with their methods.
    pub operations: BTreeMap<String, Vec<String>>,
}

/// A call that somebody new might make.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Step {
    /// What for.
    pub about: String,
    /// Method.
    pub method: String,
    /// Path.
    pub path: String,
    /// Body, if it has one.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub body: Value,
}
