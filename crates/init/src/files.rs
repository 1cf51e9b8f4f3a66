//! Reading and writing files of the guest, whose content and kind nobody can rely on.
//!
//! Reads are bounded and never block (a FIFO may lie in the place of a file). Writes go to a new
//! file beside the target and are renamed over it, so a link or a device in its place is replaced,
//! never written through.

use crate::start_error::{StartError, text};
use base64::Engine as _;
use guest_proto::message::{FileOrder, StartFailure};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;

/// Reads at most `max` bytes of a regular file.
pub(crate) fn read_bounded(path: &str, max: usize) -> Result<Vec<u8>, Errno> {
    let file = open_regular(path, OFlags::empty())?;
    let mut content = Vec::new();
    match File::from(file).take(max as u64).read_to_end(&mut content) {
        Ok(_) => Ok(content),
        Err(error) => Err(Errno::from_io_error(&error).unwrap_or(Errno::IO)),
    }
}

fn open_regular(path: &str, more: OFlags) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY | more;
    let file = rustix::fs::open(path, flags, Mode::empty())?;
    match FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) {
        FileType::RegularFile => Ok(file),
        _ => Err(Errno::INVAL),
    }
}

/// Makes `path` a regular file with this content and mode.
pub(crate) fn replace(path: &str, content: &[u8], mode: u32) -> Result<(), Errno> {
    if is_already(path, content, mode) {
        return Ok(());
    }
    let beside = format!("{path}.dormouse-new");
    match rustix::fs::unlink(&*beside) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => return Err(error),
    }
    let written = write_new(&beside, content, mode)
        .and_then(|()| rustix::fs::rename(&*beside, path))
        .or_else(|error| match error {
            // A mount point can only be written in place.
            Errno::BUSY => write_in_place(path, content),
            error => Err(error),
        });
    if written.is_err() || rustix::fs::lstat(&*beside).is_ok() {
        match rustix::fs::unlink(&*beside) {
            Ok(()) | Err(_) => {}
        }
    }
    written
}

fn is_already(path: &str, content: &[u8], mode: u32) -> bool {
    let Ok(file) = open_regular(path, OFlags::NOFOLLOW) else { return false };
    let is_same_kind = rustix::fs::fstat(&file).is_ok_and(|stat| {
        stat.st_mode & 0o7777 == mode && u64::try_from(stat.st_size) == Ok(content.len() as u64)
    });
    let mut found = Vec::new();
    is_same_kind
        && File::from(file).take(content.len() as u64 + 1).read_to_end(&mut found).is_ok()
        && found == content
}

fn write_new(path: &str, content: &[u8], mode: u32) -> Result<(), Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)?;
    rustix::fs::fchmod(&file, Mode::from_raw_mode(mode))?;
    write_all(file, content)
}

fn write_in_place(path: &str, content: &[u8]) -> Result<(), Errno> {
    let flags = OFlags::WRONLY | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    write_all(rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::empty())?, content)
}

fn write_all(file: OwnedFd, content: &[u8]) -> Result<(), Errno> {
    File::from(file)
        .write_all(content)
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
}

/// Makes a directory and its missing parents, mode 0755.
pub(crate) fn make_dirs(path: &str) -> Result<(), Errno> {
    let mode = Mode::from_raw_mode(0o755);
    match rustix::fs::mkdir(path, mode) {
        Ok(()) => return Ok(()),
        Err(Errno::NOENT) => {}
        Err(error) => return already_a_dir(path, error),
    }
    let ends = path.char_indices().filter(|(at, letter)| *letter == '/' && *at > 0);
    for end in ends.map(|(at, _)| at).chain([path.len()]) {
        if let Err(error) = rustix::fs::mkdir(&path[..end], mode) {
            already_a_dir(&path[..end], error)?;
        }
    }
    Ok(())
}

fn already_a_dir(path: &str, error: Errno) -> Result<(), Errno> {
    let stat = rustix::fs::statat(CWD, path, AtFlags::empty()).map_err(|_stat| error)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => Ok(()),
        _ => Err(Errno::NOTDIR),
    }
}

/// Writes the files of the configuration.
///
/// # Errors
/// [`StartFailure::Files`], at the first that cannot be written.
pub(crate) fn write_ordered(orders: &[FileOrder]) -> Result<(), StartError> {
    for order in orders {
        write_one(order).map_err(|why| {
            StartError::new(
                StartFailure::Files,
                format!("cannot write `{}` of the configuration's files: {why}", order.path),
            )
        })?;
    }
    Ok(())
}

fn write_one(order: &FileOrder) -> Result<(), String> {
    if !order.path.starts_with('/') {
        return Err("the path is not absolute".to_owned());
    }
    let content = base64::engine::general_purpose::STANDARD
        .decode(&order.content_base64)
        .map_err(|error| format!("its content is not base64 ({error})"))?;
    let parent = order.path.rsplit_once('/').map_or("", |(parent, _)| parent);
    if !parent.is_empty() {
        make_dirs(parent).map_err(|error| format!("cannot make `{parent}`: {}", text(error)))?;
    }
    replace(&order.path, &content, order.mode & 0o7777).map_err(text)
}

#[cfg(test)]
mod tests;
