//! What a QEMU sees of the host's files: its program, libraries and firmware, read-only, and `/proc` of
//! itself. All that is its machine's it has as descriptors.

use crate::container::layers::tree_copy;
use crate::error::EngineError;
use crate::first_process::{open_null, pivot};
use crate::sys;
use guest_root::mounts::{Fs, attach, attach_at};
use guest_root::place::ROOT;
use rustix::fs::{
    AtFlags, Dev, FileType, Gid, Mode, OFlags, Uid, chownat, mkdirat, mknodat, open, openat,
    symlinkat,
};
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;
use shim_proto::shape::Accel;
use std::ffi::CString;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Where libraries and firmware may lie. Links among them are made as they are.
const PLACES: [&str; 7] = [
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/share/qemu",
    "/usr/share/seabios",
    "/etc/ld.so.cache",
];

/// The host's virtualisation.
const KVM: &str = "/dev/kvm";

/// A root to be built.
#[derive(Debug)]
pub(super) struct Layout {
    /// Directories to make, each after the one that it lies in, relative to the root.
    dirs: Vec<CString>,
    /// Links to make: where, and to what.
    links: Vec<(CString, CString)>,
    /// Copies of mounts, and the directory or file that each is attached to.
    trees: Vec<Tree>,
    /// What reads as nothing and takes everything; in the root there is none.
    pub(super) null: OwnedFd,
    kvm: Option<Kvm>,
}

/// A node of its own by which the monitor's user reaches the host's virtualisation. That of the host is
/// for root alone, or for a group.
#[derive(Debug)]
struct Kvm {
    device: Dev,
    /// User, and group with the same number.
    uid: u32,
}

#[derive(Debug)]
struct Tree {
    mount: OwnedFd,
    place: CString,
    is_file: bool,
}

impl Layout {
    /// What `program` needs on this host, as the user `uid`.
    pub(super) fn of_host(program: &Path, accel: Accel, uid: u32) -> Result<Self, EngineError> {
        let null = open_null().map_err(EngineError::namespace("open `/dev/null`"))?;
        let mut layout = Self {
            dirs: vec![c"proc".to_owned()],
            links: Vec::new(),
            trees: Vec::new(),
            null,
            kvm: None,
        };
        for place in PLACES.map(Path::new) {
            layout.show(place)?;
        }
        layout.show(program)?;
        if accel == Accel::Kvm {
            layout.show_kvm(uid)?;
        }
        Ok(layout)
    }

    /// Shows what lies at `path`, if anything does.
    fn show(&mut self, path: &Path) -> Result<(), EngineError> {
        let Ok(found) = std::fs::symlink_metadata(path) else { return Ok(()) };
        self.make_parents(path);
        if found.is_symlink() {
            let look = EngineError::namespace(format!("read the link `{}`", path.display()));
            let target = std::fs::read_link(path).map_err(look)?;
            self.links.push((inside(path), c_string(target.as_os_str().as_bytes())));
            return Ok(());
        }
        let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
            | MountAttrFlags::MOUNT_ATTR_NOSUID
            | MountAttrFlags::MOUNT_ATTR_NODEV;
        self.attach(path, found.is_file(), attributes)
    }

    /// Shows the host's virtualisation to this user.
    fn show_kvm(&mut self, uid: u32) -> Result<(), EngineError> {
        let found = std::fs::metadata(KVM);
        let device = found.map_err(EngineError::namespace("find `/dev/kvm`"))?.rdev();
        self.kvm = Some(Kvm { device, uid });
        self.dirs.push(c"dev".to_owned());
        Ok(())
    }

    fn attach(
        &mut self,
        path: &Path,
        is_file: bool,
        attributes: MountAttrFlags,
    ) -> Result<(), EngineError> {
        let mount = tree_copy(path, "what the monitor needs")?;
        sys::mount_setattr(mount.as_fd(), u64::from(attributes.bits()), None)
            .map_err(EngineError::namespace(format!("restrict a copy of `{}`", path.display())))?;
        self.trees.push(Tree { mount, place: inside(path), is_file });
        Ok(())
    }

    fn make_parents(&mut self, path: &Path) {
        let mut above: Vec<_> = path.ancestors().skip(1).collect();
        above.pop();
        for dir in above.into_iter().rev().map(inside) {
            if !self.dirs.contains(&dir) {
                self.dirs.push(dir);
            }
        }
    }

    /// Builds the root and enters it; all else is gone. No allocation.
    pub(super) fn enter(&self) -> Result<(), Errno> {
        let options = [(c"size", c"64k"), (c"mode", c"755")];
        let quiet = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
        let mount = Fs { name: c"tmpfs", options }.mount(quiet)?;
        attach_at(&mount, ROOT)?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = open(ROOT, flags, Mode::empty())?;
        for dir in &self.dirs {
            mkdirat(&root, dir, Mode::from_raw_mode(0o755))?;
        }
        for (place, target) in &self.links {
            symlinkat(target, &root, place)?;
        }
        for tree in &self.trees {
            attach(&tree.mount, mount_place(&root, tree)?)?;
        }
        if let Some(kvm) = &self.kvm {
            kvm.attach(&root)?;
        }
        let proc_mount = Fs { name: c"proc", options: [] };
        let proc_mount = proc_mount.mount(quiet | MountAttrFlags::MOUNT_ATTR_NOEXEC)?;
        let place = OFlags::PATH | OFlags::CLOEXEC;
        attach(&proc_mount, openat(&root, c"proc", place, Mode::empty())?)?;
        pivot(&root)
    }
}

impl Kvm {
    /// Mounts a `/dev` with this node and no other. No allocation.
    fn attach(&self, root: &OwnedFd) -> Result<(), Errno> {
        let options = [(c"size", c"4k"), (c"mode", c"755")];
        let quiet = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
        let mount = Fs { name: c"tmpfs", options }.mount(quiet)?;
        let mode = Mode::RUSR | Mode::WUSR;
        mknodat(&mount, c"kvm", FileType::CharacterDevice, mode, self.device)?;
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.uid));
        chownat(&mount, c"kvm", Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        attach(&mount, openat(root, c"dev", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?)
    }
}

/// Makes the directory or file that a tree is attached to.
fn mount_place(root: &OwnedFd, tree: &Tree) -> Result<OwnedFd, Errno> {
    if tree.is_file {
        mknodat(root, &tree.place, FileType::RegularFile, Mode::RUSR, 0)?;
    } else {
        mkdirat(root, &tree.place, Mode::from_raw_mode(0o755))?;
    }
    openat(root, &tree.place, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
}

/// A path of the host as one relative to the root.
fn inside(path: &Path) -> CString {
    c_string(path.strip_prefix("/").unwrap_or(path).as_os_str().as_bytes())
}

fn c_string(bytes: &[u8]) -> CString {
    CString::new(bytes).expect("a path of the host has no zero byte")
}
