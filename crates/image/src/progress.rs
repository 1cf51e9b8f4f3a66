//! Telling how far an import is.

/// Where an import is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The archive is being read into the store's temporary directory.
    Reading {
        /// Bytes so far.
        n_bytes: u64,
    },
    /// Layers are being unpacked.
    Unpacking {
        /// Decompressed bytes so far, of this archive or of all its layers.
        n_bytes: u64,
    },
    /// The EROFS image is being made.
    Packing,
    /// The image is being published.
    Publishing,
}

/// Someone who wants to know; called from the importing thread and must not block for long.
pub trait Progress: Sync {
    /// Called at each new step, and within a step about every 16 MiB.
    fn report(&self, step: Step);
}

/// Nobody wants to know.
impl Progress for () {
    fn report(&self, _step: Step) {}
}
