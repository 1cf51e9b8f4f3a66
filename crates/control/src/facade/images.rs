//! What others may ask about images, as types.

use model::spec::{ImageConfig, ImageRef};
use model::{Digest, DurationMs, MachineId, UnixMs};
use registry::Credentials;

/// Who asks for an image, and what they can show a registry.
#[derive(Clone, Debug, Default)]
pub struct ImageAccess {
    /// Who asks.
    pub caller: ImageCaller,
    /// What they show; kept in memory only, and only until the image is here.
    pub credentials: Credentials,
}

/// Who asks for an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ImageCaller {
    /// Whoever may do everything on this host.
    #[default]
    Owner,
    /// Whoever holds a token that is limited to an app or a machine of it.
    Tenant {
        /// The app.
        app: String,
    },
}

/// An image to bring.
#[derive(Clone, Debug)]
pub struct PullImage {
    /// What the caller wrote: `debian:12`, `registry.example.com/team/web@sha256:…`.
    pub reference: String,
    /// Who asks.
    pub access: ImageAccess,
}

/// How far a pull is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullProgress {
    /// What is being done.
    pub stage: PullStage,
    /// The image's digest, once it is known.
    pub digest: Option<Digest>,
    /// The blobs of the image, its config first; empty until they are known.
    pub layers: Vec<LayerProgress>,
    /// Bytes that are here, of all blobs.
    pub done_bytes: u64,
    /// Bytes of all blobs.
    pub total_bytes: u64,
}

/// What a pull is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullStage {
    /// Finding out what the reference names, or waiting for its turn.
    Resolving,
    /// Fetching blobs.
    Downloading,
    /// Unpacking the layers.
    Unpacking,
    /// Packing the file system, and recording it.
    Packing,
    /// The image is here.
    Done,
}

/// How far one blob is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerProgress {
    /// Which.
    pub digest: Digest,
    /// Bytes that are here.
    pub done_bytes: u64,
    /// Its size.
    pub total_bytes: u64,
}

/// An image that is here now.
#[derive(Clone, Debug)]
pub struct PulledImage {
    /// The image.
    pub info: ImageInfo,
    /// Whether this pull brought it.
    pub is_new: bool,
    /// Why the registry was not asked, or what came of asking it; `None` when it confirmed what is
    /// here, or the image was just brought.
    pub cached_because: Option<String>,
}

/// An image of this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageInfo {
    /// The name that it came by first, and its digest.
    pub image: ImageRef,
    /// All names that lead to it now, `registry/repository:tag`, in order. A tag that has moved on
    /// to another image is not among them.
    pub tags: Vec<String>,
    /// Bytes that it takes on this host.
    pub size_bytes: u64,
    /// The part of them that other images have as well.
    pub shared_bytes: u64,
    /// When it came.
    pub created_at: UnixMs,
    /// When a machine was last made from it, or stopped needing it.
    pub last_used_at: UnixMs,
    /// Machines that need it.
    pub n_machines: u32,
    /// Whether it came with credentials that it needed: not everybody may use it.
    pub is_private: bool,
    /// Where it came from: `registry`, or the file it was imported from.
    pub source: String,
}

/// All that is known of an image.
#[derive(Clone, Debug)]
pub struct ImageDetail {
    /// What a list shows.
    pub info: ImageInfo,
    /// What its programs need.
    pub config: ImageConfig,
    /// Digests and sizes in bytes of its layers as they were sent, lowest first; empty when it was
    /// imported from a plain root file system.
    pub layers: Vec<(Digest, u64)>,
    /// Machines that need it.
    pub machines: Vec<MachineId>,
}

/// Which unused images go. Of several conditions each must hold; without any, all unused images go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PruneImages {
    /// Keep so many of those that were used last.
    pub keep_last: Option<u32>,
    /// Only those that have not been used for so long.
    pub older_than: Option<DurationMs>,
    /// Only until all images together take no more than this, the longest unused first.
    pub max_bytes: Option<u64>,
    /// Say what would go, and let it stay.
    pub dry_run: bool,
}

/// What went, or would go.
#[derive(Clone, Debug, Default)]
pub struct PrunedImages {
    /// The images, longest unused first.
    pub removed: Vec<ImageInfo>,
    /// Bytes that they took.
    pub freed_bytes: u64,
}

pub use crate::pulls::PullHandle;
