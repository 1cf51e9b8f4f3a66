//! All a shim needs to bring one run up, and nothing it could look up elsewhere.

use crate::shape::Shape;
use guest_proto::{LinkOrders, Orders};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// One run of one machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunSpec {
    /// Run id (ULID): names every resource of the run.
    pub run: String,
    /// Machine id, 14 hex digits.
    pub machine: String,
    /// Instance tag, 5 hex digits.
    pub instance: String,
    /// Engine.
    pub engine: EngineSpec,
    /// Where the shim listens for a later daemon.
    pub socket_path: PathBuf,
    /// Where the exit record goes.
    pub exit_path: PathBuf,
    /// Where the program's output goes.
    pub log: LogSpec,
    /// Limits.
    pub limits: Limits,
    /// What to run.
    pub orders: Orders,
    /// Signal for a stop that names none.
    pub stop_signal: i32,
}

/// The engine and what it needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "engine", rename_all = "snake_case")]
pub enum EngineSpec {
    /// Namespaces of the host's kernel.
    Container(ContainerSpec),
    /// A virtual machine with a kernel of its own.
    Microvm(Box<MicrovmSpec>),
    /// The fake, with its knobs.
    Fake(FakeSpec),
}

/// What the container engine needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// The machine's disk (ext4 in a file); lock and record lie beside it.
    pub disk_path: PathBuf,
    /// Where the image's EROFS is mounted in the instance's mount namespace.
    pub image_path: PathBuf,
    /// Static guest init binary. A directory `bin` beside it has the tools for programs.
    pub init_path: PathBuf,
    /// Pinned network namespace of the slot.
    pub netns_path: PathBuf,
    /// Pinned user namespace of the slot; `None` runs without one.
    pub userns_path: Option<PathBuf>,
    /// Upper end of the slot's uid and gid range: first id on the host.
    pub id_base: u32,
    /// Directory under each cgroup hierarchy, e.g. `dormouse-1a2b3/9080e966ae7187`.
    pub cgroup: String,
    /// Whether the disk starts empty at each start (`rootfs.persist: never`).
    pub reset_disk: bool,
}

/// What the microvm engine needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MicrovmSpec {
    /// The monitor. One that was warmed with the same is used ([`WarmSpec`]).
    pub monitor: MonitorSpec,
    /// The machine's disk (ext4 in a file); lock and record lie beside it.
    pub disk_path: PathBuf,
    /// The image's EROFS file.
    pub image_path: PathBuf,
    /// What the guest sets on its end of the link; without it, it has loopback alone.
    pub link: Option<LinkOrders>,
    /// Whether the disk starts empty at each start (`rootfs.persist: never`).
    pub reset_disk: bool,
    /// Its RAM on disk.
    pub ram: RamSpec,
}

/// Where the RAM of a virtual machine is while it sleeps on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RamSpec {
    /// The directory.
    pub dir: PathBuf,
    /// Version of the machine, and whatever else must be the same when it comes back.
    pub config: String,
    /// The run comes back from there.
    pub is_resume: bool,
}

/// What a shim wants to know of the one before it, when a run comes back from disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carried {
    /// Last epoch of the guest's channel.
    pub epoch: u32,
    /// The first part of a frame of the guest whose rest was not there yet, as base64.
    pub unread_base64: String,
    /// Unix milliseconds at which the program was started.
    pub started_at: u64,
    /// CPU time used so far, in microseconds.
    pub cpu_us: u64,
}

/// A virtual machine monitor, as far as nothing of a machine is in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MonitorSpec {
    /// QEMU's program.
    pub qemu_path: PathBuf,
    /// What the machine is a copy of.
    pub template: TemplateSpec,
    /// Network namespace without a link, for the monitor.
    pub netns_path: PathBuf,
    /// The host's end of the machine's link.
    pub tap: Option<TapSpec>,
    /// Uid and gid of the monitor on the host, nobody else's.
    pub uid: u32,
    /// Directory under each cgroup hierarchy, e.g. `dormouse-1a2b3/vm-17`.
    pub cgroup: String,
}

/// A tap: the host's end of the link of a virtual machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TapSpec {
    /// Pinned network namespace of the router, where it is.
    pub router_path: PathBuf,
    /// Its name.
    pub name: String,
}

/// A virtual machine that waits for a run, warmed by a rehearsal: what its kernel does a second time takes
/// a fraction of the first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WarmSpec {
    /// The monitor.
    pub monitor: MonitorSpec,
    /// What it may use until there is a run.
    pub limits: Limits,
    /// What is rehearsed.
    pub rehearsal: RehearsalSpec,
}

/// A machine that nobody owns, to be run once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RehearsalSpec {
    /// Its image, with the guest init as its program.
    pub image_path: PathBuf,
    /// A disk like that of a new machine. Only copies of it are used.
    pub disk_path: PathBuf,
}

/// A booted guest that waits for its orders.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateSpec {
    /// Its shape.
    pub shape: Shape,
    /// Where its RAM can be opened: a sealed file in RAM, held by whoever gives this.
    pub ram_path: PathBuf,
    /// The same for the state of its devices.
    pub state_path: PathBuf,
    /// RAM in bytes that it takes on the host.
    pub resident_bytes: u64,
    /// Size in bytes that its kernel takes a disk for, until it is told.
    pub disk_bytes: u64,
    /// What it is called.
    pub id: String,
    /// Digest of its RAM: one that is made again has the same name and other content.
    pub ram_sha256: String,
}

/// Knobs of the fake engine. All zero is a machine that starts at once and runs until stopped.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FakeSpec {
    /// Delay of the start in milliseconds.
    pub start_ms: u32,
    /// The start fails.
    pub start_fails: bool,
    /// The program ends by itself after this many milliseconds.
    pub exit_after_ms: Option<u32>,
    /// Exit code when it ends by itself.
    pub exit_code: i32,
    /// The program ignores the stop signal.
    pub ignores_stop: bool,
    /// Freeze fails.
    pub freeze_fails: bool,
    /// Delay of a freeze in milliseconds.
    #[serde(default)]
    pub freeze_ms: u32,
}

/// Limits of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// RAM in bytes, swap included.
    pub ram_bytes: u64,
    /// CPU ceiling in thousandths of a CPU.
    pub cpu_milli: u32,
    /// Weight among machines when CPUs are short, 1 to 10,000 (100 is the default of cgroup v2).
    pub cpu_weight: u32,
    /// Processes and threads.
    pub pids: u32,
}

/// Where the program's output goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogSpec {
    /// Current file; rotated ones get `.1`, `.2`, … appended.
    pub path: PathBuf,
    /// A file of this size is rotated.
    pub max_bytes: u64,
    /// Files kept, the current one included.
    pub max_files: u32,
}
