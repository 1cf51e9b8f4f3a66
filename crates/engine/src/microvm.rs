//! The microvm engine: a virtual machine with a kernel of its own, which no start ever boots.
//!
//! ```text
//! warm     all of prepare and go, with a machine that nobody owns and up to its end; then stopped
//! prepare  lock disk; in a machine that was warmed: limits, and its files for those of the rehearsal;
//!          else cgroup with limits
//!          clone3 into v2 cgroup, from an empty mount namespace
//!            child: v1 cgroups → network → root of libraries alone → unprivileged user → exec QEMU
//!          QEMU takes up the template: RAM shared with all others until written to, devices' state
//! go       the guest goes on where the template stopped; it is told the size of its disk, and furnished:
//!          clock, randomness, name, file systems. Then its init waits for the orders, as any init does.
//! suspend  and back: [`sleep`]
//! teardown SIGKILL to QEMU → disk's lock → cgroup away
//! ```
//!
//! If the shim is killed, its death signal kills QEMU, and with it the machine goes: what it had not
//! written to its disk is lost, as when the power fails. Only the empty cgroup directories stay.

mod child;
mod furnish;
mod monitor;
mod ram;
mod rehearsal;
mod root;
mod sleep;
mod state_file;
mod template;

pub use furnish::unix_ns;
pub use template::build_template;

use crate::ahead::Ahead;
use crate::cgroup::Cgroup;
use crate::container::layers::open_namespace;
use crate::engine::{Capabilities, Engine, Resumed, Running};
use crate::error::EngineError;
use crate::wait;
use crate::watch::Watch;
use ::disk::{AttachKind, DiskError, DiskLock};
use guest_proto::Furnishing;
use monitor::{Monitor, MonitorOrder};
use rehearsal::Stage;
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use shim_proto::RunSpec;
use shim_proto::exit_file::Fault;
use shim_proto::message::{Timing, Usage};
use shim_proto::shape::{Accel, Shape};
use shim_proto::spec::{Carried, EngineSpec, Limits, MicrovmSpec, MonitorSpec, WarmSpec};
use sleep::Bed;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;
use vmm::command_line::{Drive, OWN_BYTES_MAX, Purpose, TRANSLATED_CODE_MIB};

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
    /// The monitor waits for a run, after a rehearsal: it was made as this says.
    warm: Option<MonitorSpec>,
    furnishing: Option<Furnishing>,
    bed: Option<Bed>,
    /// It goes on where it was put on disk, with this beside it.
    risen: Option<Carried>,
    /// Its RAM is no copy of a template.
    has_own_ram: bool,
    /// The monitor still holds the files of the rehearsal.
    has_first_files: bool,
    /// Size that its kernel takes its disk for.
    known_disk_bytes: u64,
    ram_limit_bytes: u64,
    /// CPU time that was used for nobody, in microseconds.
    rehearsed_us: u64,
    /// CPU time that it used before it was put on disk.
    earlier_us: u64,
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
            warm: None,
            furnishing: None,
            bed: None,
            risen: None,
            has_own_ram: false,
            has_first_files: false,
            known_disk_bytes: 0,
            ram_limit_bytes: 0,
            rehearsed_us: 0,
            earlier_us: 0,
        }
    }

    /// Starts a virtual machine that waits for [`Engine::prepare`], and rehearses a start in it.
    ///
    /// # Errors
    /// As those of a start; [`Engine::teardown`] has to follow.
    pub fn warm(&mut self, spec: &WarmSpec) -> Result<Vec<Timing>, EngineError> {
        let mut watch = Watch::start();
        let stage = Stage::set(&spec.rehearsal)?;
        self.make_cgroup(&spec.monitor, &spec.limits)?;
        watch.lap("cgroup");
        self.start_monitor(&spec.monitor, None, [stage.image.as_fd(), stage.disk.as_fd()])?;
        watch.lap("vmm");
        self.take_up(&spec.monitor)?;
        watch.lap("load");
        let monitor = self.monitor("warm")?;
        monitor.cont()?;
        stage.rehearse(monitor)?;
        monitor.stop()?;
        self.known_disk_bytes = stage.disk_bytes();
        watch.lap("rehearsal");
        self.rehearsed_us = self.cgroup()?.cpu_us()?;
        self.warm = Some(spec.monitor.clone());
        Ok(watch.into_timings())
    }

    /// Whether the virtual machine that waits could still be used.
    #[must_use]
    pub fn is_warm(&self) -> bool {
        self.warm.is_some() && self.monitor.as_ref().is_some_and(Monitor::is_there)
    }

    fn make_cgroup(&mut self, spec: &MonitorSpec, limits: &Limits) -> Result<(), EngineError> {
        let made = self.ahead.ensure()?;
        self.cgroup = Some(Cgroup::make(
            &made.hierarchies,
            made.devices_of(spec.template.shape.accel),
            &spec.cgroup,
            &host_limits(limits, &spec.template),
            None,
        )?);
        Ok(())
    }

    /// Starts QEMU with an image and a disk, and on the template's RAM if it gets none of its own.
    fn start_monitor(
        &mut self,
        spec: &MonitorSpec,
        own_ram: Option<OwnedFd>,
        drives: [BorrowedFd<'_>; 2],
    ) -> Result<Vec<Timing>, EngineError> {
        let made = self.ahead.ensure()?;
        let cgroup = self.cgroup.as_ref().ok_or(EngineError::Order { verb: "prepare" })?;
        let netns = open_namespace(&spec.netns_path)?;
        let owns_ram = own_ram.is_some();
        let ram = match own_ram {
            Some(ram) => ram,
            None => open_to(&spec.template.ram_path, OFlags::RDONLY)?,
        };
        let mut files = vec![ram];
        for drive in drives {
            let copy = drive.try_clone_to_owned();
            files.push(copy.map_err(EngineError::namespace("duplicate a disk's descriptor"))?);
        }
        if let Some(tap) = &spec.tap {
            let queue = net::tap::open_queue(&tap.router_path, &tap.name);
            files.push(queue.map_err(EngineError::Link)?);
        }
        let order = MonitorOrder {
            program: &spec.qemu_path,
            shape: &spec.template.shape,
            purpose: Purpose::TakeUp { has_link: spec.tap.is_some(), owns_ram },
            netns: &netns,
            uid: spec.uid,
            files,
        };
        let (monitor, timings) = Monitor::start(&made.bare, cgroup, order)?;
        self.monitor = Some(monitor);
        Ok(timings)
    }

    fn take_up(&mut self, spec: &MonitorSpec) -> Result<(), EngineError> {
        let state = open_to(&spec.template.state_path, OFlags::RDONLY)?;
        self.monitor("prepare")?.take_up(state.as_fd())
    }

    /// A monitor for a run, as none waits for it.
    fn prepare_cold(
        &mut self,
        spec: &RunSpec,
        microvm: &MicrovmSpec,
        drives: [BorrowedFd<'_>; 2],
    ) -> Result<Vec<Timing>, EngineError> {
        let mut watch = Watch::start();
        self.make_cgroup(&microvm.monitor, &spec.limits)?;
        watch.lap("cgroup");
        let of_monitor = self.start_monitor(&microvm.monitor, None, drives)?;
        watch.lap("vmm");
        self.take_up(&microvm.monitor)?;
        self.known_disk_bytes = microvm.monitor.template.disk_bytes;
        watch.lap("load");
        let mut timings = watch.into_timings();
        timings.extend(of_monitor);
        Ok(timings)
    }

    /// Gives the monitor that waits to a run.
    fn prepare_warm(
        &mut self,
        spec: &RunSpec,
        microvm: &MicrovmSpec,
        [image, disk]: [BorrowedFd<'_>; 2],
    ) -> Result<Vec<Timing>, EngineError> {
        let mut watch = Watch::start();
        let limits = host_limits(&spec.limits, &microvm.monitor.template);
        let made = self.ahead.ensure()?;
        let cgroup = self.cgroup.as_ref().ok_or(EngineError::Order { verb: "prepare" })?;
        cgroup.set_limits(&made.hierarchies, &microvm.monitor.cgroup, &limits)?;
        watch.lap("cgroup");
        let monitor = self.monitor("prepare")?;
        monitor.exchange([(Drive::Image, image), (Drive::Disk, disk)])?;
        self.has_first_files = true;
        watch.lap("exchange");
        Ok(watch.into_timings())
    }

    fn running(
        &mut self,
        timings: Vec<Timing>,
        resumed: Option<Resumed>,
    ) -> Result<Running, EngineError> {
        let monitor = self.monitor("go")?;
        let duplicate = EngineError::namespace("duplicate a descriptor");
        let pidfd = monitor.pidfd.try_clone().map_err(duplicate)?;
        let channel = monitor.another_channel()?;
        Ok(Running { init_pid: monitor.pid, pidfd, channel, timings, resumed })
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
            can_suspend: true,
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
        let image = open_to(&microvm.image_path, OFlags::RDONLY)?;
        watch.lap("disk_lock");
        self.ram_limit_bytes = spec.limits.ram_bytes;
        let drives = [image.as_fd(), lock.file()];
        let bed = Bed::of(&spec.run, microvm);
        // One that has rehearsed has pages of its own already.
        let is_fit = !microvm.ram.is_resume
            && self.is_warm()
            && self.warm.as_ref() == Some(&microvm.monitor);
        let warm = is_fit.then(|| self.prepare_warm(spec, microvm, drives));
        let prepared = match warm {
            Some(Ok(timings)) => Ok(timings),
            // What waits here, if anything does, is of no use.
            Some(Err(_)) | None => self.teardown().and_then(|()| {
                if microvm.ram.is_resume {
                    self.prepare_resumed(spec, microvm, &bed, drives)
                } else {
                    self.prepare_cold(spec, microvm, drives)
                }
            }),
        };
        self.warm = None;
        self.disk = Some(lock);
        self.bed = Some(bed);
        let mut timings = watch.into_timings();
        timings.extend(prepared?);
        self.furnishing = Some(Furnishing {
            hostname: host_name(spec),
            disk_bytes,
            entropy_base64: furnish::entropy()?,
            has_fresh_run: spec.orders.pid1,
            link: microvm.link.clone(),
            is_rehearsal: false,
        });
        Ok(timings)
    }

    fn go(&mut self) -> Result<Running, EngineError> {
        let mut watch = Watch::start();
        if let Some(carried) = self.risen.take() {
            let carried = self.rise(carried)?;
            watch.lap("cont");
            let entropy_base64 = furnish::entropy()?;
            return self.running(watch.into_timings(), Some(Resumed { carried, entropy_base64 }));
        }
        let furnishing = self.furnishing.take().ok_or(EngineError::Order { verb: "go" })?;
        let is_known = furnishing.disk_bytes == self.known_disk_bytes;
        let monitor = self.monitor("go")?;
        monitor.cont()?;
        if !is_known {
            // Only a guest that runs hears of it.
            monitor.resize(&Drive::Disk.node(), furnishing.disk_bytes)?;
        }
        watch.lap("cont");
        let inside = furnish::furnish(monitor.another_channel()?, furnishing)?;
        watch.lap("furnish");
        let mut timings = watch.into_timings();
        timings.extend(inside);
        self.running(timings, None)
    }

    fn suspend(
        &mut self,
        carried: &Carried,
        is_called_off: &mut dyn FnMut() -> bool,
    ) -> Result<u64, EngineError> {
        self.lie_down(carried, is_called_off)
    }

    fn settle(&mut self) -> Result<(), EngineError> {
        if std::mem::take(&mut self.has_first_files) {
            self.monitor("settle")?.drop_first_files()?;
        }
        Ok(())
    }

    fn fault(&mut self) -> Option<Fault> {
        self.monitor.as_mut().and_then(Monitor::fault)
    }

    fn freeze(&mut self) -> Result<(), EngineError> {
        self.monitor("freeze")?.stop()
    }

    fn thaw(&mut self) -> Result<(), EngineError> {
        self.monitor("thaw")?.cont()
    }

    fn stops_clock(&self) -> bool {
        true
    }

    fn kill(&mut self) -> Result<(), EngineError> {
        self.monitor.as_ref().map_or(Ok(()), |monitor| wait::end(&monitor.pidfd))
    }

    fn usage(&mut self) -> Result<Usage, EngineError> {
        let cgroup = self.cgroup()?;
        Ok(Usage {
            cpu_us: cgroup.cpu_us()?.saturating_sub(self.rehearsed_us) + self.earlier_us,
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
        self.warm = None;
        self.rehearsed_us = 0;
        self.furnishing = None;
        self.risen = None;
        self.has_first_files = false;
        note(self.cgroup.take().map_or(Ok(()), |mut cgroup| cgroup.remove()));
        // Last: who waits for it may make a cgroup of the same name.
        self.disk = None;
        if parts.is_empty() { Ok(()) } else { Err(EngineError::Teardown { parts }) }
    }
}

/// Takes the disk for this run alone. What is on it is the guest's: the host looks at none of it.
fn take_disk(microvm: &MicrovmSpec) -> Result<DiskLock, DiskError> {
    let lock = DiskLock::acquire(&microvm.disk_path, AttachKind::RawBlock, PATIENCE)?;
    // What comes back has the disk in its RAM as it is.
    if microvm.reset_disk && !microvm.ram.is_resume { lock.reset() } else { Ok(lock) }
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
