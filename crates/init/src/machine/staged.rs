//! What does not depend on which machine it will be: mounted before anybody asks, shown in its place when
//! there is a root.

use super::Failure;
use guest_root::mounts::{Fs, attach, attach_at, copy_of, copy_of_tree, mount_point};
use guest_root::parts::{self, OWN_DIRS, Words};
use guest_root::place::{self, OWN};
use rustix::fs::{CWD, Mode, mkdirat};
use rustix::io::Errno;
use rustix::mount::{MountAttrFlags, MountFlags, OpenTreeFlags, mount_remount, open_tree};
use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};

/// Mounts that wait for the root they belong to.
#[derive(Debug)]
pub(super) struct Staged {
    words: Words,
    proc_mount: OwnedFd,
    sys_mount: OwnedFd,
    dev: OwnedFd,
    own_dirs: OwnedFd,
}

impl Staged {
    /// Mounts all of it, and makes the places for the rest.
    ///
    /// With it comes the root of the tree of control groups.
    pub(super) fn mount() -> Result<(Self, OwnedFd), Failure> {
        make_places().map_err(Failure::of("make the places of mounts"))?;
        let words = Words::new(0, ram_bytes());
        let proc_mount = parts::mount_proc(place::PROC).map_err(Failure::of("mount /proc"))?;
        let (sys_mount, groups) = mount_sys().map_err(Failure::of("mount /sys"))?;
        let dev = mount_dev(&words).map_err(Failure::of("mount /dev"))?;
        let own_dirs = mount_own_dirs(&words).map_err(Failure::of("mount /.fly"))?;
        Ok((Self { words, proc_mount, sys_mount, dev, own_dirs }, groups))
    }

    /// Shows each in its place in `root`, too: this init needs its own at the end, or for another root.
    pub(super) fn show_in(&self, root: &OwnedFd, has_fresh_run: bool) -> Result<(), Errno> {
        attach(&copy_of(&self.proc_mount)?, mount_point(root, c"proc")?)?;
        attach(&copy_of_tree(&self.sys_mount)?, mount_point(root, c"sys")?)?;
        attach(&copy_of_tree(&self.dev)?, mount_point(root, c"dev")?)?;
        let [first, second] = OWN_DIRS;
        attach(&copy_of_tree(&self.own_dirs)?, mount_point(root, first)?)?;
        attach(&copy_of(&self.own_dirs)?, mount_point(root, second)?)?;
        if has_fresh_run {
            attach(&parts::mount_run(&self.words)?, mount_point(root, c"run")?)?;
        }
        Ok(())
    }
}

fn make_places() -> Result<(), Errno> {
    for place in place::ALL {
        make_dir(CWD, place)?;
    }
    Ok(())
}

/// Makes a directory, unless it is there.
pub(super) fn make_dir(at: impl AsFd, path: &CStr) -> Result<(), Errno> {
    match mkdirat(at, path, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(error),
    }
}

fn ram_bytes() -> u64 {
    let info = rustix::system::sysinfo();
    u64::from(info.mem_unit).saturating_mul(info.totalram)
}

/// With the tree of control groups, which is the machine's own.
fn mount_sys() -> Result<(OwnedFd, OwnedFd), Errno> {
    let sys_mount = parts::mount_sys(MountAttrFlags::empty())?;
    let groups = parts::mount_cgroup2()?;
    attach_at(&groups, c"/sys/fs/cgroup")?;
    Ok((sys_mount, groups))
}

/// The kernel's own devices.
fn mount_dev(words: &Words) -> Result<OwnedFd, Errno> {
    let dev = Fs { name: c"devtmpfs", options: [] }.mount(MountAttrFlags::MOUNT_ATTR_NOSUID)?;
    parts::complete_dev(&dev, words)?;
    Ok(dev)
}

/// Tools are what lies in `/bin` here, if anything does.
fn mount_own_dirs(words: &Words) -> Result<OwnedFd, Errno> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tools = match open_tree(CWD, c"/bin", flags) {
        Ok(tools) => Some(tools),
        Err(Errno::NOENT) => None,
        Err(error) => return Err(error),
    };
    let own_dirs = parts::mount_own_dirs(tools.as_ref(), words)?;
    if tools.is_some() {
        let flags = MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOSUID;
        mount_remount(c"/own/bin", flags, c"")?;
    } else {
        attach_at(&own_dirs, OWN)?;
    }
    Ok(own_dirs)
}
