//! A world for one test: image, disk, slot, cgroup name, and specs that use them.

use crate::client::Client;
use guest_proto::Orders;
use shim_proto::RunSpec;
use shim_proto::spec::{
    ContainerSpec, EngineSpec, Limits, LogSpec, MicrovmSpec, MonitorSpec, RamSpec, TemplateSpec,
};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use testkit::place::{self, Slot};

/// Longest wait for anything in these tests: an emulated guest on a busy host takes its time.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// First host id of the guests here: far from those of real machines.
const ID_BASE: u32 = 3_000_000_000;

/// The one machine of each world.
const MACHINE: &str = "9080e966ae7187";

static N_WORLDS: AtomicU32 = AtomicU32::new(0);

pub(crate) struct World {
    dir: tempfile::TempDir,
    /// Where the image is mounted.
    image: PathBuf,
    slot: Slot,
    name: String,
    n_runs: AtomicU32,
}

/// What the image of a world holds beside busybox.
pub(crate) type Dress = fn(&Path);

impl World {
    pub(crate) fn new() -> Self {
        Self::dressed(|_| {})
    }

    pub(crate) fn dressed(dress: Dress) -> Self {
        Self::made(dress, 1)
    }

    /// One whose machine has a disk of so many GiB.
    pub(crate) fn with_disk(gib: u32) -> Self {
        Self::made(|_| {}, gib)
    }

    fn made(dress: Dress, disk_gib: u32) -> Self {
        place::leave_mounts();
        let dir = tempfile::Builder::new().prefix("dm-shim-").tempdir().expect("a directory");
        let n = N_WORLDS.fetch_add(1, Ordering::Relaxed);
        let name = format!("dormouse-test-{}-{n}", std::process::id());
        let image = place::mount_image(dir.path(), |tree| {
            let users = "root:x:0:0::/root:/bin/sh\nme:x:1000:1000::/:/bin/sh\n";
            fs::write(tree.join("etc/passwd"), users).expect("written");
            fs::write(tree.join("etc/group"), "root:x:0:\nme:x:1000:\n").expect("written");
            dress(tree);
        });
        let slot = Slot::new(ID_BASE);
        let world = Self { dir, image, slot, name, n_runs: AtomicU32::new(0) };
        world.make_disk(disk_gib);
        world
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn make_disk(&self, gib: u32) {
        let store = disk::DiskStore::open(self.dir.path()).expect("a store");
        let machine = MACHINE.parse().expect("a machine id");
        let digest = format!("sha256:{}", "0".repeat(64)).parse().expect("a digest");
        store.create(&machine, gib, &digest).expect("a disk");
    }

    pub(crate) fn disk_path(&self) -> PathBuf {
        self.path("machines").join(MACHINE).join("disk.ext4")
    }

    /// A run of `sh -c script`.
    pub(crate) fn sh(&self, script: &str) -> RunSpec {
        self.run(&["/bin/sh", "-c", script])
    }

    /// A run of a program.
    pub(crate) fn run(&self, argv: &[&str]) -> RunSpec {
        let n = self.n_runs.fetch_add(1, Ordering::Relaxed);
        RunSpec {
            run: format!("run-{n}"),
            machine: MACHINE.to_owned(),
            instance: "1a2b3".to_owned(),
            engine: EngineSpec::Container(ContainerSpec {
                disk_path: self.disk_path(),
                image_path: self.image.clone(),
                init_path: init_path(),
                netns_path: self.slot.network(),
                userns_path: Some(self.slot.users()),
                id_base: ID_BASE,
                cgroup: self.cgroup(),
                reset_disk: false,
            }),
            socket_path: self.path("shim.sock"),
            exit_path: self.path(&format!("run-{n}.exit")),
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

    /// The same run in a virtual machine.
    pub(crate) fn in_vm(&self, spec: RunSpec, template: &TemplateSpec) -> RunSpec {
        let microvm = MicrovmSpec {
            monitor: self.monitor(template),
            disk_path: self.disk_path(),
            image_path: self.path("image.erofs"),
            link: None,
            reset_disk: false,
            ram: RamSpec { dir: self.path("ram"), config: "first".to_owned(), is_resume: false },
        };
        RunSpec { engine: EngineSpec::Microvm(Box::new(microvm)), ..spec }
    }

    /// The monitor of a virtual machine without a link.
    pub(crate) fn monitor(&self, template: &TemplateSpec) -> MonitorSpec {
        MonitorSpec {
            qemu_path: crate::template::qemu_path(),
            template: template.clone(),
            netns_path: self.slot.network(),
            tap: None,
            uid: ID_BASE,
            cgroup: self.cgroup(),
        }
    }

    pub(crate) fn cgroup(&self) -> String {
        format!("{}/{MACHINE}", self.name)
    }

    /// Directories of the machine's cgroup that exist.
    pub(crate) fn cgroup_dirs(&self) -> Vec<PathBuf> {
        place::cgroup_trees()
            .into_iter()
            .map(|dir| dir.join(self.cgroup()))
            .filter(|d| d.exists())
            .collect()
    }

    /// The log without its times.
    pub(crate) fn log(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("log")).unwrap_or_default();
        text.lines().map(|line| line.split_once(' ').expect("a time").1.to_owned()).collect()
    }

    /// Waits until the log has this line.
    #[track_caller]
    pub(crate) fn wait_for_line(&self, line: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.log().iter().any(|have| have == line) {
            assert!(Instant::now() < deadline, "no line `{line}` in {:#?}", self.log());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Loop devices whose file is this world's disk.
    pub(crate) fn loop_devices(&self) -> Vec<PathBuf> {
        let disk = self.disk_path();
        let is_ours = |dev: &PathBuf| {
            let file = fs::read_to_string(dev.join("loop/backing_file")).unwrap_or_default();
            Path::new(file.trim()) == disk
        };
        let blocks = fs::read_dir("/sys/block").expect("sysfs").flatten().map(|e| e.path());
        blocks.filter(is_ours).collect()
    }

    /// Nothing of a run is left on the host.
    #[track_caller]
    pub(crate) fn assert_nothing_left(&self) {
        assert_eq!(self.cgroup_dirs(), Vec::<PathBuf>::new());
        assert_eq!(self.loop_devices(), Vec::<PathBuf>::new());
        assert!(!self.path("shim.sock").exists(), "the socket is left");
        let mounts = fs::read_to_string("/proc/thread-self/mountinfo").expect("mounts");
        assert!(!mounts.contains("overlay"), "an overlay is left:\n{mounts}");
    }

    /// Runs it to its end and returns the exit record.
    pub(crate) fn run_to_end(&self, spec: RunSpec) -> shim_proto::ExitRecord {
        let mut client = Client::start(spec);
        client.wait_exit()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        place::unmount_image(self.dir.path());
        for dir in place::cgroup_trees() {
            let ours = dir.join(&self.name);
            if ours.exists() {
                remove_cgroup(&ours);
            }
        }
    }
}

/// Removes a cgroup with those below it; after a failed test its processes may still be dying.
fn remove_cgroup(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            remove_cgroup(&entry.path());
        }
    }
    let deadline = Instant::now() + PATIENCE;
    while dir.exists() && fs::remove_dir(dir).is_err() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The guest init beside the shim.
pub(crate) fn init_path() -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_dormouse-shim")).with_file_name("dormouse-init");
    assert!(path.exists(), "build the guest init first: `cargo build --release -p init`");
    path
}

/// Waits until `is_so`.
#[track_caller]
pub(crate) fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "still no `{what}`");
        std::thread::sleep(Duration::from_millis(2));
    }
}
