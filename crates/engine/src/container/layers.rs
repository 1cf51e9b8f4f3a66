//! What a run is put together from, opened by descriptor before the clone: detached copies of mounts
//! that can be changed without anybody else seeing it.

use crate::error::EngineError;
use crate::sys;
use rustix::fs::{CWD, Mode, OFlags, open};
use rustix::io::Errno;
use rustix::mount::{MountAttrFlags, OpenTreeFlags, open_tree};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Name of the directory of tools, beside the guest init.
const TOOLS_DIR: &str = "bin";

/// Opens a pinned namespace.
pub(crate) fn open_namespace(path: &Path) -> Result<OwnedFd, EngineError> {
    open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(EngineError::namespace(format!("open the namespace `{}`", path.display())))
}

/// A copy of the image's mount, detached, read-only, idmapped.
pub(super) fn image_layer(path: &Path, userns: Option<&OwnedFd>) -> Result<OwnedFd, EngineError> {
    let layer = tree_copy(path, "the image")?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY | MountAttrFlags::MOUNT_ATTR_NODEV;
    sys::mount_setattr(layer.as_fd(), u64::from(attributes.bits()), None)
        .map_err(EngineError::namespace("make the image read-only"))?;
    if let Some(userns) = userns {
        idmap(layer.as_fd(), userns, "give the image an idmap")?;
    }
    Ok(layer)
}

/// The guest init on a mount of its own that nobody can write through: `/proc/1/exe` leads there.
pub(super) fn init_program(path: &Path) -> Result<OwnedFd, EngineError> {
    let init = tree_copy(path, "the guest init")?;
    protect(&init).map_err(EngineError::namespace("make the guest init read-only"))?;
    Ok(init)
}

/// The directory of tools beside the guest init, on a mount like its own; `None` when there is none.
pub(super) fn tools(init_path: &Path) -> Result<Option<OwnedFd>, EngineError> {
    let path = init_path.with_file_name(TOOLS_DIR);
    let tools = match detached_copy(&path) {
        Err(Errno::NOENT) => return Ok(None),
        other => other.map_err(cannot_take("the guest's tools", &path))?,
    };
    protect(&tools).map_err(EngineError::namespace("make the guest's tools read-only"))?;
    Ok(Some(tools))
}

/// Makes a detached mount one that a guest's root can do nothing with but read and run.
fn protect(mount: &OwnedFd) -> Result<(), Errno> {
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY | MountAttrFlags::MOUNT_ATTR_NOSUID;
    sys::mount_setattr(mount.as_fd(), u64::from(attributes.bits()), None)
}

pub(crate) fn tree_copy(path: &Path, what: &str) -> Result<OwnedFd, EngineError> {
    detached_copy(path).map_err(cannot_take(what, path))
}

fn detached_copy(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    open_tree(CWD, path, flags)
}

fn cannot_take(what: &str, path: &Path) -> impl FnOnce(Errno) -> EngineError {
    EngineError::namespace(format!("take {what} from `{}`", path.display()))
}

/// Gives a detached mount the ids of a user namespace.
pub(super) fn idmap(mount: impl AsFd, userns: &OwnedFd, action: &str) -> Result<(), EngineError> {
    sys::mount_setattr(mount.as_fd(), 0, Some(userns.as_fd()))
        .map_err(EngineError::namespace(action))
}
