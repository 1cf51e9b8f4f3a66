//! The bounds on how deep a tree gets, and how long its names.

use crate::limits::{DEPTH_MAX, PATH_MAX_BYTES};
use rustix::fs::fstat;
use rustix::io::Errno;
use std::collections::HashMap;
use std::os::fd::OwnedFd;

/// Where each directory really lies, whatever links its name went through.
///
/// Removing a tree takes a descriptor per level, and packing it takes whole names, so both must be
/// bounded for good.
#[derive(Debug, Default)]
pub(super) struct Depths {
    /// By inode number; only the root is not in it.
    by_inode: HashMap<u64, Place>,
}

/// Where a directory lies.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    depth: usize,
    /// Length of its whole name.
    path_bytes: usize,
}

impl Depths {
    /// Notes that `dir` lies in `parent` under `name`; refuses when that is too deep.
    pub(super) fn note(
        &mut self,
        parent: &OwnedFd,
        name: &[u8],
        dir: &OwnedFd,
    ) -> rustix::io::Result<()> {
        let parent_inode = fstat(parent)?.st_ino;
        self.expect_short(parent_inode, name)?;
        let parent = self.place_of(parent_inode);
        let place =
            Place { depth: parent.depth + 1, path_bytes: parent.path_bytes + 1 + name.len() };
        self.by_inode.insert(fstat(dir)?.st_ino, place);
        if place.depth <= DEPTH_MAX { Ok(()) } else { Err(Errno::NAMETOOLONG) }
    }

    /// Refuses a whole name that is too long: `name` in the directory with this inode number.
    pub(super) fn expect_short(&self, parent: u64, name: &[u8]) -> rustix::io::Result<()> {
        let path_bytes = self.place_of(parent).path_bytes + 1 + name.len();
        // The bound does not count the slash of the root.
        if path_bytes <= PATH_MAX_BYTES + 1 { Ok(()) } else { Err(Errno::NAMETOOLONG) }
    }

    fn place_of(&self, inode: u64) -> Place {
        self.by_inode.get(&inode).copied().unwrap_or_default()
    }
}
