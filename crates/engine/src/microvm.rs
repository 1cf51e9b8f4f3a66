//! The microvm engine: a virtual machine with a kernel of its own, which no start ever boots.
//!
//! ```text
//! prepare  lock disk; cgroup with limits
//!          clone3 into v2 cgroup, from an empty mount namespace
//!            child: v1 cgroups → network → root of libraries alone → unprivileged user → exec QEMU
//!          QEMU takes up the template: RAM shared with all others until written to, devices' state
//! go       the guest goes on where the template stopped; it is told the size of its disk, and furnished:
//!          clock, randomness, name, file systems. Then its init waits for the orders, as any init does.
//! teardown SIGKILL to QEMU → disk's lock → cgroup away
//! ```
//!
//! If the shim is killed, its death signal kills QEMU, and with it the machine goes: what it had not
//! written to its disk is lost, as when the power fails. Only the empty cgroup directories stay.

mod child;
mod furnish;
mod monitor;
mod root;
mod template;

pub use template::build_template;

use crate::ahead::Ahead;
use crate::cgroup::Cgroup;
use crate::container::layers::open_namespace;
use crate::engine::{Capabilities, Engine, Running};
use crate::error::EngineError;
use crate::wait;
use crate::watch::Watch;
use ::disk::{AttachKind, DiskError, DiskLock};
use guest_proto::Furnishing;
use monitor::{Monitor, MonitorOrder};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use shim_proto::RunSpec;
use shim_proto::message::{Timing, Usage};
use shim_proto::shape::{Accel, Shape};
use shim_proto::spec::{EngineSpec, Limits, MicrovmSpec};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;
use vmm::command_line::{OWN_BYTES_MAX, Purpose, TRANSLATED_CODE_MIB, disk_node};

/// Longest wait for a monitor to let go of the disk. It has been killed by then.
const PATIENCE: Duration = Duration::from_secs(10);

/// Threads of a monitor beside the guest's processors: its loop, and those that read and write files for
/// the guest, of which it makes 64 at most. Source: QEMU's `thread-pool-max`.
const THREADS_MAX: u32 = 96;

/// Bytes of a block in the count of a file's blocks. Source: stat(2).
const STAT_BLOCK_BYTES: u64 = 512;

/// One run of one machine in a virtual machine.
#[derive(Debug)]
pub struct Microvm {
    ahead: Ahead,
    disk: Option<DiskLock>,
    cgroup: Option<Cgroup>,
    monitor: Option<Monitor>,
    furnishing: Option<Furnishing>,
    ram_limit_bytes: u64,
}

impl Microvm {
    /// An engine without a run.
    #[must_use]
    pub fn new(ahead: Ahead) -> Self {
        Self {
            ahead,
            disk: None,
            cgroup: None,
            monitor: None,
            furnishing: None,
            ram_limit_bytes: 0,
        }
    }

    /// Starts QEMU with the machine's files.
    fn start_monitor(
        &mut self,
        microvm: &MicrovmSpec,
        disk: BorrowedFd<'_>,
    ) -> Result<Vec<Timing>, EngineError> {
        let made = self.ahead.ensure()?;
        let cgroup = self.cgroup.as_ref().ok_or(EngineError::Order { verb: "prepare" })?;
        let netns = open_namespace(&microvm.netns_path)?;
        let disk = disk.try_clone_to_owned();
        let mut files = vec![
            open_to(&microvm.template.ram_path, OFlags::RDONLY)?,
            open_to(&microvm.image_path, OFlags::RDONLY)?,
            disk.map_err(EngineError::namespace("duplicate the disk's descriptor"))?,
        ];
        if let Some(link) = &microvm.link {
            files.push(
                net::tap::open_queue(&link.router_path, &link.tap).map_err(EngineError::Link)?,
            );
        }
        let order = MonitorOrder {
            program: &microvm.qemu_path,
            shape: &microvm.template.shape,
            purpose: Purpose::TakeUp { has_link: microvm.link.is_some() },
            netns: &netns,
            uid: microvm.uid,
            files,
        };
        let (monitor, timings) = Monitor::start(&made.bare, cgroup, order)?;
        self.monitor = Some(monitor);
        Ok(timings)
    }

    fn cgroup(&self) -> Result<&Cgroup, EngineError> {
        self.cgroup.as_ref().ok_or(EngineError::Order { verb: "cgroup" })
    }

    fn monitor(&mut self, verb: &'static str) -> Result<&mut Monitor, EngineError> {
        self.monitor.as_mut().ok_or(EngineError::Order { verb })
    }
}

impl Engine for Microvm {
    fn capabilities(&self) -> Capabilities {
        let hierarchies = crate::cgroup::Hierarchies::detect().ok();
        let enforces_limits =
            hierarchies.as_ref().is_some_and(|found| crate::cgroup::abilities(found).0);
        Capabilities {
            can_freeze: true,
            can_suspend: false,
            enforces_limits,
            confines_devices: true,
            has_own_kernel: true,
            has_disk: true,
        }
    }

    fn prepare(&mut self, spec: &RunSpec) -> Result<Vec<Timing>, EngineError> {
        let EngineSpec::Microvm(microvm) = &spec.engine else {
            return Err(EngineError::Order { verb: "prepare" });
        };
        let mut watch = Watch::start();
        let lock = take_disk(microvm).map_err(EngineError::Disk)?;
        let disk_bytes = size_of(&lock)?;
        watch.lap("disk_lock");
        let made = self.ahead.ensure()?;
        self.cgroup = Some(Cgroup::make(
            &made.hierarchies,
            made.devices.as_ref(),
            &microvm.cgroup,
            &host_limits(&spec.limits, &microvm.template),
            None,
        )?);
        self.ram_limit_bytes = spec.limits.ram_bytes;
        watch.lap("cgroup");
        let of_monitor = self.start_monitor(microvm, lock.file());
        self.disk = Some(lock);
        let mut timings = of_monitor?;
        watch.lap("vmm");
        let state = open_to(&microvm.template.state_path, OFlags::RDONLY)?;
        self.monitor("prepare")?.take_up(state.as_fd())?;
        watch.lap("load");
        self.furnishing = Some(Furnishing {
            hostname: host_name(spec),
            disk_bytes,
            entropy_base64: furnish::entropy()?,
            has_fresh_run: spec.orders.pid1,
            link: microvm.link.as_ref().map(|link| link.orders.clone()),
        });
        timings.splice(0..0, watch.into_timings());
        Ok(timings)
    }

    fn go(&mut self) -> Result<Running, EngineError> {
        let mut watch = Watch::start();
        let furnishing = self.furnishing.take().ok_or(EngineError::Order { verb: "go" })?;
        let monitor = self.monitor("go")?;
        monitor.cont()?;
        // Only a guest that runs hears of it.
        monitor.resize(&disk_node(), furnishing.disk_bytes)?;
        watch.lap("cont");
        let channel = monitor
            .channel
            .try_clone()
            .map_err(EngineError::namespace("duplicate the guest's channel"))?;
        let inside = furnish::furnish(channel, furnishing)?;
        watch.lap("furnish");
        let mut timings = watch.into_timings();
        timings.extend(inside);
        let duplicate = EngineError::namespace("duplicate a descriptor");
        let pidfd = monitor.pidfd.try_clone().map_err(duplicate)?;
        let duplicate = EngineError::namespace("duplicate the guest's channel");
        let channel = monitor.channel.try_clone().map_err(duplicate)?;
        Ok(Running { init_pid: monitor.pid, pidfd, channel, timings })
    }

    fn freeze(&mut self) -> Result<(), EngineError> {
        self.monitor("freeze")?.stop()
    }

    fn thaw(&mut self) -> Result<(), EngineError> {
        self.monitor("thaw")?.cont()
    }

    fn kill(&mut self) -> Result<(), EngineError> {
        self.monitor.as_ref().map_or(Ok(()), |monitor| wait::end(&monitor.pidfd))
    }

    fn usage(&mut self) -> Result<Usage, EngineError> {
        let cgroup = self.cgroup()?;
        Ok(Usage {
            cpu_us: cgroup.cpu_us()?,
            ram_bytes: cgroup.ram_bytes()?,
            ram_limit_bytes: self.ram_limit_bytes,
            pids: cgroup.pids()?,
            rx_bytes: 0,
            tx_bytes: 0,
            disk_bytes: self.disk.as_ref().map_or(Ok(0), used_bytes)?,
        })
    }

    fn oom_kills(&mut self) -> Result<u64, EngineError> {
        self.cgroup()?.oom_kills()
    }

    fn attention(&self) -> Option<BorrowedFd<'_>> {
        self.monitor.as_ref().and_then(Monitor::attention)
    }

    fn attend(&mut self) {
        if let Some(monitor) = &mut self.monitor {
            monitor.hear_events();
        }
    }

    fn teardown(&mut self) -> Result<(), EngineError> {
        let mut parts = Vec::new();
        let mut note = |result: Result<(), EngineError>| {
            parts.extend(result.err().map(|error| error.sentence()));
        };
        note(self.kill());
        self.monitor = None;
        self.furnishing = None;
        self.disk = None;
        note(self.cgroup.take().map_or(Ok(()), |mut cgroup| cgroup.remove()));
        if parts.is_empty() { Ok(()) } else { Err(EngineError::Teardown { parts }) }
    }
}

/// Takes the disk for this run alone. What is on it is the guest's: the host looks at none of it.
fn take_disk(microvm: &MicrovmSpec) -> Result<DiskLock, DiskError> {
    let lock = DiskLock::acquire(&microvm.disk_path, AttachKind::RawBlock, PATIENCE)?;
    if microvm.reset_disk { lock.reset() } else { Ok(lock) }
}

fn size_of(disk: &DiskLock) -> Result<u64, EngineError> {
    let stat = rustix::fs::fstat(disk.file());
    let stat = stat.map_err(|errno| content("look at the size")(errno))?;
    Ok(u64::try_from(stat.st_size).unwrap_or(0))
}

fn used_bytes(disk: &DiskLock) -> Result<u64, EngineError> {
    let metadata = std::fs::metadata(disk.path());
    Ok(metadata.map_err(content("measure"))?.blocks() * STAT_BLOCK_BYTES)
}

fn content<E: Into<std::io::Error>>(action: &'static str) -> impl FnOnce(E) -> EngineError {
    move |source| EngineError::DiskContent { action, source: source.into() }
}

/// What the monitor may use so that the guest has what it was promised.
fn host_limits(limits: &Limits, template: &shim_proto::spec::TemplateSpec) -> Limits {
    Limits {
        // Pages of the template that are read count for whoever came first.
        ram_bytes: vm_bytes_max(&template.shape) + template.resident_bytes,
        pids: template.shape.n_cpus + THREADS_MAX,
        ..*limits
    }
}

/// RAM in bytes that a virtual machine of this shape takes at most.
fn vm_bytes_max(shape: &Shape) -> u64 {
    let translated = match shape.accel {
        Accel::Kvm => 0,
        Accel::Tcg => u64::from(TRANSLATED_CODE_MIB) << 20,
    };
    shape.ram_bytes() + OWN_BYTES_MAX + translated
}

fn host_name(spec: &RunSpec) -> String {
    let name = if spec.orders.hostname.is_empty() { &spec.machine } else { &spec.orders.hostname };
    name.clone()
}

fn open_to(path: &Path, flags: OFlags) -> Result<OwnedFd, EngineError> {
    let opened: Result<OwnedFd, Errno> = open(path, flags | OFlags::CLOEXEC, Mode::empty());
    opened.map_err(EngineError::namespace(format!("open `{}`", path.display())))
}
