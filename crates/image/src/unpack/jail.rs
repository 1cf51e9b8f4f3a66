//! The walls around an unpacking process, built from inside by the process itself.
//!
//! Source: user_namespaces(7), pivot_root(2) ("the root can be pivoted onto itself").

use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, mount,
    mount_bind, mount_change, mount_remount, move_mount, open_tree, unmount,
};
use rustix::process::{
    Gid, Resource, Rlimit, Signal, Uid, getppid, set_parent_process_death_signal, setrlimit,
};
use rustix::thread::{
    UnshareFlags, set_thread_gid, set_thread_groups, set_thread_uid, unshare_unsafe,
};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

/// First of the 65,536 host ids that stand for ids 0 to 65,535 of an archive while its tree exists.
///
/// Far above the ranges that login tools hand out by default: they start at 100,000 or 524,288.
pub(crate) const MAPPED_ROOT: u32 = 0x1f00_0000;

/// Memory of an unpacker: the largest zstd window (128 MiB), and names of a million entries.
const UNPACKING_MEMORY_BYTES: u64 = 1 << 30;

/// Memory of `mkfs.erofs`: it holds all inodes, about a kilobyte each.
const PACKING_MEMORY_BYTES: u64 = 4 << 30;

/// CPU time of either, in seconds: a hundred times a large image's.
const CPU_SECONDS: u64 = 3600;

pub(super) fn limit_unpacking() -> io::Result<()> {
    limit(UNPACKING_MEMORY_BYTES)
}

pub(super) fn limit_packing() -> io::Result<()> {
    limit(PACKING_MEMORY_BYTES)
}

/// Lowers what this process may use; bounds already lower stay.
fn limit(memory_bytes: u64) -> io::Result<()> {
    let bounds = [(Resource::As, memory_bytes), (Resource::Cpu, CPU_SECONDS), (Resource::Core, 0)];
    for (resource, wanted) in bounds {
        let hard = rustix::process::getrlimit(resource).maximum.unwrap_or(u64::MAX);
        let bound = Some(wanted.min(hard));
        setrlimit(resource, Rlimit { current: bound, maximum: bound })?;
    }
    Ok(())
}

/// Makes `tree` the root directory of a new mount namespace with nothing else in it.
pub(super) fn enter_tree(tree: &Path) -> io::Result<()> {
    leave_namespaces()?;
    mount_bind(tree, tree)?;
    let flags = MountFlags::BIND | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount_remount(tree, flags, c"")?;
    rustix::process::chdir(tree)?;
    rustix::process::pivot_root(".", ".")?;
    unmount(".", UnmountFlags::DETACH)?;
    rustix::process::chdir("/")?;
    Ok(())
}

/// Where the packing process finds its work.
#[derive(Clone, Copy, Debug)]
pub(super) struct PackingPlaces {
    pub(super) tree: &'static str,
    pub(super) image: &'static str,
}

/// Shows `tree` (read-only) and `image` below `/tmp` in a new mount namespace.
///
/// The tree's own path may lead through directories that the namespace's root cannot pass.
pub(super) fn enter_packing(tree: &Path, image: &Path) -> io::Result<PackingPlaces> {
    let places = PackingPlaces { tree: "/tmp/tree", image: "/tmp/image.erofs" };
    leave_namespaces()?;
    let tree_mount = detached_copy(tree)?;
    let image_mount = detached_copy(image)?;
    mount("tmpfs", "/tmp", "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, c"mode=0755,size=1m")?;
    std::fs::create_dir(places.tree)?;
    std::fs::File::create_new(places.image)?;
    attach(&tree_mount, places.tree)?;
    attach(&image_mount, places.image)?;
    let read_only = MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV;
    mount_remount(places.tree, read_only, c"")?;
    Ok(places)
}

/// A copy of the mount of `path` that has no place yet.
fn detached_copy(path: &Path) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    Ok(open_tree(CWD, path, flags)?)
}

fn attach(mount: &OwnedFd, place: &str) -> io::Result<()> {
    Ok(move_mount(mount, "", CWD, place, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?)
}

/// Takes copies of what the host has, so that nothing done here is seen there.
///
/// The mounts become slaves, not private: unmounts of the host must still reach this copy.
fn leave_namespaces() -> io::Result<()> {
    let away = UnshareFlags::NEWNS | UnshareFlags::NEWNET | UnshareFlags::NEWIPC;
    // SAFETY: the process has one thread and keeps its descriptor table.
    unsafe { unshare_unsafe(away | UnshareFlags::NEWUTS) }?;
    mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)?;
    Ok(())
}

/// Makes a user namespace; until the parent has written its maps this process is nobody.
pub(super) fn unshare_user() -> io::Result<()> {
    // SAFETY: the process has one thread and keeps its descriptor table.
    Ok(unsafe { unshare_unsafe(UnshareFlags::NEWUSER) }?)
}

/// Becomes user and group 0 of the namespace, to die with the parent.
pub(super) fn become_root_of_namespace() -> io::Result<()> {
    let parent = getppid();
    set_thread_groups(&[])?;
    set_thread_gid(Gid::ROOT)?;
    set_thread_uid(Uid::ROOT)?;
    // Changing ids clears the death signal, so it is asked for afterwards.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    if getppid() == parent { Ok(()) } else { Err(Errno::SRCH.into()) }
}
