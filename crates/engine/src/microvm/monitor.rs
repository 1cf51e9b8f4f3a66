//! A QEMU of ours: started where it can do no harm, spoken to, listened to.

use super::child::{self, Plan};
use super::root;
use crate::bare::BareNamespace;
use crate::cgroup::Cgroup;
use crate::error::EngineError;
use crate::first_process::keep;
use crate::launch::{Child, clone_child, hear};
use crate::sys::ExecStrings;
use crate::wait::{self, Ended};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::pipe::{PipeFlags, pipe_with};
use shim_proto::exit_file::{FAULT_MAX_BYTES, Fault};
use shim_proto::message::Timing;
use shim_proto::shape::Shape;
use std::ffi::CString;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};
use vmm::command_line::{self, Drive, Purpose};
use vmm::qmp::{BlockNode, Capability, FdSet, Migration, Qmp, QmpError, Swap};

/// Longest wait for an answer. A busy host needs some tens of milliseconds to start QEMU, and one to
/// answer.
const ANSWER_MAX: Duration = Duration::from_secs(20);

/// Longest wait for its process to be gone when its socket is: the two go together.
const END_MAX: Duration = Duration::from_secs(1);

/// Most bytes of what it says on its standard error that are repeated to the user.
const SAID_MAX_BYTES: usize = 1024;

/// Name under which it gets the state of devices.
const STATE: &str = "state";

/// Where it saves the state of devices alone.
const DEVICES: FdSet = FdSet(64);

/// A QEMU. Whoever has it ends it ([`wait::end`]).
#[derive(Debug)]
pub(super) struct Monitor {
    pub(super) pid: u32,
    pub(super) pidfd: OwnedFd,
    /// The host's end of the guest init's channel.
    pub(super) channel: UnixStream,
    /// `None` once it cannot be spoken to any more.
    qmp: Option<Qmp>,
    /// It was started with files behind its disks, not with nothing.
    has_first_files: bool,
    /// Why it has shut the guest down, in its words.
    shutdown: Option<String>,
    stderr: File,
}

/// What a monitor is to be.
pub(super) struct MonitorOrder<'a> {
    /// QEMU's program.
    pub(super) program: &'a Path,
    pub(super) shape: &'a Shape,
    pub(super) purpose: Purpose,
    /// Network namespace, without a link.
    pub(super) netns: &'a OwnedFd,
    /// Uid and gid.
    pub(super) uid: u32,
    /// The descriptors behind its sockets, in the order of [`command_line::fd`].
    pub(super) files: Vec<OwnedFd>,
}

impl Monitor {
    /// Starts QEMU, its guest stopped.
    pub(super) fn start(
        bare: &BareNamespace,
        cgroup: &Cgroup,
        order: MonitorOrder<'_>,
    ) -> Result<(Self, Vec<Timing>), EngineError> {
        let (qmp, qmp_end) =
            UnixStream::pair().map_err(EngineError::namespace("make the monitor's socket"))?;
        let (channel, guest_end) =
            UnixStream::pair().map_err(EngineError::namespace("make the guest's channel"))?;
        let (report, child_report) = pipe_with(PipeFlags::CLOEXEC)
            .map_err(EngineError::namespace("make the child's pipe"))?;
        let stderr = memfd_create("stderr", MemfdFlags::CLOEXEC)
            .map_err(EngineError::namespace("make a place for the monitor's words"))?;
        let has_first_files = matches!(order.purpose, Purpose::TakeUp { .. });
        let of_shim = vec![report.as_raw_fd(), qmp.as_raw_fd(), channel.as_raw_fd()];
        let mut given = vec![keep(&qmp_end)?, keep(&guest_end)?];
        for file in &order.files {
            given.push(keep(file)?);
        }
        let plan = Plan {
            v1_doors: cgroup.open_v1_doors()?,
            netns: keep(order.netns)?,
            root: root::Layout::of_host(order.program, order.shape.accel, order.uid)?,
            uid: order.uid,
            program: c_string(order.program.as_os_str().as_bytes()),
            argv: argv(&order),
            envp: ExecStrings::new(&[]),
            given,
            stderr: keep(&stderr)?,
            report: keep(&child_report)?,
            of_shim,
        };
        drop((qmp_end, guest_end, child_report, order.files));
        let (child, timings) = launch(bare, cgroup, plan, &report)?;
        let mut monitor = Self {
            pid: child.pid,
            pidfd: child.pidfd,
            channel,
            qmp: None,
            has_first_files,
            shutdown: None,
            stderr: File::from(stderr),
        };
        match Qmp::connect(qmp, soon()) {
            Ok(session) => {
                monitor.qmp = Some(session);
                Ok((monitor, timings))
            }
            Err(source) => {
                let error = monitor.failed("come up")(source);
                wait::end(&monitor.pidfd)?;
                Err(error)
            }
        }
    }

    /// Loads what was saved; the guest stays stopped.
    pub(super) fn take_up(&mut self, state: BorrowedFd<'_>) -> Result<(), EngineError> {
        self.order("take up the template", |qmp| {
            qmp.set_capabilities(&[Capability::XIgnoreShared, Capability::Events], soon())?;
            qmp.getfd(STATE, state, soon())?;
            qmp.load_from(STATE, soon())?;
            wait_for_migration(qmp)
        })
    }

    /// Saves the devices of the stopped guest, whose RAM lies in a shared file, into `state`.
    pub(super) fn save(&mut self, state: BorrowedFd<'_>) -> Result<(), EngineError> {
        self.order("save the guest", |qmp| {
            qmp.set_capabilities(&[Capability::XIgnoreShared, Capability::Events], soon())?;
            qmp.getfd(STATE, state, soon())?;
            qmp.save_to(STATE, soon())?;
            wait_for_migration(qmp)
        })
    }

    /// Saves the devices of the stopped guest, and no RAM, into a file that is open to write only.
    pub(super) fn save_devices_to(&mut self, state: BorrowedFd<'_>) -> Result<(), EngineError> {
        self.order("save the guest's devices", |qmp| {
            qmp.add_fd(DEVICES, state, soon())?;
            let saved = qmp.save_devices(DEVICES, soon());
            qmp.remove_fd(DEVICES, soon())?;
            saved
        })
    }

    /// Lets the guest run.
    pub(super) fn cont(&mut self) -> Result<(), EngineError> {
        self.order("let the guest run", |qmp| qmp.cont(soon()))
    }

    /// Stops the guest from running.
    pub(super) fn stop(&mut self) -> Result<(), EngineError> {
        self.order("stop the guest", |qmp| qmp.stop(soon()))
    }

    /// Puts other files in the place of the disks' first ones. Once; QEMU lets go of those when it is told
    /// ([`Monitor::drop_first_files`]).
    pub(super) fn exchange(
        &mut self,
        files: [(Drive, BorrowedFd<'_>); 2],
    ) -> Result<(), EngineError> {
        self.order("exchange its disks", |qmp| {
            let mut swaps = Vec::with_capacity(files.len());
            for (drive, file) in files {
                let (set, node) = (drive.fd_set(false), drive.file_node(false));
                qmp.add_fd(set, file, soon())?;
                qmp.add_file_node(&node, set, drive.is_read_only(), soon())?;
                swaps.push(Swap {
                    raw: drive.node(),
                    file: node,
                    is_read_only: drive.is_read_only(),
                });
            }
            qmp.swap_files(&swaps, soon())
        })
    }

    /// Lets go of what lies behind no disk any more.
    pub(super) fn drop_first_files(&mut self) -> Result<(), EngineError> {
        let has_first_files = self.has_first_files;
        self.order("let go of a file", |qmp| {
            for drive in [Drive::Image, Drive::Disk] {
                qmp.remove_node(&drive.file_node(true), soon())?;
                if has_first_files {
                    qmp.remove_fd(drive.fd_set(true), soon())?;
                }
            }
            Ok(())
        })
    }

    /// Tells the guest the size of a disk.
    pub(super) fn resize(&mut self, node: &BlockNode, bytes: u64) -> Result<(), EngineError> {
        self.order("tell the guest its disk's size", |qmp| qmp.resize(node, bytes, soon()))
    }

    /// Another descriptor of the host's end of the guest init's channel.
    pub(super) fn another_channel(&self) -> Result<UnixStream, EngineError> {
        self.channel.try_clone().map_err(EngineError::namespace("duplicate the guest's channel"))
    }

    /// It can be spoken to. One that has ended is found out by that it says nothing more.
    pub(super) const fn is_there(&self) -> bool {
        self.qmp.is_some()
    }

    /// Readable when it has something to say.
    pub(super) fn attention(&self) -> Option<BorrowedFd<'_>> {
        self.qmp.as_ref().map(AsFd::as_fd)
    }

    /// Reads what it has to say: left unread, that would fill its memory.
    pub(super) fn hear_events(&mut self) {
        while let Some(qmp) = &mut self.qmp {
            match qmp.next_event() {
                Ok(Some(event)) if event.name == "SHUTDOWN" => {
                    self.shutdown = event.data["reason"].as_str().map(str::to_owned);
                }
                Ok(Some(_event)) => {}
                Ok(None) => return,
                // Its end shows in its process.
                Err(_) => self.qmp = None,
            }
        }
    }

    /// Why it has ended, or is about to: the guest's doing, or its own.
    pub(super) fn fault(&mut self) -> Option<Fault> {
        let has_ended = wait::wait_readable(&self.pidfd, Instant::now() + END_MAX).ok()?;
        self.hear_events();
        let by_guest = |what: &str| Fault::Guest(what.to_owned());
        match self.shutdown.as_deref() {
            // It restarts at once when it panics: nobody else would do that.
            Some("guest-reset" | "guest-panic") => {
                return Some(by_guest("the guest's kernel panicked, or restarted itself"));
            }
            Some("guest-shutdown") => return Some(by_guest("the guest switched itself off")),
            _ => {}
        }
        let ended = if has_ended { wait::ended(&self.pidfd)? } else { return None };
        let said = self.said();
        let how = match ended {
            Ended::Killed(signal) => format!("was killed by signal {signal}"),
            Ended::Exited(code) if said.is_empty() => format!("ended with code {code}"),
            Ended::Exited(code) => format!("ended with code {code}: {said}"),
        };
        let mut sentence = format!("the virtual machine's monitor {how}");
        sentence.truncate(sentence.floor_char_boundary(FAULT_MAX_BYTES));
        Some(Fault::Host(sentence))
    }

    fn order(
        &mut self,
        action: &'static str,
        act: impl FnOnce(&mut Qmp) -> Result<(), QmpError>,
    ) -> Result<(), EngineError> {
        let acted = self.qmp.as_mut().map_or(Err(QmpError::Closed), act);
        acted.map_err(self.failed(action))
    }

    /// Wraps a failure, with its last words; made for `map_err`.
    fn failed(&self, action: &'static str) -> impl FnOnce(QmpError) -> EngineError + use<> {
        let said = self.said();
        move |source| EngineError::Monitor { action, said, source }
    }

    fn said(&self) -> String {
        let mut bytes = [0; SAID_MAX_BYTES];
        let n_bytes = self.stderr.read_at(&mut bytes, 0).unwrap_or(0);
        let text = String::from_utf8_lossy(&bytes[..n_bytes]);
        let plain = |c: char| if c.is_control() { ' ' } else { c };
        text.trim().chars().map(plain).collect()
    }
}

/// Clones the child and waits until it has become QEMU.
#[allow(unsafe_code, reason = "clones this process")]
fn launch(
    bare: &BareNamespace,
    cgroup: &Cgroup,
    plan: Plan,
    report: &OwnedFd,
) -> Result<(Child, Vec<Timing>), EngineError> {
    // SAFETY: `child::run` makes system calls only.
    let cloned = unsafe { clone_child(bare, cgroup.entry(), || child::run(&plan)) };
    // The child has its own copies; ours would keep the pipe open.
    drop(plan);
    let child = cloned?;
    match hear(report, child.since_ns) {
        Ok(timings) => Ok((child, timings)),
        Err(error) => {
            wait::end(&child.pidfd)?;
            Err(error)
        }
    }
}

fn wait_for_migration(qmp: &mut Qmp) -> Result<(), QmpError> {
    loop {
        let event = qmp.wait_for("MIGRATION", soon())?;
        match event.data["status"].as_str() {
            Some("completed") => return Ok(()),
            Some("failed" | "cancelled") => break,
            _ => {}
        }
    }
    match qmp.migration(soon())? {
        Migration::Completed => Ok(()),
        Migration::UnderWay => {
            Err(QmpError::Garbage { what: "a migration without end".to_owned() })
        }
        Migration::Failed { why } => {
            let (command, class) = ("migrate", "GenericError".to_owned());
            Err(QmpError::Refused { command, class, message: why })
        }
    }
}

fn argv(order: &MonitorOrder<'_>) -> ExecStrings {
    let words = command_line::arguments(order.shape, order.purpose);
    let words = words.iter().map(|word| c_string(word.as_bytes()));
    ExecStrings::owned([c"qemu".to_owned()].into_iter().chain(words).collect())
}

fn c_string(bytes: &[u8]) -> CString {
    let bytes: Vec<u8> = bytes.iter().copied().filter(|byte| *byte != 0).collect();
    CString::new(bytes).expect("zero bytes are filtered out")
}

fn soon() -> Instant {
    Instant::now() + ANSWER_MAX
}
