//! The tree that is being built, reached only by names that cannot leave it.
//!
//! Each directory is opened by `openat2` with RESOLVE_IN_ROOT from the tree's root: `..`, absolute
//! and symbolic links are resolved as if the tree were all there is. Last components are then
//! handled by calls that do not follow links.

use super::failure::UnpackFailure;
use crate::limits::{DEPTH_MAX, NAME_MAX_BYTES, PATH_MAX_BYTES};
use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags, mkdirat, openat, openat2, statat,
    unlinkat,
};
use rustix::io::Errno;
use std::os::fd::{AsFd, OwnedFd};

/// Permissions of directories that an archive implies but does not hold.
const IMPLIED_DIR_MODE: u32 = 0o755;

/// The name of an entry, relative to the root, without `.`, `..`, empty or overlong components.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct EntryPath {
    /// Components joined by slashes; empty for the root itself.
    joined: Vec<u8>,
}

impl EntryPath {
    /// Checks a name as it stands in an archive; a leading slash means the root of the tree.
    pub(super) fn parse(raw: &[u8]) -> Result<Self, UnpackFailure> {
        let refuse = |why: &str| Err(UnpackFailure::bad_entry(raw, why));
        let is_real = |part: &&[u8]| !part.is_empty() && *part != b".";
        let parts: Vec<&[u8]> = raw.split(|b| *b == b'/').filter(is_real).collect();
        if parts.contains(&b"..".as_slice()) {
            return refuse("leaves the root");
        }
        if raw.contains(&0) {
            return refuse("has a zero byte in its name");
        }
        if raw.len() > PATH_MAX_BYTES || parts.iter().any(|part| part.len() > NAME_MAX_BYTES) {
            return refuse("has too long a name");
        }
        if parts.len() > DEPTH_MAX {
            return refuse("lies too deep");
        }
        Ok(Self { joined: parts.join(&b'/') })
    }

    /// Directory and last component; `None` for the root.
    pub(super) fn split(&self) -> Option<(Self, &[u8])> {
        if self.joined.is_empty() {
            return None;
        }
        let at = self.joined.iter().rposition(|b| *b == b'/');
        let dir = at.map_or(&[][..], |at| &self.joined[..at]);
        let name = &self.joined[at.map_or(0, |at| at + 1)..];
        Some((Self { joined: dir.to_vec() }, name))
    }

    /// The whole name.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.joined
    }
}

/// Hears of a directory that was made: its name, its parent, itself.
pub(super) type OnMade<'a> =
    dyn FnMut(&EntryPath, &OwnedFd, &OwnedFd) -> rustix::io::Result<()> + 'a;

/// The root of the tree.
#[derive(Debug)]
pub(super) struct Root {
    dir: OwnedFd,
}

impl Root {
    /// The root directory of this process, which the jail has made the tree.
    pub(super) fn open() -> rustix::io::Result<Self> {
        let dir = openat(CWD, "/", OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self { dir })
    }

    /// Opens a directory, following links only within the tree.
    pub(super) fn open_dir(&self, path: &EntryPath) -> rustix::io::Result<OwnedFd> {
        let path = if path.joined.is_empty() { b".".as_slice() } else { &path.joined };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
        openat2(&self.dir, path, flags, Mode::empty(), resolve)
    }

    /// Opens a directory, making it and its parents where they are missing.
    ///
    /// `on_made` hears of each one made, with its parent, and may object.
    pub(super) fn ensure_dir(
        &self,
        path: &EntryPath,
        on_made: &mut OnMade<'_>,
    ) -> rustix::io::Result<OwnedFd> {
        match (self.open_dir(path), path.split()) {
            (Err(Errno::NOENT), Some((parent, name))) => {
                let parent = self.ensure_dir(&parent, on_made)?;
                mkdirat(&parent, name, Mode::from_raw_mode(IMPLIED_DIR_MODE))?;
                let made = open_child(&parent, name)?;
                on_made(path, &parent, &made)?;
                Ok(made)
            }
            (result, _) => result,
        }
    }
}

/// What kind of thing `name` is, without following it; `None` when there is none.
pub(super) fn type_of(dir: impl AsFd, name: &[u8]) -> rustix::io::Result<Option<FileType>> {
    match statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Names in a directory, without `.` and `..`.
pub(super) fn names_in(dir: impl AsFd) -> rustix::io::Result<Vec<Vec<u8>>> {
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let listing = Dir::new(openat(dir, ".", flags, Mode::empty())?)?;
    let names = listing.map(|entry| entry.map(|entry| entry.file_name().to_bytes().to_vec()));
    let is_real = |name: &Vec<u8>| !matches!(name.as_slice(), b"." | b"..");
    names.filter(|name| name.as_ref().map_or(true, is_real)).collect()
}

/// Opens the directory `name` itself, never what a link of that name points to.
pub(super) fn open_child(dir: impl AsFd, name: &[u8]) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(dir, name, flags, Mode::empty())
}

/// Removes `name` with everything in it that `may_go` agrees to, which gets a directory and a name.
///
/// A directory stays when something in it does.
pub(super) fn remove(
    dir: &OwnedFd,
    name: &[u8],
    may_go: &dyn Fn(&OwnedFd, &[u8]) -> bool,
) -> rustix::io::Result<()> {
    let found = type_of(dir, name)?;
    if found == Some(FileType::Directory) {
        let child = open_child(dir, name)?;
        for inner in names_in(&child)? {
            remove(&child, &inner, may_go)?;
        }
    }
    if found.is_none() || !may_go(dir, name) {
        return Ok(());
    }
    let is_dir = found == Some(FileType::Directory);
    match unlinkat(dir, name, if is_dir { AtFlags::REMOVEDIR } else { AtFlags::empty() }) {
        Err(Errno::NOTEMPTY) => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(raw: &str, expected: Result<&str, &str>) {
        let parsed = EntryPath::parse(raw.as_bytes());
        match (parsed, expected) {
            (Ok(path), Ok(text)) => assert_eq!(path.joined, text.as_bytes()),
            (Err(failure), Err(why)) => assert!(failure.to_string().contains(why), "{failure}"),
            (parsed, expected) => panic!("{raw:?}: {parsed:?} instead of {expected:?}"),
        }
    }

    #[test]
    fn names_are_normal_or_refused() {
        check("./a//b/./c/", Ok("a/b/c"));
        check("/etc/passwd", Ok("etc/passwd"));
        check("./", Ok(""));
        check("...", Ok("..."));
        check("a/../b", Err("leaves the root"));
        check("..", Err("leaves the root"));
        check("a\0b", Err("zero byte"));
        check(&"x".repeat(256), Err("too long"));
        check(&"x/".repeat(300), Err("too deep"));
        check(&"abcdefgh/".repeat(500), Err("too long"));
    }

    #[test]
    fn split_gives_directory_and_name() {
        let split = |raw: &str| {
            let path = EntryPath::parse(raw.as_bytes()).unwrap();
            path.split().map(|(dir, name)| (dir.joined, name.to_vec()))
        };
        assert_eq!(split("a/b/c"), Some((b"a/b".to_vec(), b"c".to_vec())));
        assert_eq!(split("a"), Some((Vec::new(), b"a".to_vec())));
        assert_eq!(split("/"), None);
    }
}
