//! The record of a pull: why blobs are here that no image has yet.

use model::ids::Digest;
use model::units::UnixMs;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;

/// Format of the record that this version writes.
const FORMAT: u32 = 1;

/// One pull that was begun and has not led to an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PullRecord {
    format: u32,
    /// What is pulled.
    pub(crate) manifest: Digest,
    /// When it was last begun.
    pub(crate) begun_at: UnixMs,
    /// Every blob that it needs.
    blobs: Vec<Digest>,
}

impl PullRecord {
    pub(crate) fn new(manifest: Digest, begun_at: UnixMs, blobs: Vec<Digest>) -> Self {
        Self { format: FORMAT, manifest, begun_at, blobs }
    }

    /// Reads the record of `manifest`; else says what is wrong with it.
    pub(crate) fn parse(manifest: &Digest, bytes: &[u8]) -> Result<Self, String> {
        let record: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        match (record.format == FORMAT, record.manifest == *manifest) {
            (true, true) => Ok(record),
            (false, _) => Err(format!("it has format {}", record.format)),
            (true, false) => Err(format!("it speaks of {}", record.manifest)),
        }
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a record has only plain fields")
    }

    /// Whether nobody is at work on it, and nobody came back to it since `expired`.
    pub(crate) fn is_over(&self, under_way: &HashSet<Digest>, expired: UnixMs) -> bool {
        !under_way.contains(&self.manifest) && self.begun_at <= expired
    }

    pub(crate) fn into_blobs(self) -> Vec<Digest> {
        self.blobs
    }
}
