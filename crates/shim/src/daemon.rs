//! What the daemon orders.

use crate::ending::{Ending, conclude_warm};
use crate::run::Run;
use crate::shim::{Shim, order_name};
use engine::{Ahead, Engine, Microvm};
use guest_proto::{Frame, FrameKind, ToGuest};
use rustix::fs::{Mode, OFlags, open};
use rustix::process::umask;
use shim_proto::spec::{EngineSpec, WarmSpec};
use shim_proto::{FromShim, RunSpec, ToShim};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The socket of descriptor 0, whose place `/dev/null` takes.
pub(crate) fn fd_of_stdin() -> io::Result<UnixStream> {
    let socket = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    let null = open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    rustix::stdio::dup2_stdin(&null)?;
    Ok(socket.into())
}

/// The socket at which later daemons knock.
#[derive(Debug)]
pub(crate) struct Door {
    listener: UnixListener,
    path: PathBuf,
}

impl Door {
    /// Listens at `path`, for its owner alone. A socket left there by a killed shim is replaced.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mask = umask(Mode::from_raw_mode(0o177));
        let bound = UnixListener::bind(path);
        umask(mask);
        let listener = bound?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener, path: path.to_owned() })
    }

    /// The next connection, if one waits.
    pub(crate) fn accept(&self) -> Option<UnixStream> {
        self.listener.accept().ok().map(|(stream, _)| stream)
    }
}

impl AsFd for Door {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        // Absent is as good as removed; a leftover is replaced by the next run or reaped by name.
        std::fs::remove_file(&self.path).ok();
    }
}

impl Shim {
    /// Carries out one frame of the daemon.
    pub(crate) fn obey(&mut self, frame: &Frame) -> Option<Ending> {
        match frame.kind {
            FrameKind::Control => match frame.message::<ToShim>() {
                Ok(order) => self.carry_out(order),
                Err(_) => {
                    self.refuse("unknown", "unsupported", "this shim does not know the order");
                    None
                }
            },
            FrameKind::Data { .. } => {
                if let Some(run) = &mut self.run
                    && !run.relay_data_to_guest(frame)
                {
                    self.lose_daemon();
                }
                None
            }
        }
    }

    fn carry_out(&mut self, order: ToShim) -> Option<Ending> {
        let name = order_name(&order);
        match order {
            ToShim::Hello { version, version_min } => self.greet(version, version_min),
            ToShim::Warm(spec) => return self.warm(&spec),
            ToShim::Prepare(spec) => return self.prepare(*spec),
            ToShim::Go => return self.go(),
            ToShim::Usage { id } => {
                let usage = self.run.as_mut().and_then(|run| run.usage());
                self.tell(&FromShim::Usage { id, usage });
            }
            ToShim::Guest(message) => self.pass_to_guest(message),
            ToShim::Suspend => self.begin_suspend(),
            ToShim::Stop { .. } | ToShim::Kill | ToShim::Freeze | ToShim::Thaw => {
                let Some(run) = self.run.as_mut().filter(|run| run.has_gone()) else {
                    // Nothing runs that could be left: a stop now is the end of the preparation.
                    if matches!(name, "stop" | "kill") && self.run.is_some() {
                        return Some(Ending::Abandoned);
                    }
                    self.refuse(name, "not_running", "there is no running machine");
                    return None;
                };
                match order {
                    ToShim::Stop { signal, timeout_ms } => {
                        run.stop(signal, Duration::from_millis(timeout_ms));
                    }
                    ToShim::Kill => return Some(run.kill()),
                    ToShim::Freeze => self.freeze(),
                    _ => self.thaw(),
                }
            }
        }
        None
    }

    fn warm(&mut self, spec: &WarmSpec) -> Option<Ending> {
        if self.run.is_some() || self.warm.is_some() {
            self.refuse("warm", "not_running", "this shim has a run or a virtual machine already");
            return None;
        }
        rustix::process::setsid().ok();
        let ahead = self.ahead.take().unwrap_or_else(Ahead::nothing);
        let warm = self.warm.insert(Box::new(Microvm::new(ahead)));
        match warm.warm(spec) {
            Ok(timings) => {
                failpoint::hit("shim.warmed");
                self.tell(&FromShim::Warmed { timings });
                None
            }
            Err(error) => {
                self.tell(&FromShim::WarmFailed { message: error.sentence() });
                Some(Ending::Abandoned)
            }
        }
    }

    /// The engine for a run: the virtual machine that waits, if the run is for one.
    fn engine_for(&mut self, spec: &EngineSpec) -> Box<dyn Engine> {
        match (self.warm.take(), spec) {
            (Some(warm), EngineSpec::Microvm(_)) => warm,
            (warm, _) => {
                conclude_warm(warm);
                engine::for_spec(spec, self.ahead.take().unwrap_or_else(Ahead::nothing))
            }
        }
    }

    fn prepare(&mut self, spec: RunSpec) -> Option<Ending> {
        if self.run.is_some() {
            self.refuse("prepare", "not_running", "this shim has a run already");
            return None;
        }
        // Its own session: signals to the daemon's terminal or group are not for the machine. A
        // shim that leads a session already has it.
        rustix::process::setsid().ok();
        let engine = self.engine_for(&spec.engine);
        let socket_path = spec.socket_path.clone();
        let run = self.run.insert(Box::new(Run::new(spec, engine)));
        let prepared = run.prepare();
        if let Err(error) = self.open_door(&socket_path) {
            let message = format!("cannot listen at `{}`: {error}", socket_path.display());
            return Some(Ending::NotStarted { code: "socket".to_owned(), message });
        }
        match prepared {
            Ok(timings) => {
                failpoint::hit("shim.prepared");
                self.tell(&FromShim::Prepared { timings });
                None
            }
            Err(error) => Some(Ending::from_engine(&error)),
        }
    }

    fn go(&mut self) -> Option<Ending> {
        let Some(run) = self.run.as_mut().filter(|run| !run.has_gone()) else {
            self.refuse("go", "not_running", "there is no prepared run");
            return None;
        };
        failpoint::hit("shim.go.before");
        let ending = run.go().err();
        failpoint::hit("shim.go.after");
        ending
    }

    fn pass_to_guest(&mut self, message: ToGuest) {
        let Some(run) = self.run.as_mut().filter(|run| run.is_up()) else {
            self.refuse("guest", "not_running", "there is no running machine");
            return;
        };
        match run.relay_to_guest(&message) {
            Ok(()) => {}
            Err(refusal) => self.refuse("guest", "failed", refusal),
        }
    }

    fn freeze(&mut self) {
        self.call_suspend_off();
        let Some(run) = &mut self.run else { return };
        let answer = match run.freeze() {
            Ok(ram_bytes) => FromShim::Frozen { ram_bytes },
            Err(error) => refused("freeze", &error),
        };
        self.tell(&answer);
    }

    fn thaw(&mut self) {
        self.call_suspend_off();
        let Some(run) = &mut self.run else { return };
        let answer = match run.thaw() {
            Ok(()) => FromShim::Thawed,
            Err(error) => refused("thaw", &error),
        };
        self.tell(&answer);
    }
}

fn refused(order: &str, error: &engine::EngineError) -> FromShim {
    let code = if error.code() == "unsupported" { "unsupported" } else { "failed" };
    let (order, code) = (order.to_owned(), code.to_owned());
    FromShim::Refused { order, code, message: error.sentence() }
}
