//! The guest's file system as the child builds it: `/proc`, `/sys`, `/dev`, our own directories;
//! when the disk has come, the overlay that they move into; it becomes the root and all else is gone.
//!
//! The image is hostile. Nothing in it is ever resolved as a path: mount points are single names
//! opened without following links, a link or file in such a place is replaced, and mounts go to
//! descriptors. Everything runs with the file ids of the guest's root, so that what is made belongs
//! to it; an overlay mounted as another user comes up read-only without an error.

use super::bare::{DEV, DISK, IMAGE, OWN, PROC, ROOT, RUN, SYS};
use super::capabilities::with_file_ids;
use super::child::Plan;
use super::gift;
use super::masks;
use super::mounts::{Fs, attach, attach_at, mount_point};
use super::report::{self, Failure, Moment, Step};
use rustix::fs::{
    FileType, Mode, OFlags, StatVfsMountFlags, fstatvfs, makedev, mkdirat, mknodat, open, openat,
    symlinkat,
};
use rustix::io::Errno;
use rustix::mount::{MountAttrFlags, OpenTreeFlags, UnmountFlags, open_tree, unmount};
use rustix::process::{chdir, fchdir, pivot_root};
use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;

const NOSUID: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOSUID;
const NODEV: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NODEV;
const NOEXEC: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOEXEC;
const NOATIME: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOATIME;
const RDONLY: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_RDONLY;

/// Options that let kernels of all ages agree on one disk, named although some are defaults.
const OVERLAY_OPTIONS: [(&CStr, &CStr); 7] = [
    (c"lowerdir", IMAGE),
    (c"upperdir", c"/disk/upper"),
    (c"workdir", c"/disk/work"),
    (c"index", c"off"),
    (c"metacopy", c"off"),
    (c"redirect_dir", c"off"),
    (c"xino", c"off"),
];

/// Device nodes of `/dev`: name, major, minor. Source: OCI runtime spec, "Default Devices".
const DEVICES: [(&CStr, u32, u32); 6] = [
    (c"null", 1, 3),
    (c"zero", 1, 5),
    (c"full", 1, 7),
    (c"random", 1, 8),
    (c"urandom", 1, 9),
    (c"tty", 5, 0),
];

/// Links of `/dev`: name and target. Source: OCI runtime spec, "Dev symbolic links".
const LINKS: [(&CStr, &CStr); 5] = [
    (c"fd", c"/proc/self/fd"),
    (c"stdin", c"/proc/self/fd/0"),
    (c"stdout", c"/proc/self/fd/1"),
    (c"stderr", c"/proc/self/fd/2"),
    (c"ptmx", c"pts/ptmx"),
];

/// Directories for the guest init's sockets, one file system under two names.
const OWN_DIRS: [&CStr; 2] = [c".fly", c".dormouse"];

/// Place of the tools in the first of them; the guest init adds it to `PATH`.
const TOOLS: &CStr = c"bin";

/// A link in both of them to the tool that everybody needs: name and target.
const OWN_LINK: (&CStr, &CStr) = (c"dm", c"/.fly/bin/dm");

/// Mount options as text, made before the clone.
#[derive(Debug)]
pub(super) struct Words {
    /// Host id of the guest's root.
    id: u32,
    id_text: CString,
    /// Host id of the guest's group `tty` (5).
    tty_text: CString,
    shm_size: CString,
    /// The program is an init and wants a `/run` that is empty at each start.
    has_fresh_run: bool,
}

impl Words {
    /// For a guest whose root is `id` on the host, with so much RAM.
    pub(super) fn new(id: u32, ram_bytes: u64, has_fresh_run: bool) -> Self {
        let text = |number: u64| CString::new(number.to_string()).expect("digits hold no zero");
        Self {
            id,
            id_text: text(u64::from(id)),
            tty_text: text(u64::from(id) + 5),
            // Half of the RAM, as a Linux box has it; it counts as the machine's RAM.
            shm_size: text(ram_bytes / 2),
            has_fresh_run,
        }
    }

    /// Options of a tmpfs that belongs to the guest's root.
    pub(super) fn tmpfs<'a>(&'a self, mode: &'a CStr, size: &'a CStr) -> Fs<'a, 4> {
        let options =
            [(c"uid", &*self.id_text), (c"gid", &*self.id_text), (c"mode", mode), (c"size", size)];
        Fs { name: c"tmpfs", options }
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
    let proc_mount = mount_proc(PROC).map_err(Step::Proc.failed())?;
    let sys_mount = mount_sys().map_err(Step::Sys.failed())?;
    let dev = mount_dev(&plan.root)?;
    masks::apply(&proc_mount, &dev).map_err(Step::Mask.failed())?;
    masks::apply_sys(&sys_mount).map_err(Step::Mask.failed())?;
    let own_dirs = mount_own_dirs(plan).map_err(Step::OwnDirs.failed())?;
    let run = plan.root.has_fresh_run.then(|| mount_run(&plan.root)).transpose();
    Ok(Staged { proc_mount, sys_mount, dev, own_dirs, run: run.map_err(Step::Run.failed())? })
}

/// Joins image and disk at [`ROOT`] and returns its directory.
fn overlay(disk: &OwnedFd) -> Result<OwnedFd, Failure> {
    attach_at(disk, DISK).map_err(Step::Layers.failed())?;
    let overlay = Fs { name: c"overlay", options: OVERLAY_OPTIONS };
    let mount = overlay.mount(NODEV | NOATIME).map_err(Step::Overlay.failed())?;
    let flags = fstatvfs(&mount).map_err(Step::Overlay.failed())?.f_flag;
    if flags.contains(StatVfsMountFlags::RDONLY) {
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

/// Mounts a `/proc` of this process's pid namespace.
pub(super) fn mount_proc(path: &CStr) -> Result<OwnedFd, Errno> {
    let mount = Fs { name: c"proc", options: [] }.mount(NOSUID | NODEV | NOEXEC)?;
    attach_at(&mount, path)?;
    Ok(mount)
}

/// Mounts a `/sys` that shows this process's network.
fn mount_sys() -> Result<OwnedFd, Errno> {
    let mount = Fs { name: c"sysfs", options: [] }.mount(NOSUID | NODEV | NOEXEC | RDONLY)?;
    attach_at(&mount, SYS)?;
    Ok(mount)
}

/// A `/dev` with the guest's few devices. Nodes are made here, while this process still has the
/// host's rights; in the guest's user namespace nobody can.
fn mount_dev(words: &Words) -> Result<OwnedFd, Failure> {
    let dev = words.tmpfs(c"755", c"64m").mount(NOSUID).map_err(Step::Dev.failed())?;
    let mode = Mode::from_raw_mode(0o666);
    // Modes are meant as written; the guest gets its usual mask afterwards.
    let umask = rustix::process::umask(Mode::empty());
    for (name, major, minor) in DEVICES {
        mknodat(&dev, name, FileType::CharacterDevice, mode, makedev(major, minor))
            .map_err(Step::DevNode.failed())?;
    }
    rustix::process::umask(umask);
    let fill = || {
        for (name, target) in LINKS {
            symlinkat(target, &dev, name)?;
        }
        attach_at(&dev, DEV)?;
        let pts = Fs {
            name: c"devpts",
            options: [
                (c"newinstance", c""),
                (c"ptmxmode", c"0666"),
                (c"mode", c"0620"),
                (c"gid", &words.tty_text),
            ],
        };
        let shm = words.tmpfs(c"1777", &words.shm_size);
        let mqueue = Fs { name: c"mqueue", options: [] };
        attach(&pts.mount(NOSUID | NOEXEC)?, make_dir(&dev, c"pts")?)?;
        attach(&shm.mount(NOSUID | NODEV | NOEXEC)?, make_dir(&dev, c"shm")?)?;
        attach(&mqueue.mount(NOSUID | NODEV | NOEXEC)?, make_dir(&dev, c"mqueue")?)
    };
    fill().map_err(Step::Dev.failed())?;
    Ok(dev)
}

/// A directory for the guest init's socket, with the tools below it.
fn mount_own_dirs(plan: &Plan) -> Result<OwnedFd, Errno> {
    let own_dirs = plan.root.tmpfs(c"755", c"1m").mount(NOSUID | NODEV | NOEXEC)?;
    if let Some(tools) = &plan.tools {
        // Kernels before 6.15 attach nothing to a mount that is itself attached nowhere.
        attach_at(&own_dirs, OWN)?;
        attach(tools, make_dir(&own_dirs, TOOLS)?)?;
        let (name, target) = OWN_LINK;
        symlinkat(target, &own_dirs, name)?;
    }
    Ok(own_dirs)
}

/// `/run` and `/run/lock`, empty at each start, as an init expects them, and the file that tells it
/// where it is. Source: systemd's "Container Interface", `/run/host/container-manager`.
fn mount_run(words: &Words) -> Result<OwnedFd, Errno> {
    let run = words.tmpfs(c"755", c"20%").mount(NOSUID | NODEV)?;
    attach_at(&run, RUN)?;
    let lock = words.tmpfs(c"1777", c"5m").mount(NOSUID | NODEV | NOEXEC)?;
    attach(&lock, make_dir(&run, c"lock")?)?;
    mkdirat(&run, c"host", Mode::from_raw_mode(0o755))?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file = openat(&run, c"host/container-manager", flags, Mode::from_raw_mode(0o644))?;
    rustix::io::write(file, b"dormouse\n")?;
    Ok(run)
}

/// Another mount of what `mount`, attached already, shows.
pub(super) fn copy_of(mount: &OwnedFd) -> Result<OwnedFd, Errno> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    open_tree(mount, c"", flags)
}

/// A new directory, opened for mounting on it.
pub(super) fn make_dir(parent: &OwnedFd, name: &CStr) -> Result<OwnedFd, Errno> {
    mkdirat(parent, name, Mode::from_raw_mode(0o755))?;
    mount_point(parent, name)
}

/// Makes `root` the root; the old one, with everything attached below it, is gone.
fn pivot(root: &OwnedFd) -> Result<(), Errno> {
    fchdir(root)?;
    pivot_root(c".", c".")?;
    unmount(c".", UnmountFlags::DETACH)?;
    chdir(c"/")
}
