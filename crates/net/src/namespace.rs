//! Making and entering namespaces; with the calls to `/dev/net/tun`, all that is unsafe in this crate.
//!
//! A network namespace belongs to a thread, so work inside another one is done on a short-lived
//! thread that ends with it: no thread of the daemon ever changes its own network namespace. The
//! process that lives in the router moves there as a whole, before it has a second thread.

use crate::error::{Error, Result, namespace};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};
use std::fs::File;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::panic::resume_unwind;
use std::path::Path;
use std::thread;

/// The calling thread's own mount namespace, as the kernel shows it.
pub(crate) const OWN_MOUNT: &str = "/proc/thread-self/ns/mnt";
/// The calling thread's own network namespace, as the kernel shows it.
pub(crate) const OWN_NET: &str = "/proc/thread-self/ns/net";

/// Gives the calling thread a new namespace (or its own copy of an attribute) of each kind.
pub(crate) fn unshare(flags: UnshareFlags) -> rustix::io::Result<()> {
    // SAFETY: only CLONE_FILES can invalidate what Rust code relies on (descriptors owned by other
    // threads); every caller in this crate passes name spaces or CLONE_FS alone.
    unsafe { rustix::thread::unshare_unsafe(flags) }
}

/// Opens a namespace file.
pub(crate) fn open(path: &Path) -> Result<OwnedFd> {
    File::open(path).map(OwnedFd::from).map_err(crate::error::at("open the namespace", path))
}

/// Moves the calling thread into the mount namespace `fd`; its root and working directory become
/// the root of that namespace.
pub(crate) fn enter_mount(fd: BorrowedFd<'_>) -> Result<()> {
    // The kernel moves no thread that shares its root with another one, and one that was joined just
    // now may still be on its way out.
    unshare(UnshareFlags::FS).map_err(namespace("own a file system view"))?;
    move_into_link_name_space(fd, Some(LinkNameSpaceType::Mount))
        .map_err(namespace("enter a mount namespace"))
}

/// Moves the calling thread, and threads it starts later, into the network namespace `fd`.
pub(crate) fn enter_net(fd: BorrowedFd<'_>) -> Result<()> {
    move_into_link_name_space(fd, Some(LinkNameSpaceType::Network))
        .map_err(namespace("enter a network namespace"))
}

/// Runs `work` on a short-lived thread with a file system view of its own, which may move into
/// another mount namespace.
pub(crate) fn run_apart<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    on_own_thread(|| {
        unshare(UnshareFlags::FS).map_err(namespace("own a file system view"))?;
        work()
    })
}

/// Runs `work` on a short-lived thread inside the network namespace `netns`.
pub(crate) fn run_inside<T: Send>(
    netns: BorrowedFd<'_>,
    work: impl FnOnce() -> T + Send,
) -> Result<T> {
    on_own_thread(|| {
        enter_net(netns)?;
        Ok(work())
    })
}

/// Runs `work` on a short-lived thread inside a network namespace made for it.
///
/// The namespace ends with the thread unless `work` pins or opens [`OWN_NET`].
pub(crate) fn run_in_new_net<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T> {
    on_own_thread(|| {
        unshare(UnshareFlags::NEWNET).map_err(namespace("make a network namespace"))?;
        Ok(work())
    })
}

fn on_own_thread<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    thread::scope(|scope| {
        let worker = thread::Builder::new()
            .name("in-namespace".to_owned())
            .spawn_scoped(scope, work)
            .map_err(|source| Error::Namespace { doing: "start a thread", source })?;
        worker.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}
