//! The container engine: namespaces of the host's kernel, put together by our own launcher.
//!
//! ```text
//! prepare  lock disk; image's EROFS, copied, detached, idmapped for the slot's user namespace
//!          cgroup with limits
//!          clone3 into v2 cgroup, from an empty mount namespace
//!            child: v1 cgroups → network → /proc, /sys, /dev, masks ┐ at the same time
//!            shim:  loop → ext4, detached, idmapped ─ given to child ┘
//!            child: overlay → pivot_root → user namespace → capabilities, no_new_privs, seccomp
//!                   → exec guest init, which waits for its orders
//! go       hear that all this went well; the orders follow, and nothing of the machine ran before
//! teardown SIGKILL to the pid namespace → unmount, detach → cgroup away
//! ```
//!
//! If the shim is killed, its death signal kills the guest init, the kernel kills the rest of the
//! pid namespace, and with the last descriptor the mounts, the loop device and the disk's lock go.
//! Only the empty cgroup directories stay; the next run or the daemon removes them by name.

mod child;
mod disk;
mod gift;
mod launch;
pub(crate) mod layers;
mod masks;
mod pid1;
mod reap;
mod root;
pub(crate) mod seccomp;
mod traffic;

pub use reap::reap;

use crate::ahead::Ahead;
use crate::capabilities;
use crate::cgroup::{self, Cgroup, Devices};
use crate::engine::{Capabilities, Engine, Running};
use crate::error::EngineError;
use crate::first_process::keep;
use crate::sys::ExecStrings;
use crate::wait;
use crate::watch::Watch;
use child::Plan;
use disk::{Disk, Taken};
use launch::{Ends, Launch, launch};
use layers::{idmap, image_layer, init_program, open_namespace, tools};
use pid1::Pid1Plan;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::pipe::{PipeFlags, pipe_with};
use shim_proto::RunSpec;
use shim_proto::message::{Timing, Usage};
use shim_proto::spec::{ContainerSpec, EngineSpec};
use std::ffi::CString;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;

/// One run of one machine in a container.
#[derive(Debug)]
pub struct Container {
    ahead: Ahead,
    launch: Option<Launch>,
    disk: Option<Disk>,
    cgroup: Option<Cgroup>,
    guest: Option<Guest>,
    ram_limit_bytes: u64,
}

/// The guest init.
#[derive(Debug)]
struct Guest {
    pid: u32,
    pidfd: OwnedFd,
}

impl Container {
    /// An engine without a run.
    #[must_use]
    pub fn new(ahead: Ahead) -> Self {
        Self { ahead, launch: None, disk: None, cgroup: None, guest: None, ram_limit_bytes: 0 }
    }

    /// Starts the child, which waits for the disk before long.
    fn launch(
        &mut self,
        spec: &RunSpec,
        container: &ContainerSpec,
        userns: Option<&OwnedFd>,
    ) -> Result<(), EngineError> {
        let made = self.ahead.ensure()?;
        let cgroup = self.cgroup.as_mut().ok_or(EngineError::Order { verb: "launch" })?;
        let is_pid1 = spec.orders.pid1;
        let (channel, guest_end) =
            UnixStream::pair().map_err(EngineError::namespace("make the guest's channel"))?;
        let (report, child_report) = pipe_with(PipeFlags::CLOEXEC)
            .map_err(EngineError::namespace("make the child's pipe"))?;
        let (gift, child_gift) =
            gift::pair().map_err(EngineError::namespace("make the disk's way to the child"))?;
        let plan = Plan {
            v1_doors: cgroup.open_v1_doors()?,
            netns: open_namespace(&container.netns_path)?,
            userns: userns.map(keep).transpose()?,
            image: image_layer(&container.image_path, userns)?,
            gift: child_gift,
            root: root::Words::new(guest_root(container), spec.limits.ram_bytes, is_pid1),
            hostname: host_name(spec),
            init: keep(init_program(&container.init_path)?)?,
            tools: tools(&container.init_path)?.map(keep).transpose()?,
            argv: init_argv(is_pid1),
            envp: ExecStrings::new(&[]),
            capabilities: capabilities::for_host(cgroup.guards_devices()),
            filter: made.filter.clone(),
            channel: keep(&guest_end)?,
            report: keep(&child_report)?,
            of_shim: [report.as_raw_fd(), gift.as_raw_fd(), channel.as_raw_fd()],
            pid1: is_pid1.then(|| pid1_plan(cgroup)).transpose()?,
        };
        drop((guest_end, child_report));
        let ends = Ends { report, gift, channel };
        let (launch, pid, pidfd) = launch(&made.bare, plan, cgroup.entry(), ends)?;
        self.launch = Some(launch);
        self.guest = Some(Guest { pid, pidfd });
        Ok(())
    }

    /// Attaches the disk and gives it to the child.
    fn give_disk(
        &mut self,
        taken: Taken,
        userns: Option<&OwnedFd>,
        watch: &mut Watch,
    ) -> Result<(), EngineError> {
        let disk = self.disk.insert(Disk::attach(taken, watch)?);
        if let Some(userns) = userns {
            idmap(disk.mount(), userns, "give the disk an idmap")?;
        }
        watch.lap("disk_idmap");
        self.launch.as_ref().map_or(Ok(()), |launch| launch.give(disk.mount()))
    }

    fn cgroup(&self) -> Result<&Cgroup, EngineError> {
        self.cgroup.as_ref().ok_or(EngineError::Order { verb: "cgroup" })
    }
}

impl Engine for Container {
    fn capabilities(&self) -> Capabilities {
        let hierarchies = cgroup::Hierarchies::detect().ok();
        let (enforces_limits, can_freeze) =
            hierarchies.as_ref().map_or((false, false), cgroup::abilities);
        Capabilities {
            can_freeze,
            can_suspend: false,
            enforces_limits,
            confines_devices: true,
            has_own_kernel: false,
            has_disk: true,
        }
    }

    fn prepare(&mut self, spec: &RunSpec) -> Result<Vec<Timing>, EngineError> {
        let EngineSpec::Container(container) = &spec.engine else {
            return Err(EngineError::Order { verb: "prepare" });
        };
        let mut watch = Watch::start();
        self.ahead.ensure()?;
        watch.lap("ahead");
        let taken = Taken::take(&container.disk_path, container.reset_disk)?;
        watch.lap("disk_lock");
        let userns = container.userns_path.as_deref().map(open_namespace).transpose()?;
        let delegate_to = spec.orders.pid1.then_some(guest_root(container));
        let made = self.ahead.ensure()?;
        self.cgroup = Some(Cgroup::make(
            &made.hierarchies,
            Devices::OfMachine(made.devices.as_ref()),
            &container.cgroup,
            &spec.limits,
            delegate_to,
        )?);
        self.ram_limit_bytes = spec.limits.ram_bytes;
        watch.lap("cgroup");
        self.launch(spec, container, userns.as_ref())?;
        watch.lap("image");
        self.give_disk(taken, userns.as_ref(), &mut watch)?;
        Ok(watch.into_timings())
    }

    fn go(&mut self) -> Result<Running, EngineError> {
        let order = || EngineError::Order { verb: "go" };
        let launch = self.launch.take().ok_or_else(order)?;
        let guest = self.guest.as_ref().ok_or_else(order)?;
        let (init_pid, pidfd) = (guest.pid, keep(&guest.pidfd)?);
        let (channel, timings) = launch.finish()?;
        Ok(Running { init_pid, pidfd, channel, timings, resumed: None })
    }

    fn freeze(&mut self) -> Result<(), EngineError> {
        match self.cgroup()?.freeze()? {
            true => Ok(()),
            false => Err(EngineError::Unsupported { verb: "freeze" }),
        }
    }

    fn thaw(&mut self) -> Result<(), EngineError> {
        self.cgroup()?.thaw()
    }

    fn kill(&mut self) -> Result<(), EngineError> {
        let Some(guest) = &self.guest else { return Ok(()) };
        let cgroup = self.cgroup()?;
        // A process that a v1 freezer holds does not die before it is thawed.
        cgroup.thaw()?;
        // Everyone is in the init's pid namespace and dies with it. The cgroup's kill is only
        // faster: it need not wait for the init to come to it.
        cgroup.kill()?;
        wait::end(&guest.pidfd)
    }

    fn usage(&mut self) -> Result<Usage, EngineError> {
        let cgroup = self.cgroup()?;
        let (rx_bytes, tx_bytes) =
            self.guest.as_ref().map_or((0, 0), |guest| traffic::of_process(guest.pid));
        Ok(Usage {
            cpu_us: cgroup.cpu_us()?,
            ram_bytes: cgroup.ram_bytes()?,
            ram_limit_bytes: self.ram_limit_bytes,
            pids: cgroup.pids()?,
            rx_bytes,
            tx_bytes,
            disk_bytes: self.disk.as_ref().map_or(Ok(0), Disk::used_bytes)?,
        })
    }

    fn oom_kills(&mut self) -> Result<u64, EngineError> {
        self.cgroup()?.oom_kills()
    }

    fn teardown(&mut self) -> Result<(), EngineError> {
        let mut parts = Vec::new();
        let mut note = |result: Result<(), EngineError>| {
            parts.extend(result.err().map(|error| error.sentence()));
        };
        note(self.kill());
        self.guest = None;
        self.launch = None;
        note(self.disk.take().map_or(Ok(()), Disk::detach));
        note(self.cgroup.take().map_or(Ok(()), |mut cgroup| cgroup.remove()));
        if parts.is_empty() { Ok(()) } else { Err(EngineError::Teardown { parts }) }
    }
}

/// The id on the host of the guest's root.
const fn guest_root(container: &ContainerSpec) -> u32 {
    if container.userns_path.is_some() { container.id_base } else { 0 }
}

fn host_name(spec: &RunSpec) -> CString {
    let name = if spec.orders.hostname.is_empty() { &spec.machine } else { &spec.orders.hostname };
    let name: Vec<u8> = name.bytes().filter(|byte| *byte != 0).take(64).collect();
    CString::new(name).expect("zero bytes are filtered out")
}

fn init_argv(is_pid1: bool) -> ExecStrings {
    if is_pid1 {
        ExecStrings::new(&[c"dormouse-init", c"--pid1-fd", c"4"])
    } else {
        ExecStrings::new(&[c"dormouse-init"])
    }
}

fn pid1_plan(cgroup: &mut Cgroup) -> Result<Pid1Plan, EngineError> {
    let pair = || socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None);
    let (init_end, pid1_end) =
        pair().map_err(EngineError::namespace("make the channel of the program's PID 1"))?;
    Ok(Pid1Plan {
        cgroup: cgroup.take_delegated().ok_or(EngineError::NoInitCgroup)?,
        init_end: keep(&init_end)?,
        pid1_end: keep(&pid1_end)?,
        argv: ExecStrings::new(&[c"dormouse-init", c"pid1"]),
        envp: ExecStrings::new(&[]),
    })
}
