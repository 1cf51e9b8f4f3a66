//! Into the router from outside: for a process of ours that serves machines and visitors.

use crate::error::{Error, Result, at};
use crate::{instance, namespace, pin};
use std::fs;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

/// Where the router is pinned among the pins of its instance.
pub(crate) fn pin_in(pins: &Path) -> PathBuf {
    pins.join("router")
}

/// Whether the instance in `runtime_dir` has a router to [`enter`].
///
/// # Errors
/// [`Error::Path`] or [`Error::Namespace`] without the right to look.
pub fn exists(runtime_dir: &Path) -> Result<bool> {
    match find(runtime_dir) {
        Err(Error::NoRouter { .. }) => Ok(false),
        found => found.map(|_pin| true),
    }
}

/// Moves the calling thread into the network namespace of the router of the instance in
/// `runtime_dir`; threads that it starts later are born there.
///
/// Call it while the process has one thread, or in a thread that is to live there alone. It works
/// from the host's mount namespace as from the instance's, and stays in the one it is in. Sockets
/// opened before keep their namespace.
///
/// # Errors
/// [`Error::NoRouter`] when the instance has none (yet): its control process makes it, so trying
/// again after a while may help. [`Error::Path`] or [`Error::Namespace`] without the right to.
pub fn enter(runtime_dir: &Path) -> Result<()> {
    namespace::enter_net(find(runtime_dir)?.as_fd())
}

/// Opens the router's pin. It is a mount inside the instance's mount namespace, so a short-lived
/// thread goes there to look.
fn find(runtime_dir: &Path) -> Result<OwnedFd> {
    let missing = || Error::NoRouter { runtime_dir: runtime_dir.to_owned() };
    let absolute = match fs::canonicalize(runtime_dir) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Err(missing()),
        resolved => resolved.map_err(at("resolve", runtime_dir))?,
    };
    namespace::run_apart(|| {
        let mount = instance::mount_pin(&absolute);
        if pin::is_pin(&mount)? {
            namespace::enter_mount(namespace::open(&mount)?.as_fd())?;
        }
        let router = pin_in(&instance::pins_in(&absolute));
        if pin::is_pin(&router)? { namespace::open(&router) } else { Err(missing()) }
    })
}
