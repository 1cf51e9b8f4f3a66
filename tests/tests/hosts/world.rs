//! A run of a machine below the daemon: image, disk, slot, cgroup, and specs that use them.
//!
//! It lies in a mount namespace of the test's thread, so that nothing outlives the test process.

use guest_proto::Orders;
use rustix::mount::{MountPropagationFlags, UnmountFlags, mount_change, unmount};
use rustix::thread::{UnshareFlags, unshare_unsafe};
use shim_proto::RunSpec;
use shim_proto::spec::{ContainerSpec, EngineSpec, Limits, LogSpec};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use testkit::{image, instance, wait};

/// First host id of the guests here: far from those of real machines, and below 2^31, which older
/// kernels take for the end of ids in options of devpts.
const ID_BASE: u32 = 1_500_000_000;

/// The one machine of each world.
const MACHINE: &str = "9080e966ae7187";

/// Whether a machine has a user namespace of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Users {
    /// Its root is nobody on the host.
    Own,
    /// Its root is the host's, as far as its capabilities reach.
    Host,
}

/// All that a run needs.
pub(crate) struct World {
    dir: tempfile::TempDir,
    slot: Slot,
    name: String,
}

impl World {
    #[allow(unsafe_code, reason = "leaves the host's mount namespace; descriptors are untouched")]
    pub(crate) fn new() -> Self {
        // SAFETY: CLONE_FILES is not among the flags.
        unsafe { unshare_unsafe(UnshareFlags::NEWNS) }.expect("root may unshare");
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
            .expect("private mounts");
        let dir = tempfile::Builder::new().prefix("dormouse-test-").tempdir().expect("a directory");
        // No two directories have the same name.
        let random = dir.path().file_name().and_then(|name| name.to_str()).expect("a plain name");
        let world = Self { name: random.to_owned(), dir, slot: Slot::new() };
        world.make_image();
        world.make_disk();
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Busybox as an EROFS image, mounted.
    fn make_image(&self) {
        let tree = self.path("tree");
        fs::create_dir_all(tree.join("bin")).expect("a directory");
        fs::copy(image::BUSYBOX, tree.join("bin/busybox")).expect("busybox-static is installed");
        for applet in ["dd", "grep", "mknod", "sh", "sleep"] {
            std::os::unix::fs::symlink("busybox", tree.join("bin").join(applet)).expect("a link");
        }
        let (file, mounted) = (self.path("image.erofs"), self.path("image"));
        fs::create_dir(&mounted).expect("a directory");
        run(Command::new("mkfs.erofs").arg("--quiet").args([&file, &tree]));
        // By a loop device, which older kernels need.
        run(Command::new("mount").args(["-t", "erofs", "-o", "loop,ro"]).args([&file, &mounted]));
    }

    fn make_disk(&self) {
        let store = disk::DiskStore::open(self.dir.path()).expect("a store");
        let machine = MACHINE.parse().expect("a machine id");
        let digest = format!("sha256:{}", "0".repeat(64)).parse().expect("a digest");
        store.create(&machine, 1, &digest).expect("a disk");
    }

    /// A run of a program.
    pub(crate) fn spec(&self, users: Users, argv: &[&str]) -> RunSpec {
        RunSpec {
            run: "run".to_owned(),
            machine: MACHINE.to_owned(),
            instance: "1a2b3".to_owned(),
            engine: EngineSpec::Container(ContainerSpec {
                disk_path: self.path("machines").join(MACHINE).join("disk.ext4"),
                image_path: self.path("image"),
                init_path: instance::binary("dormouse-init"),
                netns_path: self.slot.path("ns/net"),
                userns_path: (users == Users::Own).then(|| self.slot.path("ns/user")),
                id_base: ID_BASE,
                cgroup: format!("{}/{MACHINE}", self.name),
                reset_disk: false,
            }),
            socket_path: self.path("shim.sock"),
            exit_path: self.path("exit"),
            log: LogSpec { path: self.path("log"), max_bytes: 1 << 20, max_files: 3 },
            limits: Limits { ram_bytes: 64 << 20, cpu_milli: 2000, cpu_weight: 100, pids: 64 },
            orders: Orders {
                argv: argv.iter().map(|word| (*word).to_owned()).collect(),
                env: BTreeMap::from([("PATH".to_owned(), "/bin".to_owned())]),
                ..Orders::default()
            },
            stop_signal: 15,
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // Else the directory could not be removed.
        unmount(self.path("image"), UnmountFlags::DETACH).ok();
        for tree in cgroup_trees() {
            // The machine's own directories are the engine's to remove; this one is empty then.
            fs::remove_dir(tree.join(&self.name)).ok();
        }
    }
}

fn cgroup_trees() -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mounts");
    let is_cgroup = |line: &&str| line.contains(" - cgroup ") || line.contains(" - cgroup2 ");
    let point = |line: &str| PathBuf::from(line.split(' ').nth(4).expect("a mount point"));
    mounts.lines().filter(is_cgroup).map(point).collect()
}

#[track_caller]
fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}

/// A process that holds a network and a user namespace.
struct Slot {
    holder: Child,
}

impl Slot {
    fn new() -> Self {
        let holder = Command::new("unshare")
            .args(["--user", "--net", "setpriv", "--pdeathsig", "KILL", "sleep", "1000"])
            .stdin(Stdio::null())
            .spawn()
            .expect("`unshare` runs");
        let slot = Self { holder };
        let own = fs::read_link("/proc/self/ns/net").expect("a link");
        wait::eventually("the slot has its namespaces", || {
            fs::read_link(slot.path("ns/net")).is_ok_and(|net| net != own).then_some(())
        });
        for map in ["uid_map", "gid_map"] {
            fs::write(slot.path(map), format!("0 {ID_BASE} 65536")).expect("root may map");
        }
        slot
    }

    fn path(&self, name: &str) -> PathBuf {
        Path::new("/proc").join(self.holder.id().to_string()).join(name)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.holder.kill().ok();
        self.holder.wait().ok();
    }
}
