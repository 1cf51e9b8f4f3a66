//! The pinned mount namespace of one instance, and the end of everything in it.
//!
//! ```text
//! host mount namespace                    instance mount namespace
//! <runtime_dir>        private self-bind   <runtime_dir>
//! <runtime_dir>/mnt    pin of ───────────► <runtime_dir>/ns          tmpfs, only here
//!                                          <runtime_dir>/ns/router   pin of the router
//!                                          <runtime_dir>/ns/slot-…   pins of the slots
//! ```
//!
//! Every other pin is a mount *inside* the pinned mount namespace, so when that one is unpinned
//! and its last process has ended, the kernel deletes all of them with their links and rules.
//!
//! Mounts made by the host arrive in the instance, none goes back. Among the copies that children
//! make of the instance's namespace, mounts are shared, so a child that makes its copy a slave
//! sees the daemon's later unmounts and keeps nothing busy.

use crate::error::{Error, Result, at, namespace};
use crate::namespace::{OWN_MOUNT, enter_mount, open, unshare};
use crate::{pin, router};
use model::InstanceTag;
use rustix::mount::{MountFlags, MountPropagationFlags};
use rustix::thread::{CpuSet, UnshareFlags, sched_getaffinity, sched_setaffinity};
use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Largest size of the tmpfs that holds pins; they are empty files.
const PIN_TMPFS_OPTIONS: &std::ffi::CStr = c"size=1m,nr_inodes=16k,mode=700";

/// The instance's namespaces, entered by this process.
#[derive(Debug)]
pub struct InstanceNamespaces {
    runtime_dir: PathBuf,
    host_mount: OwnedFd,
}

impl InstanceNamespaces {
    /// The directory that holds the pins, as an absolute path without links.
    #[must_use]
    pub fn runtime_dir(&self) -> &Path {
        &self.runtime_dir
    }

    /// Where pins of network and user namespaces live; exists only inside the instance.
    #[must_use]
    pub fn pins(&self) -> PathBuf {
        pins_in(&self.runtime_dir)
    }

    /// Takes the calling thread back to the host's mount namespace, for [`destroy`].
    ///
    /// # Errors
    /// [`crate::Error::Namespace`] while threads that share its file system view are alive.
    pub fn leave(self) -> Result<()> {
        enter_mount(self.host_mount.as_fd())
    }
}

/// Enters the instance's mount namespace, making and pinning it when it does not exist yet.
///
/// Call it while the process has one thread: later threads are born inside. The working directory
/// becomes `/`. `runtime_dir` is made when missing and must not already be a mount point of
/// something else.
///
/// # Errors
/// [`crate::Error::Path`] or [`crate::Error::Namespace`]; calling again continues a half-made
/// instance.
pub fn enter(runtime_dir: &Path) -> Result<InstanceNamespaces> {
    fs::create_dir_all(runtime_dir).map_err(at("create", runtime_dir))?;
    let runtime_dir = fs::canonicalize(runtime_dir).map_err(at("resolve", runtime_dir))?;
    unshare(UnshareFlags::FS).map_err(namespace("own a file system view"))?;
    let host_mount = open(Path::new(OWN_MOUNT))?;
    make_private(&runtime_dir)?;

    let pinned = mount_pin(&runtime_dir);
    if pin::is_pin(&pinned)? {
        enter_mount(open(&pinned)?.as_fd())?;
    } else {
        make_mount_namespace(&pinned, &host_mount)?;
    }
    let instance = InstanceNamespaces { runtime_dir, host_mount };
    hold_pins(&instance.pins())?;
    Ok(instance)
}

/// Undoes everything that [`enter`] and what was built on it left behind; accepts any half of it.
///
/// Call it from the host's mount namespace. Namespaces end when their last process has; files of
/// others in `runtime_dir` stay.
///
/// # Errors
/// [`crate::Error::Path`] when something is still in use, `nft` errors when the host's rules for
/// the uplink cannot be removed. Calling again continues.
pub fn destroy(runtime_dir: &Path, tag: &InstanceTag) -> Result<()> {
    router::remove_host_side(tag)?;
    if cfg!(feature = "planted-leaked-namespace") {
        return Ok(());
    }
    pin::unpin(&mount_pin(runtime_dir))?;
    pin::unmount_all(runtime_dir)?;
    // Pins left by a crash before the first self-bind lie below it.
    pin::unpin(&mount_pin(runtime_dir))?;
    let pins = pins_in(runtime_dir);
    pin::absent(fs::remove_dir(&pins)).map_err(at("remove", &pins))
}

/// Where the instance's mount namespace is pinned, as the host sees it.
pub(crate) fn mount_pin(runtime_dir: &Path) -> PathBuf {
    runtime_dir.join("mnt")
}

/// Where all other pins are, as the instance sees it.
pub(crate) fn pins_in(runtime_dir: &Path) -> PathBuf {
    runtime_dir.join("ns")
}

/// A mount of its own that shares nothing: a pin of a mount namespace must not travel.
fn make_private(dir: &Path) -> Result<()> {
    if !pin::is_mount_root(dir)? {
        rustix::mount::mount_bind(dir, dir).map_err(at("bind to itself", dir))?;
    }
    rustix::mount::mount_change(dir, MountPropagationFlags::PRIVATE).map_err(at("isolate", dir))
}

/// Makes the namespace, steps back to pin it on the host's side, and enters it for good.
///
/// The kernel lets a mount namespace be pinned only in an older one, hence the step back. Newer
/// kernels tell ages by numbers that each CPU draws from a block of its own, so a namespace may
/// count as older than the one it was made in; on the CPU that numbered that one it cannot. Hence
/// the tries, one on each CPU.
fn make_mount_namespace(pinned: &Path, host_mount: &OwnedFd) -> Result<()> {
    let allowed = sched_getaffinity(None).map_err(namespace("read its CPUs"))?;
    let mut made = pin_new_mount_namespace(pinned, host_mount);
    for cpu in (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu)) {
        let is_too_old = matches!(&made, Err(Error::Path { source, .. })
            if source.raw_os_error() == Some(rustix::io::Errno::INVAL.raw_os_error()));
        if !is_too_old {
            break;
        }
        let mut only = CpuSet::new();
        only.set(cpu);
        sched_setaffinity(None, &only).map_err(namespace("choose a CPU"))?;
        made = pin_new_mount_namespace(pinned, host_mount);
    }
    sched_setaffinity(None, &allowed).map_err(namespace("return to its CPUs"))?;
    enter_mount(made?.as_fd())
}

/// A new mount namespace, pinned; the calling thread is back on the host's side.
fn pin_new_mount_namespace(pinned: &Path, host_mount: &OwnedFd) -> Result<OwnedFd> {
    unshare(UnshareFlags::NEWNS).map_err(namespace("make a mount namespace"))?;
    let root = Path::new("/");
    for propagation in [MountPropagationFlags::DOWNSTREAM, MountPropagationFlags::SHARED] {
        rustix::mount::mount_change(root, propagation | MountPropagationFlags::REC)
            .map_err(at("set the propagation of", root))?;
    }
    let made = open(Path::new(OWN_MOUNT))?;
    enter_mount(host_mount.as_fd())?;
    pin::pin(&PathBuf::from(format!("/proc/thread-self/fd/{}", made.as_raw_fd())), pinned)?;
    Ok(made)
}

fn hold_pins(pins: &Path) -> Result<()> {
    fs::create_dir_all(pins).map_err(at("create", pins))?;
    if pin::is_mount_root(pins)? {
        return Ok(());
    }
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    rustix::mount::mount("dormouse", pins, "tmpfs", flags, PIN_TMPFS_OPTIONS)
        .map_err(at("mount a tmpfs at", pins))
}
