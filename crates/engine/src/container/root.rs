//! The guest's file system as the child builds it: `/proc`, `/sys`, `/dev`, our own directories;
//! when the disk has come, the overlay that they move into; it becomes the root and all else is gone.
//!
//! The image is hostile. Nothing in it is ever resolved as a path: mount points are single names
//! opened without following links, a link or file in such a place is replaced, and mounts go to
//! descriptors. Everything runs with the file ids of the guest's root, so that what is made belongs
//! to it; an overlay mounted as another user comes up read-only without an error.

use super::child::Plan;
use super::gift;
use super::masks;
use crate::capabilities::with_file_ids;
use crate::first_process::pivot;
use crate::report::{self, Failure, Moment, Step};
use guest_root::mounts::{attach, attach_at, copy_of, mount_point};
use guest_root::parts::{self, OWN_DIRS};
use guest_root::place::{DISK, IMAGE, PROC, ROOT};
use rustix::fs::{FileType, Mode, OFlags, makedev, mknodat, open};
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;
use std::ffi::CStr;
use std::os::fd::OwnedFd;

/// Device nodes of `/dev`: name, major, minor. Source: OCI runtime spec, "Default Devices".
const DEVICES: [(&CStr, u32, u32); 6] = [
    (c"null", 1, 3),
    (c"zero", 1, 5),
    (c"full", 1, 7),
    (c"random", 1, 8),
    (c"urandom", 1, 9),
    (c"tty", 5, 0),
];

/// What the root is to be like.
#[derive(Debug)]
pub(super) struct Words {
    /// Host id of the guest's root.
    id: u32,
    pub(super) parts: parts::Words,
    /// The program is an init and wants a `/run` that is empty at each start.
    has_fresh_run: bool,
}

impl Words {
    /// For a guest whose root is `id` on the host, with so much RAM.
    pub(super) fn new(id: u32, ram_bytes: u64, has_fresh_run: bool) -> Self {
        Self { id, parts: parts::Words::new(id, ram_bytes), has_fresh_run }
    }
}

/// Mounts that wait for the root they belong to.
struct Staged {
    proc_mount: OwnedFd,
    sys_mount: OwnedFd,
    dev: OwnedFd,
    own_dirs: OwnedFd,
    run: Option<OwnedFd>,
}

/// Builds the root and enters it.
pub(super) fn build(plan: &Plan) -> Result<(), Failure> {
    with_file_ids(plan.root.id, || {
        let staged = stage(plan)?;
        report::passed(&plan.report, Moment::Mounted);
        let disk = gift::receive(&plan.gift).map_err(Step::Gift.failed())?;
        report::passed(&plan.report, Moment::Given);
        let root = overlay(&disk)?;
        report::passed(&plan.report, Moment::Overlay);
        staged.move_into(&root)?;
        pivot(&root).map_err(Step::Pivot.failed())
    })
}

/// Mounts all that is not the disk's.
fn stage(plan: &Plan) -> Result<Staged, Failure> {
    attach_at(&plan.image, IMAGE).map_err(Step::Layers.failed())?;
    let proc_mount = parts::mount_proc(PROC).map_err(Step::Proc.failed())?;
    let sys_mount =
        parts::mount_sys(MountAttrFlags::MOUNT_ATTR_RDONLY).map_err(Step::Sys.failed())?;
    let dev = mount_dev(&plan.root.parts)?;
    masks::apply(&proc_mount, &dev).map_err(Step::Mask.failed())?;
    masks::apply_sys(&sys_mount).map_err(Step::Mask.failed())?;
    let own_dirs = parts::mount_own_dirs(plan.tools.as_ref(), &plan.root.parts)
        .map_err(Step::OwnDirs.failed())?;
    let run = plan.root.has_fresh_run.then(|| parts::mount_run(&plan.root.parts)).transpose();
    Ok(Staged { proc_mount, sys_mount, dev, own_dirs, run: run.map_err(Step::Run.failed())? })
}

/// Joins image and disk at [`ROOT`] and returns its directory.
fn overlay(disk: &OwnedFd) -> Result<OwnedFd, Failure> {
    attach_at(disk, DISK).map_err(Step::Layers.failed())?;
    let mount = parts::mount_overlay().map_err(Step::Overlay.failed())?;
    if parts::is_read_only(&mount).map_err(Step::Overlay.failed())? {
        return Err(Step::OverlayReadOnly.failed()(Errno::ROFS));
    }
    attach_at(&mount, ROOT).map_err(Step::Overlay.failed())?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    open(ROOT, flags, Mode::empty()).map_err(Step::Overlay.failed())
}

impl Staged {
    /// Moves each mount to its place, which is made if the image lacks it.
    fn move_into(&self, root: &OwnedFd) -> Result<(), Failure> {
        let place = |name| mount_point(root, name).map_err(Step::MountPoint.failed());
        attach(&self.proc_mount, place(c"proc")?).map_err(Step::Proc.failed())?;
        attach(&self.sys_mount, place(c"sys")?).map_err(Step::Sys.failed())?;
        attach(&self.dev, place(c"dev")?).map_err(Step::Dev.failed())?;
        let [first, second] = OWN_DIRS;
        attach(&self.own_dirs, place(first)?).map_err(Step::OwnDirs.failed())?;
        let second = place(second)?;
        copy_of(&self.own_dirs)
            .and_then(|copy| attach(&copy, second))
            .map_err(Step::OwnDirs.failed())?;
        match &self.run {
            Some(run) => attach(run, place(c"run")?).map_err(Step::Run.failed()),
            None => Ok(()),
        }
    }
}

/// A `/dev` with the guest's few devices. Nodes are made here, while this process still has the
/// host's rights; in the guest's user namespace nobody can.
fn mount_dev(words: &parts::Words) -> Result<OwnedFd, Failure> {
    let dev = words.tmpfs(c"755", c"64m").mount(MountAttrFlags::MOUNT_ATTR_NOSUID);
    let dev = dev.map_err(Step::Dev.failed())?;
    let mode = Mode::from_raw_mode(0o666);
    // Modes are meant as written; the guest gets its usual mask afterwards.
    let umask = rustix::process::umask(Mode::empty());
    for (name, major, minor) in DEVICES {
        mknodat(&dev, name, FileType::CharacterDevice, mode, makedev(major, minor))
            .map_err(Step::DevNode.failed())?;
    }
    rustix::process::umask(umask);
    parts::complete_dev(&dev, words).map_err(Step::Dev.failed())?;
    Ok(dev)
}
