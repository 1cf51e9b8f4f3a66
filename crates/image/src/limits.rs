//! Bounds of everything that an image file can ask for.

use serde::{Deserialize, Serialize};

/// Bounds that grow with the host; the constants below do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of all layers of one image after decompression.
    pub total_bytes: u64,
    /// Entries of all layers of one image.
    pub n_entries: u64,
    /// Bytes of RAM that an image may take while it is unpacked; one that needs more is unpacked on
    /// the disk, and with 0 all are.
    pub ram_bytes: u64,
}

impl Default for Limits {
    /// 64 GiB, eight times the default disk; a million entries, three full Debian desktops; 2 GiB of
    /// RAM, which holds nearly every image of a service.
    fn default() -> Self {
        Self { total_bytes: 64 << 30, n_entries: 1_000_000, ram_bytes: 2 << 30 }
    }
}

/// Layers of one image. Source: Docker's own limit, which comes from overlayfs options.
pub(crate) const LAYERS_MAX: usize = 127;

/// Longest path of an entry, in bytes.
///
/// Source: PATH_MAX of Linux (4,096 with the final zero), less what stands before it while the tree
/// is packed.
pub(crate) const PATH_MAX_BYTES: usize = 4000;

/// Longest target of a link, in bytes. Source: PATH_MAX of Linux, without its final zero.
pub(crate) const LINK_MAX_BYTES: usize = 4095;

/// Longest name within a directory, in bytes. Source: NAME_MAX of Linux.
pub(crate) const NAME_MAX_BYTES: usize = 255;

/// Deepest directory: removing a tree holds one descriptor per level, and 1,024 are usual.
pub(crate) const DEPTH_MAX: usize = 256;

/// Extended attributes of one entry, names and values, in bytes. Source: XATTR_SIZE_MAX of Linux.
pub(crate) const XATTRS_MAX_BYTES: usize = 64 * 1024;

/// One PAX header or GNU long name, in bytes: holds the two bounds above with room to spare.
pub(crate) const EXTENSION_MAX_BYTES: u64 = 1 << 20;

/// A manifest, index or config, in bytes. Source: the bound of OCI registries.
pub(crate) const DOCUMENT_MAX_BYTES: u64 = 4 << 20;

/// Indexes that point to indexes.
pub(crate) const INDEX_DEPTH_MAX: usize = 4;

/// Highest user or group id: each machine has 65,536 of them.
pub(crate) const ID_MAX: u64 = 65_535;
