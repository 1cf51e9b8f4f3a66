//! A run of a machine below the daemon: image, disk, slot, cgroup, and specs that use them.
//!
//! It lies in a mount namespace of the test's thread, so that nothing outlives the test process.

use guest_proto::Orders;
use shim_proto::RunSpec;
use shim_proto::spec::{ContainerSpec, EngineSpec, Limits, LogSpec};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use testkit::instance;
use testkit::place::{self, Slot};

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
    /// Where the image is mounted.
    image: PathBuf,
    slot: Slot,
    name: String,
}

impl World {
    pub(crate) fn new() -> Self {
        place::leave_mounts();
        let dir = tempfile::Builder::new().prefix("dormouse-test-").tempdir().expect("a directory");
        // No two directories have the same name.
        let random = dir.path().file_name().and_then(|name| name.to_str()).expect("a plain name");
        let image = place::mount_image(dir.path(), |_| {});
        let world = Self { name: random.to_owned(), dir, image, slot: Slot::new(ID_BASE) };
        world.make_disk();
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
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
                image_path: self.image.clone(),
                init_path: instance::binary("dormouse-init"),
                netns_path: self.slot.network(),
                userns_path: (users == Users::Own).then(|| self.slot.users()),
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
        place::unmount_image(self.dir.path());
        for tree in place::cgroup_trees() {
            // The machine's own directories are the engine's to remove; this one is empty then.
            fs::remove_dir(tree.join(&self.name)).ok();
        }
    }
}
