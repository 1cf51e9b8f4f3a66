//! Where an image is unpacked: in RAM while it fits there, else on the disk.
//!
//! A tree lives for seconds and is then packed into one file. In RAM it costs no write, no journal
//! and nothing to remove. On ext4 it also costs the next image: the allocator passes over inodes that
//! were freed in the last minute, one by one, so an import right after another took 7.8 s instead of
//! 1.6 (a Debian root of 8,600 entries). Source: `recently_deleted` in the kernel's `fs/ext4/ialloc.c`.

use crate::error::ImageError;
use crate::layout::Workshop;
use crate::limits::Limits;
use crate::unpack::MAPPED_ROOT;
use rustix::fs::{XattrFlags, setxattr};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use std::ffi::CString;
use std::io;
use std::path::{Path, PathBuf};

/// The part of the host's available RAM that one tree may take.
const RAM_SHARE: u64 = 4;

/// Inodes beside the entries of an image: its root, and directories that no entry names.
const MORE_INODES: u64 = 100_000;

/// A directory to unpack into; gone when this is dropped, if it is in RAM, else with its workshop.
#[derive(Debug)]
pub(crate) struct Tree {
    path: PathBuf,
    is_in_ram: bool,
}

impl Tree {
    /// An empty tree `name` on the disk.
    pub(crate) fn on_disk(workshop: &Workshop, name: &str) -> Result<Self, ImageError> {
        let path = make(workshop, name)?;
        Ok(Self { path, is_in_ram: false })
    }

    /// An empty tree `name` in RAM; `None` where that is not possible: too little RAM, no right to
    /// mount, or a kernel whose tmpfs keeps no `user.*` attributes (before 6.6).
    pub(crate) fn in_ram(
        workshop: &Workshop,
        name: &str,
        limits: &Limits,
    ) -> Result<Option<Self>, ImageError> {
        let n_bytes = limits.ram_bytes.min(available_ram().unwrap_or(0) / RAM_SHARE);
        if n_bytes == 0 {
            return Ok(None);
        }
        let path = make(workshop, name)?;
        let n_inodes = limits.n_entries.saturating_add(MORE_INODES);
        let options = format!(
            "size={n_bytes},nr_inodes={n_inodes},mode=0755,uid={MAPPED_ROOT},gid={MAPPED_ROOT}"
        );
        let options = CString::new(options).expect("numbers hold no zero byte");
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        if let Err(error) = mount("tmpfs", &path, "tmpfs", flags, options.as_c_str()) {
            tracing::debug!(path = %path.display(), %error, "unpacking on the disk");
            return Ok(None);
        }
        let tree = Self { path, is_in_ram: true };
        Ok(keeps_attributes(&tree.path).then_some(tree))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        if self.is_in_ram
            && let Err(error) = unmount(&self.path, UnmountFlags::DETACH)
        {
            tracing::warn!(path = %self.path.display(), %error, "a tree stays in RAM");
        }
    }
}

/// Unmounts the trees that a killed process left in RAM below `dir`.
pub(crate) fn unmount_left(dir: &Path) -> Result<(), ImageError> {
    let table = Path::new("/proc/self/mounts");
    let mounts = std::fs::read_to_string(table).map_err(ImageError::io("read", table))?;
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(1)).map(Path::new);
    points.filter(|point| point.starts_with(dir)).try_for_each(|point| {
        unmount(point, UnmountFlags::DETACH).map_err(ImageError::io("unmount", point))
    })
}

/// The directory of a tree, made if it is not there, for the unpacker's ids.
fn make(workshop: &Workshop, name: &str) -> Result<PathBuf, ImageError> {
    use std::os::unix::fs::PermissionsExt as _;
    let path = workshop.path(name);
    let make = || {
        match std::fs::create_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            result => result?,
        }
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
        std::os::unix::fs::chown(&path, Some(MAPPED_ROOT), Some(MAPPED_ROOT))
    };
    make().map_err(ImageError::io("make", &path))?;
    Ok(path)
}

/// Whether the file system there keeps the attributes that images may have. The mark is on the root
/// directory, whose attributes an image replaces, and is taken off again.
fn keeps_attributes(path: &Path) -> bool {
    const PROBE: &str = "user.dormouse.probe";
    setxattr(path, PROBE, b"", XattrFlags::empty()).is_ok()
        && rustix::fs::removexattr(path, PROBE).is_ok()
}

/// RAM that can be used without swapping, in bytes. Source: proc_meminfo(5), `MemAvailable`.
fn available_ram() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::Layout;

    fn mounted_below(dir: &Path) -> usize {
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
        let points = mounts.lines().filter_map(|line| line.split(' ').nth(1)).map(Path::new);
        points.filter(|point| point.starts_with(dir)).count()
    }

    #[test]
    fn a_tree_in_ram_is_bounded_and_goes_when_it_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::open(&dir.path().join("data"), dir.path()).unwrap();
        let workshop = layout.workshop().unwrap();
        let limits = Limits { ram_bytes: 1 << 20, ..Limits::default() };
        let Some(tree) = Tree::in_ram(&workshop, "tree", &limits).unwrap() else {
            return; // An old kernel: then trees are on the disk, which the other tests see.
        };
        assert_eq!(mounted_below(dir.path()), 1);
        let full = std::fs::write(tree.path().join("file"), vec![1; 2 << 20]).unwrap_err();
        assert!(durable::is_disk_full(&full), "{full}");
        drop(tree);
        assert_eq!(mounted_below(dir.path()), 0);
        let none = Limits { ram_bytes: 0, ..Limits::default() };
        assert!(Tree::in_ram(&workshop, "tree", &none).unwrap().is_none());
    }

    #[test]
    fn what_a_killed_process_left_in_ram_is_freed_at_the_next_start() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let layout = Layout::open(&data, dir.path()).unwrap();
        let workshop = layout.workshop().unwrap();
        let Some(tree) = Tree::in_ram(&workshop, "tree", &Limits::default()).unwrap() else {
            return;
        };
        std::fs::write(tree.path().join("file"), "1").unwrap();
        std::mem::forget((tree, workshop));
        Layout::open(&data, dir.path()).unwrap();
        assert_eq!(mounted_below(dir.path()), 0);
        assert_eq!(std::fs::read_dir(data.join("tmp/image")).unwrap().count(), 0);
    }
}
