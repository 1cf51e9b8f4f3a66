//! What is mounted, with which options.

use crate::mounts::{Fs, attach, attach_at, make_dir};
use crate::place;
use rustix::fs::{Mode, OFlags, StatVfsMountFlags, fstatvfs, mkdirat, openat, symlinkat};
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};

const NOSUID: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOSUID;
const NODEV: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NODEV;
const NOEXEC: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOEXEC;
const NOATIME: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOATIME;

/// Directory on the disk that is the overlay's upper layer.
const UPPER: &CStr = c"upper";
/// Directory on the disk for the overlay's own use.
const WORK: &CStr = c"work";

/// Options that let kernels of all ages agree on one disk, named although some are defaults.
const OVERLAY_OPTIONS: [(&CStr, &CStr); 7] = [
    (c"lowerdir", place::IMAGE),
    (c"upperdir", c"/disk/upper"),
    (c"workdir", c"/disk/work"),
    (c"index", c"off"),
    (c"metacopy", c"off"),
    (c"redirect_dir", c"off"),
    (c"xino", c"off"),
];

/// Links of `/dev`: name and target. Source: OCI runtime spec, "Dev symbolic links".
const DEV_LINKS: [(&CStr, &CStr); 5] = [
    (c"fd", c"/proc/self/fd"),
    (c"stdin", c"/proc/self/fd/0"),
    (c"stdout", c"/proc/self/fd/1"),
    (c"stderr", c"/proc/self/fd/2"),
    (c"ptmx", c"pts/ptmx"),
];

/// Directories for the guest init's sockets, one file system under two names.
pub const OWN_DIRS: [&CStr; 2] = [c".fly", c".dormouse"];

/// Place of the tools in the first of them; the guest init adds it to `PATH`.
const TOOLS: &CStr = c"bin";

/// A link in both of them to the tool that everybody needs: name and target.
const OWN_LINK: (&CStr, &CStr) = (c"dm", c"/.fly/bin/dm");

/// Mount options as text.
#[derive(Debug)]
pub struct Words {
    id_text: CString,
    /// Id of the guest's group `tty` (5).
    tty_text: CString,
    shm_size: CString,
}

impl Words {
    /// For a guest whose root is `id` to this kernel, with so much RAM.
    ///
    /// # Panics
    /// Never: digits hold no zero byte.
    #[must_use]
    pub fn new(id: u32, ram_bytes: u64) -> Self {
        let text = |number: u64| CString::new(number.to_string()).expect("digits hold no zero");
        Self {
            id_text: text(u64::from(id)),
            tty_text: text(u64::from(id) + 5),
            // Half of the RAM, as a Linux box has it; it counts as the machine's RAM.
            shm_size: text(ram_bytes / 2),
        }
    }

    /// A tmpfs that belongs to the guest's root.
    #[must_use]
    pub fn tmpfs<'a>(&'a self, mode: &'a CStr, size: &'a CStr) -> Fs<'a, 4> {
        let options =
            [(c"uid", &*self.id_text), (c"gid", &*self.id_text), (c"mode", mode), (c"size", size)];
        Fs { name: c"tmpfs", options }
    }
}

/// A mount of the machine's disk on this device.
///
/// # Errors
/// The kernel's; [`Errno::INVAL`] when it holds no such file system.
pub fn mount_disk(device: &CStr) -> Result<OwnedFd, Errno> {
    // Blocks freed in the guest return to the host at once.
    let options = [(c"source", device), (c"discard", c"")];
    Fs { name: c"ext4", options }.mount(NOATIME | NODEV | NOSUID)
}

/// Makes what the overlay needs on the disk, unless it is there.
///
/// # Errors
/// The kernel's.
pub fn make_layers(disk: impl AsFd) -> Result<(), Errno> {
    for name in [UPPER, WORK] {
        match mkdirat(&disk, name, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A mount of the overlay of what is attached at [`place::IMAGE`] and [`place::DISK`].
///
/// # Errors
/// The kernel's.
pub fn mount_overlay() -> Result<OwnedFd, Errno> {
    Fs { name: c"overlay", options: OVERLAY_OPTIONS }.mount(NODEV | NOATIME)
}

/// Whether a mount came up read-only, which an overlay does without an error.
///
/// # Errors
/// The kernel's.
pub fn is_read_only(mount: &OwnedFd) -> Result<bool, Errno> {
    Ok(fstatvfs(mount)?.f_flag.contains(StatVfsMountFlags::RDONLY))
}

/// Mounts a `/proc` of this process's pid namespace.
///
/// # Errors
/// The kernel's.
pub fn mount_proc(path: &CStr) -> Result<OwnedFd, Errno> {
    let mount = Fs { name: c"proc", options: [] }.mount(NOSUID | NODEV | NOEXEC)?;
    attach_at(&mount, path)?;
    Ok(mount)
}

/// Mounts a `/sys` that shows this process's network, with `more` attributes than usual.
///
/// # Errors
/// The kernel's.
pub fn mount_sys(more: MountAttrFlags) -> Result<OwnedFd, Errno> {
    let mount = Fs { name: c"sysfs", options: [] }.mount(NOSUID | NODEV | NOEXEC | more)?;
    attach_at(&mount, place::SYS)?;
    Ok(mount)
}

/// Makes a `/dev`, which has its devices, complete and attaches it at [`place::DEV`]: links, terminals,
/// shared memory and queues.
///
/// # Errors
/// The kernel's.
pub fn complete_dev(dev: &OwnedFd, words: &Words) -> Result<(), Errno> {
    for (name, target) in DEV_LINKS {
        match symlinkat(target, dev, name) {
            // The kernel's own file system of devices has one of them as a device.
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error),
        }
    }
    attach_at(dev, place::DEV)?;
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
    attach(&pts.mount(NOSUID | NOEXEC)?, make_dir(dev, c"pts")?)?;
    attach(&shm.mount(NOSUID | NODEV | NOEXEC)?, make_dir(dev, c"shm")?)?;
    attach(&mqueue.mount(NOSUID | NODEV | NOEXEC)?, make_dir(dev, c"mqueue")?)
}

/// A directory for the guest init's socket, with the tools below it. With tools it is attached at
/// [`place::OWN`].
///
/// # Errors
/// The kernel's.
pub fn mount_own_dirs(tools: Option<&OwnedFd>, words: &Words) -> Result<OwnedFd, Errno> {
    let own_dirs = words.tmpfs(c"755", c"1m").mount(NOSUID | NODEV | NOEXEC)?;
    if let Some(tools) = tools {
        // Kernels before 6.15 attach nothing to a mount that is itself attached nowhere.
        attach_at(&own_dirs, place::OWN)?;
        attach(tools, make_dir(&own_dirs, TOOLS)?)?;
        let (name, target) = OWN_LINK;
        symlinkat(target, &own_dirs, name)?;
    }
    Ok(own_dirs)
}

/// `/run` and `/run/lock`, empty at each start, as an init expects them, and the file that tells it
/// where it is; attached at [`place::RUN`]. Source: systemd's "Container Interface",
/// `/run/host/container-manager`.
///
/// # Errors
/// The kernel's.
pub fn mount_run(words: &Words) -> Result<OwnedFd, Errno> {
    let run = words.tmpfs(c"755", c"20%").mount(NOSUID | NODEV)?;
    attach_at(&run, place::RUN)?;
    let lock = words.tmpfs(c"1777", c"5m").mount(NOSUID | NODEV | NOEXEC)?;
    attach(&lock, make_dir(&run, c"lock")?)?;
    mkdirat(&run, c"host", Mode::from_raw_mode(0o755))?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file = openat(&run, c"host/container-manager", flags, Mode::from_raw_mode(0o644))?;
    rustix::io::write(file, b"dormouse\n")?;
    Ok(run)
}

/// A mount of the tree of control groups, of which this process's namespace sees its own part.
///
/// # Errors
/// The kernel's.
pub fn mount_cgroup2() -> Result<OwnedFd, Errno> {
    Fs { name: c"cgroup2", options: [] }.mount(NOSUID | NODEV | NOEXEC)
}
