//! The bound on how deep a tree gets.

use crate::limits::DEPTH_MAX;
use rustix::fs::fstat;
use rustix::io::Errno;
use std::collections::HashMap;
use std::os::fd::OwnedFd;

/// How deep each directory really lies, whatever links its name went through.
///
/// Removing a tree takes a descriptor per level, so depth must be bounded for good.
#[derive(Debug, Default)]
pub(super) struct Depths {
    /// By inode number; those not in it lie at the top.
    by_inode: HashMap<u64, usize>,
}

impl Depths {
    /// Notes that `dir` lies in `parent`; refuses when that is too deep.
    pub(super) fn note(&mut self, parent: &OwnedFd, dir: &OwnedFd) -> rustix::io::Result<()> {
        let depth = self.by_inode.get(&fstat(parent)?.st_ino).map_or(1, |depth| depth + 1);
        self.by_inode.insert(fstat(dir)?.st_ino, depth);
        if depth <= DEPTH_MAX { Ok(()) } else { Err(Errno::NAMETOOLONG) }
    }
}
