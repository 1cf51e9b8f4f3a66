//! Entries become files: the rules of OCI layers.
//!
//! Source: OCI image specification, "Image Layer Filesystem Changeset".

mod depths;
mod node;
mod whiteout;

use super::failure::UnpackFailure;
use super::job::UnpackReport;
use super::root::{EntryPath, Root, names_in, open_child, remove, type_of};
use super::tar_stream::{Entry, Kind};
use crate::limits::{ID_MAX, LINK_MAX_BYTES, Limits, XATTRS_MAX_BYTES};
use depths::Depths;
use node::{Time, clear_xattrs, copy_content, is_kept, own, owner, timestamps};
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, XattrFlags, chownat, fsetxattr, fstat, linkat, mkdirat,
    mkfifoat, openat, symlinkat, utimensat,
};
use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use whiteout::Whiteout;

/// Builds one tree out of the entries of all layers.
#[derive(Debug)]
pub(super) struct Applier {
    root: Root,
    has_whiteouts: bool,
    limits: Limits,
    report: UnpackReport,
    /// What this layer brought, by directory (inode number) and name: its whiteouts spare these.
    brought: HashSet<(u64, Vec<u8>)>,
    /// Times of directories, set at the very end because later entries change them.
    dir_times: BTreeMap<EntryPath, Time>,
    depths: Depths,
}

impl Applier {
    pub(super) fn new(root: Root, has_whiteouts: bool, limits: Limits) -> Self {
        let top = EntryPath::parse(b"").expect("the root has a valid name");
        Self {
            root,
            has_whiteouts,
            limits,
            report: UnpackReport::default(),
            brought: HashSet::new(),
            dir_times: BTreeMap::from([(top, Time::default())]),
            depths: Depths::default(),
        }
    }

    /// Says that the entries from now on belong to the next layer.
    pub(super) fn begin_layer(&mut self) {
        self.brought.clear();
    }

    /// Applies one entry; `content` has as many bytes as it says.
    pub(super) fn apply(
        &mut self,
        entry: &Entry,
        content: &mut impl Read,
    ) -> Result<(), UnpackFailure> {
        self.report.n_entries += 1;
        if self.report.n_entries > self.limits.n_entries {
            let max = self.limits.n_entries;
            return Err(UnpackFailure::too_large("the number of entries", max));
        }
        if entry.uid.max(entry.gid) > ID_MAX {
            return Err(UnpackFailure::bad_entry(&entry.path, "has an owner beyond 65,535"));
        }
        let path = EntryPath::parse(&entry.path)?;
        let Some((parent, name)) = path.split() else { return self.apply_to_root(&path, entry) };
        let parent = self.parent(&parent, entry)?;
        match Whiteout::of(name).filter(|_| self.has_whiteouts) {
            Some(whiteout) => self.wipe(&parent, whiteout, entry),
            None => self.place(&path, &parent, name, entry, content),
        }
    }

    /// Sets what had to wait and tells what was done.
    pub(super) fn finish(self) -> Result<UnpackReport, UnpackFailure> {
        for (path, time) in &self.dir_times {
            // A later layer may have removed it, or put a file in its place.
            if let Ok(dir) = self.root.open_dir(path) {
                utimensat(&dir, "", &timestamps(*time), AtFlags::EMPTY_PATH)
                    .map_err(UnpackFailure::io("set the time of", path.as_bytes()))?;
            }
        }
        Ok(self.report)
    }

    fn apply_to_root(&mut self, path: &EntryPath, entry: &Entry) -> Result<(), UnpackFailure> {
        if entry.kind != Kind::Directory {
            return Err(UnpackFailure::bad_entry(b"/", "is the root but not a directory"));
        }
        let top = self.root.open_dir(path).map_err(failed("open", entry))?;
        self.finish_dir(path, &top, entry)
    }

    fn parent(&mut self, path: &EntryPath, entry: &Entry) -> Result<OwnedFd, UnpackFailure> {
        let (times, depths) = (&mut self.dir_times, &mut self.depths);
        let mut on_made = |made: &EntryPath, parent: &OwnedFd, dir: &OwnedFd| {
            times.insert(made.clone(), Time::default());
            let (_, name) = made.split().expect("the root was there before");
            depths.note(parent, name, dir)
        };
        self.root.ensure_dir(path, &mut on_made).map_err(failed("make the directory of", entry))
    }

    fn wipe(
        &self,
        parent: &OwnedFd,
        whiteout: Whiteout<'_>,
        entry: &Entry,
    ) -> Result<(), UnpackFailure> {
        let may_go = |dir: &OwnedFd, name: &[u8]| {
            fstat(dir).is_ok_and(|stat| !self.brought.contains(&(stat.st_ino, name.to_vec())))
        };
        let wipe = || match whiteout {
            Whiteout::Of(name) => remove(parent, name, &may_go),
            Whiteout::Opaque => {
                names_in(parent)?.iter().try_for_each(|name| remove(parent, name, &may_go))
            }
            Whiteout::Ignored => Ok(()),
        };
        wipe().map_err(failed("remove what is hidden by", entry))
    }

    fn place(
        &mut self,
        path: &EntryPath,
        parent: &OwnedFd,
        name: &[u8],
        entry: &Entry,
        content: &mut impl Read,
    ) -> Result<(), UnpackFailure> {
        let inode = fstat(parent).map_err(failed("look at", entry))?.st_ino;
        self.depths.expect_short(inode, name).map_err(failed("make", entry))?;
        self.brought.insert((inode, name.to_vec()));
        if entry.kind == Kind::HardLink {
            return self.place_hard_link(parent, name, entry);
        }
        let existing = type_of(parent, name).map_err(failed("look at", entry))?;
        let stays_dir = existing == Some(FileType::Directory) && entry.kind == Kind::Directory;
        if existing.is_some() && !stays_dir {
            remove(parent, name, &|_, _| true).map_err(failed("replace", entry))?;
        }
        match entry.kind {
            Kind::Device => {
                self.report.n_devices_dropped += 1;
                Ok(())
            }
            Kind::File => self.place_file(parent, name, entry, content),
            Kind::Directory => {
                if !stays_dir {
                    mkdirat(parent, name, Mode::RWXU).map_err(failed("make", entry))?;
                }
                let dir = open_child(parent, name).map_err(failed("open", entry))?;
                self.depths.note(parent, name, &dir).map_err(failed("make", entry))?;
                self.finish_dir(path, &dir, entry)
            }
            Kind::Symlink => {
                let target = link_target(entry)?;
                symlinkat(target, parent, name).map_err(failed("make", entry))?;
                self.finish_special(parent, name, entry)
            }
            Kind::Fifo => {
                let mode = Mode::from_raw_mode(entry.mode);
                mkfifoat(parent, name, mode).map_err(failed("make", entry))?;
                self.finish_special(parent, name, entry)
            }
            Kind::HardLink => unreachable!("dealt with above"),
        }
    }

    /// Links to what an earlier entry brought. A link to itself changes nothing.
    fn place_hard_link(
        &mut self,
        parent: &OwnedFd,
        name: &[u8],
        entry: &Entry,
    ) -> Result<(), UnpackFailure> {
        let target = EntryPath::parse(link_target(entry)?)?;
        let Some((target_dir, target_name)) = target.split() else {
            return Err(UnpackFailure::bad_entry(&entry.path, "is a hard link to the root"));
        };
        let target_dir =
            self.root.open_dir(&target_dir).map_err(failed("find the target of", entry))?;
        let look = |dir: &OwnedFd, name: &[u8]| {
            rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)
                .map(|stat| (stat.st_dev, stat.st_ino))
        };
        let wanted = look(&target_dir, target_name).map_err(failed("find the target of", entry))?;
        if look(parent, name) == Ok(wanted) {
            return Ok(());
        }
        remove(parent, name, &|_, _| true).map_err(failed("replace", entry))?;
        linkat(&target_dir, target_name, parent, name, AtFlags::empty())
            .map_err(failed("link", entry))
    }

    fn place_file(
        &mut self,
        parent: &OwnedFd,
        name: &[u8],
        entry: &Entry,
        content: &mut impl Read,
    ) -> Result<(), UnpackFailure> {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW;
        let mut file: File = openat(parent, name, flags | OFlags::CLOEXEC, Mode::RUSR | Mode::WUSR)
            .map_err(failed("make", entry))?
            .into();
        copy_content(content, &mut file, entry)?;
        own(&file, entry)?;
        self.set_xattrs(&file, entry)?;
        utimensat(&file, "", &timestamps(entry.mtime), AtFlags::EMPTY_PATH)
            .map_err(failed("set the time of", entry))
    }

    fn finish_dir(
        &mut self,
        path: &EntryPath,
        dir: &OwnedFd,
        entry: &Entry,
    ) -> Result<(), UnpackFailure> {
        // Permissions and attributes need a descriptor that is more than a place.
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = openat(dir, ".", flags, Mode::empty()).map_err(failed("open", entry))?;
        own(&dir, entry)?;
        // One that was there before is described anew, not added to.
        clear_xattrs(&dir, entry)?;
        self.set_xattrs(&dir, entry)?;
        self.dir_times.insert(path.clone(), entry.mtime);
        Ok(())
    }

    /// Owner and time of something that must not be opened.
    fn finish_special(
        &mut self,
        parent: &OwnedFd,
        name: &[u8],
        entry: &Entry,
    ) -> Result<(), UnpackFailure> {
        self.report.n_xattrs_dropped += count(entry.xattrs.len());
        let (uid, gid) = owner(entry);
        chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(failed("set the owner of", entry))?;
        utimensat(parent, name, &timestamps(entry.mtime), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(failed("set the time of", entry))
    }

    fn set_xattrs(&mut self, file: impl AsFd, entry: &Entry) -> Result<(), UnpackFailure> {
        let n_bytes: usize =
            entry.xattrs.iter().map(|(name, value)| name.len() + value.len()).sum();
        if n_bytes > XATTRS_MAX_BYTES {
            return Err(UnpackFailure::bad_entry(&entry.path, "has too large attributes"));
        }
        for (name, value) in &entry.xattrs {
            if is_kept(name, &entry.kind) {
                fsetxattr(&file, name.as_slice(), value, XattrFlags::empty())
                    .map_err(failed("set an attribute of", entry))?;
            } else {
                self.report.n_xattrs_dropped += 1;
            }
        }
        Ok(())
    }
}

fn failed<E: Into<std::io::Error>>(
    action: &'static str,
    entry: &Entry,
) -> impl FnOnce(E) -> UnpackFailure {
    UnpackFailure::io(action, &entry.path)
}

fn link_target(entry: &Entry) -> Result<&[u8], UnpackFailure> {
    let link = entry.link.as_slice();
    if link.is_empty() || link.len() > LINK_MAX_BYTES || link.contains(&0) {
        return Err(UnpackFailure::bad_entry(&entry.path, "is a link to an impossible name"));
    }
    Ok(link)
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}
