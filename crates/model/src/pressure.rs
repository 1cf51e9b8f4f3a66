//! How full the data file system may be, and whom its host stops before it is full.
//!
//! Three lines, as shares of the file system that are free:
//!
//! ```text
//! 10 %  NEW_REFUSED_BELOW   nothing new is made: create, pull; the growth of disks is measured
//!  7 %  CALM_FROM           what was frozen for want of room is thawed
//!  5 %  FREEZE_BELOW        the machines whose disks grow fastest are frozen
//! ```
//!
//! The gap between the last two keeps a machine from being frozen and thawed in turn.

use crate::ids::MachineId;
use crate::units::{DurationMs, PerMille};
use std::cmp::Reverse;

/// Below this nothing new is made, and the growth of disks is measured. Source: design, section 4, "Pressure".
pub const NEW_REFUSED_BELOW: PerMille = PerMille(100);

/// Below this the fastest writers are frozen. Source: design, section 4, "Pressure".
pub const FREEZE_BELOW: PerMille = PerMille(50);

/// From here on what was frozen is thawed.
pub const CALM_FROM: PerMille = PerMille(70);

/// Growth of all disks together below which nobody is frozen: a start writes less, and so do logs
/// and journals within [`WINDOW`].
pub const GROWTH_MIN_BYTES: u64 = 1 << 20;

/// Longest time over which growth is measured: slow writers show, and old bursts are forgotten.
pub const WINDOW: DurationMs = DurationMs(10_000);

/// Machines frozen after one look: few, because the next look shows whether that was enough.
pub const FREEZE_AT_ONCE: usize = 4;

/// Looks at the file system are this far apart while there is much room.
pub const LOOK_EVERY_MAX: DurationMs = DurationMs(2_000);

/// Looks are never closer than this: ten of them cost less than one start.
pub const LOOK_EVERY_MIN: DurationMs = DurationMs(200);

/// What a writer can take in a millisecond, into the page cache: 2 GiB/s.
const FAST_BYTES_PER_MS: u64 = (2 << 30) / 1000;

/// The room of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Bytes that are free.
    pub free_bytes: u64,
    /// All its bytes.
    pub total_bytes: u64,
}

impl Room {
    /// The share that is free.
    #[must_use]
    pub fn free(self) -> PerMille {
        PerMille::of(self.free_bytes, self.total_bytes)
    }

    /// How long to wait before the next look: as long as a fast writer needs at least from here
    /// to [`FREEZE_BELOW`], within [`LOOK_EVERY_MIN`] and [`LOOK_EVERY_MAX`].
    #[must_use]
    pub fn next_look(self) -> DurationMs {
        let line_bytes = FREEZE_BELOW.part_of(self.total_bytes);
        let spare_ms = self.free_bytes.saturating_sub(line_bytes) / FAST_BYTES_PER_MS;
        DurationMs(spare_ms).clamp(LOOK_EVERY_MIN, LOOK_EVERY_MAX)
    }
}

/// How much the disk of a running machine has grown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Growth {
    /// Whose disk.
    pub machine: MachineId,
    /// By how much.
    pub bytes: u64,
}

/// Who is frozen when so much is free and the disks of running machines have grown like this: the
/// fastest, until they make up half of the growth, and at most [`FREEZE_AT_ONCE`].
///
/// A disk that does not grow is no danger: its machine is never chosen.
#[must_use]
pub fn to_freeze(free: PerMille, mut growths: Vec<Growth>) -> Vec<Growth> {
    let total_bytes: u64 = growths.iter().map(|growth| growth.bytes).sum();
    if free >= FREEZE_BELOW || total_bytes < GROWTH_MIN_BYTES {
        return Vec::new();
    }
    growths.sort_by(|a, b| (Reverse(a.bytes), &a.machine).cmp(&(Reverse(b.bytes), &b.machine)));
    let mut chosen_bytes = 0;
    growths.retain(|growth| {
        let is_needed = chosen_bytes < total_bytes.div_ceil(2);
        chosen_bytes += growth.bytes;
        is_needed && growth.bytes > 0
    });
    growths.truncate(FREEZE_AT_ONCE);
    growths
}

#[cfg(test)]
mod tests;
