//! Parts of a host of a test's own: namespaces that end with the test, and an image mounted in them.
//!
//! A test's thread leaves the host's mount or network namespace; what it starts from then on leaves
//! with it. Nothing of that outlives the test process, whatever happens.

use crate::{image, wait};
use rustix::mount::{MountPropagationFlags, UnmountFlags, mount_change, unmount};
use rustix::thread::{UnshareFlags, unshare_unsafe};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Ids of a slot's user namespace.
const N_IDS: u32 = 65_536;

/// Gives this thread a mount namespace of its own; its mounts end with the thread.
///
/// # Panics
/// Only root may.
pub fn leave_mounts() {
    leave(UnshareFlags::NEWNS);
    let recursively = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", recursively).expect("private mounts");
}

/// Gives this thread a network namespace of its own, where only loopback is up.
///
/// # Panics
/// Only root may, and `iproute2` must be installed.
pub fn leave_network() {
    leave(UnshareFlags::NEWNET);
    run(Command::new("ip").args(["link", "set", "lo", "up"]));
}

#[allow(unsafe_code, reason = "leaves namespaces of the host; descriptors are untouched")]
fn leave(namespaces: UnshareFlags) {
    assert!(!namespaces.contains(UnshareFlags::FILES), "descriptors stay shared");
    // SAFETY: CLONE_FILES is not among the flags.
    unsafe { unshare_unsafe(namespaces) }.expect("root may unshare");
}

/// Makes an EROFS image of busybox in `dir` and mounts it there; returns where. `dress` adds to the
/// tree before it is packed. See [`unmount_image`].
///
/// # Panics
/// Busybox or `mkfs.erofs` is not installed.
#[must_use]
#[track_caller]
pub fn mount_image(dir: &Path, dress: impl FnOnce(&Path)) -> PathBuf {
    let (file, mounted) = (make_image(dir, dress), dir.join("image"));
    fs::create_dir_all(&mounted).expect("a directory");
    // By a loop device, which kernels before 6.12 need; it goes with the mount.
    run(Command::new("mount").args(["-t", "erofs", "-o", "loop,ro"]).args([&file, &mounted]));
    mounted
}

/// As [`mount_image`], but only makes the file; returns its path.
///
/// # Panics
/// Busybox or `mkfs.erofs` is not installed.
#[must_use]
#[track_caller]
pub fn make_image(dir: &Path, dress: impl FnOnce(&Path)) -> PathBuf {
    let (tree, file) = (dir.join("tree"), dir.join("image.erofs"));
    for name in ["bin", "etc", "tmp", "root"] {
        fs::create_dir_all(tree.join(name)).expect("a directory");
    }
    fs::copy(image::BUSYBOX, tree.join("bin/busybox")).expect("busybox-static is installed");
    for applet in ["sh", "cat", "sleep", "echo", "ls", "mount", "mknod", "id", "dd", "grep"] {
        std::os::unix::fs::symlink("busybox", tree.join("bin").join(applet)).expect("a link");
    }
    dress(&tree);
    run(Command::new("mkfs.erofs").arg("--quiet").args([&file, &tree]));
    file
}

/// Takes the image of [`mount_image`] away: else its directory could not be removed. Does nothing
/// when it is gone already.
pub fn unmount_image(dir: &Path) {
    unmount(dir.join("image"), UnmountFlags::DETACH).ok();
}

/// The mount points of all cgroup hierarchies.
///
/// # Panics
/// There is no `/proc`.
#[must_use]
pub fn cgroup_trees() -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mounts");
    let is_cgroup = |line: &&str| line.contains(" - cgroup ") || line.contains(" - cgroup2 ");
    let point = |line: &str| PathBuf::from(line.split(' ').nth(4).expect("a mount point"));
    mounts.lines().filter(is_cgroup).map(point).collect()
}

/// A process that holds a network and a user namespace, which end with it.
#[derive(Debug)]
pub struct Slot {
    holder: Child,
}

impl Slot {
    /// One whose ids begin at `id_base` on the host.
    ///
    /// # Panics
    /// Only root may map ids.
    #[must_use]
    #[track_caller]
    pub fn new(id_base: u32) -> Self {
        let holder = Command::new("unshare")
            .args(["--user", "--net", "setpriv", "--pdeathsig", "KILL", "sleep", "1000"])
            .stdin(Stdio::null())
            .spawn()
            .expect("`unshare` runs");
        let slot = Self { holder };
        let own = fs::read_link("/proc/self/ns/net").expect("a link");
        wait::eventually("the slot has its namespaces", || {
            fs::read_link(slot.network()).is_ok_and(|net| net != own).then_some(())
        });
        for map in ["uid_map", "gid_map"] {
            let map = slot.path(map);
            fs::write(map, format!("0 {id_base} {N_IDS}")).expect("root may map");
        }
        slot
    }

    /// Its network namespace.
    #[must_use]
    pub fn network(&self) -> PathBuf {
        self.path("ns/net")
    }

    /// Its user namespace.
    #[must_use]
    pub fn users(&self) -> PathBuf {
        self.path("ns/user")
    }

    fn path(&self, name: &str) -> PathBuf {
        Path::new("/proc").join(self.holder.id().to_string()).join(name)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing left to kill.
        self.holder.kill().ok();
        self.holder.wait().ok();
    }
}

/// Runs a program that must succeed; what it printed.
///
/// # Panics
/// It fails, or is not there.
#[track_caller]
pub fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
