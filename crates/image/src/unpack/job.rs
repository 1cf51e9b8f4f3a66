//! What parent and child say to each other, one JSON document per line.

use super::UnpackFailure;
use crate::limits::Limits;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Longest line in either direction: a job names at most 127 layers by their paths.
pub(crate) const MESSAGE_MAX_BYTES: u64 = 4 << 20;

/// What the parent says when the id maps are written.
pub(crate) const GO: &str = "go\n";

/// What a child is to do.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Job {
    /// Unpack the layers, in order, into the empty directory `tree`.
    Unpack {
        tree: PathBuf,
        layers: Vec<LayerJob>,
        /// Whether `.wh.` names delete what earlier layers brought.
        has_whiteouts: bool,
        limits: Limits,
    },
    /// Become `mkfs.erofs`, which makes the file `image` from the directory `tree`.
    Pack { tree: PathBuf, image: PathBuf, uuid: String },
}

/// One layer: a file and what is known of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct LayerJob {
    /// The directory it lies in; its own links lead nowhere else.
    pub(crate) dir: PathBuf,
    /// Its name there.
    pub(crate) name: String,
    /// Hex digest of the file.
    pub(crate) sha256: Option<String>,
    /// Hex digest of the decompressed archive.
    pub(crate) diff_id: Option<String>,
    /// Size of the file.
    pub(crate) size_bytes: Option<u64>,
}

/// What a child says.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Message {
    /// The user namespace exists and waits for its maps.
    Ready,
    /// Decompressed bytes so far.
    Progress { n_bytes: u64 },
    /// Done.
    Unpacked(UnpackReport),
    /// Not done.
    Failed(UnpackFailure),
}

/// What was unpacked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UnpackReport {
    pub(crate) layers: Vec<LayerReport>,
    pub(crate) n_entries: u64,
    /// Device nodes that were left out.
    pub(crate) n_devices_dropped: u64,
    /// Extended attributes that were left out.
    pub(crate) n_xattrs_dropped: u64,
}

/// What one layer was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LayerReport {
    /// Hex digest of the file.
    pub(crate) sha256: String,
    /// Hex digest of the decompressed archive.
    pub(crate) diff_id: String,
}
