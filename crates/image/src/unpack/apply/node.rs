//! What every placed entry gets: content, owner, permissions, times.

use super::failed;
use crate::limits::XATTRS_MAX_BYTES;
use crate::unpack::failure::UnpackFailure;
use crate::unpack::tar_stream::{Entry, Kind};
use rustix::fs::{Gid, Mode, Timespec, Timestamps, Uid, fchmod, flistxattr, fremovexattr};
use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;

/// Seconds and nanoseconds since 1970.
pub(super) type Time = (i64, u32);

/// Whether an attribute means something outside of the host that wrote it.
///
/// `user.overlay.*` and `trusted.overlay.*` would change what an overlay over the image shows.
pub(super) fn is_kept(name: &[u8], kind: &Kind) -> bool {
    let is_user = name.starts_with(b"user.") && !name.starts_with(b"user.overlay.");
    is_user || (name == b"security.capability" && *kind == Kind::File)
}

/// Copies the content; a full disk is told apart from a broken archive.
pub(super) fn copy_content(
    content: &mut impl Read,
    file: &mut File,
    entry: &Entry,
) -> Result<(), UnpackFailure> {
    use std::io::Write as _;
    let mut chunk = [0; 64 * 1024];
    loop {
        match content.read(&mut chunk).map_err(UnpackFailure::of_read)? {
            0 => return Ok(()),
            n => file.write_all(&chunk[..n]).map_err(failed("write", entry))?,
        }
    }
}

/// Removes every attribute that an archive may have set on a directory.
pub(super) fn clear_xattrs(file: impl AsFd, entry: &Entry) -> Result<(), UnpackFailure> {
    let clear = || -> rustix::io::Result<()> {
        let mut names = vec![0; XATTRS_MAX_BYTES];
        let n_bytes = flistxattr(&file, names.as_mut_slice())?;
        let mut names = names[..n_bytes].split(|b| *b == 0);
        names.try_for_each(|name| match is_kept(name, &Kind::Directory) {
            true => fremovexattr(&file, name),
            false => Ok(()),
        })
    };
    clear().map_err(failed("clear the attributes of", entry))
}

/// Sets owner, then permissions: a change of owner clears the set-id bits.
pub(super) fn own(file: impl AsFd, entry: &Entry) -> Result<(), UnpackFailure> {
    let (uid, gid) = owner(entry);
    rustix::fs::fchown(&file, Some(uid), Some(gid)).map_err(failed("set the owner of", entry))?;
    fchmod(&file, Mode::from_raw_mode(entry.mode)).map_err(failed("set the permissions of", entry))
}

pub(super) fn owner(entry: &Entry) -> (Uid, Gid) {
    let id = |id: u64| u32::try_from(id).expect("ids were checked to be at most 65,535");
    (Uid::from_raw(id(entry.uid)), Gid::from_raw(id(entry.gid)))
}

pub(super) fn timestamps((tv_sec, nanos): Time) -> Timestamps {
    let time = Timespec { tv_sec, tv_nsec: nanos.into() };
    Timestamps { last_access: time, last_modification: time }
}
