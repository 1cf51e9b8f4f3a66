//! An engine without isolation: a forked process that plays guest, with knobs for tests.
//!
//! It is a real engine: there is a process with a pid that can be killed and frozen, and a channel
//! on which it speaks `guest_proto`. Only there is no program: the guest pretends to run one.

mod guest;

use crate::engine::{Capabilities, Engine, Running};
use crate::error::EngineError;
use crate::sys;
use crate::wait;
use crate::watch::Watch;
use rustix::io::Errno;
use rustix::process::{Signal, pidfd_send_signal};
use shim_proto::RunSpec;
use shim_proto::message::{Timing, Usage};
use shim_proto::spec::{EngineSpec, FakeSpec};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// One run of the fake.
#[derive(Debug, Default)]
pub struct Fake {
    knobs: Option<FakeSpec>,
    ram_limit_bytes: u64,
    pidfd: Option<OwnedFd>,
}

impl Fake {
    /// An engine without a run.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn signal(&self, signal: Signal) -> Result<(), EngineError> {
        let pidfd = self.pidfd.as_ref().ok_or(EngineError::Order { verb: "signal" })?;
        match pidfd_send_signal(pidfd, signal) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(errno) => Err(EngineError::namespace("signal the fake guest")(errno)),
        }
    }
}

impl Engine for Fake {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            can_freeze: !self.knobs.as_ref().is_some_and(|knobs| knobs.freeze_fails),
            can_suspend: false,
            enforces_limits: false,
            confines_devices: false,
            has_own_kernel: false,
            has_disk: false,
        }
    }

    fn prepare(&mut self, spec: &RunSpec) -> Result<Vec<Timing>, EngineError> {
        let EngineSpec::Fake(knobs) = &spec.engine else {
            return Err(EngineError::Order { verb: "prepare" });
        };
        self.knobs = Some(knobs.clone());
        self.ram_limit_bytes = spec.limits.ram_bytes;
        Ok(Vec::new())
    }

    fn go(&mut self) -> Result<Running, EngineError> {
        let knobs = self.knobs.clone().ok_or(EngineError::Order { verb: "go" })?;
        if knobs.start_fails {
            return Err(EngineError::Told);
        }
        let mut watch = Watch::start();
        let (channel, guest_end) =
            UnixStream::pair().map_err(EngineError::namespace("make the guest's channel"))?;
        let forked = sys::fork_with(guest_end, |end| guest::play(end, &knobs));
        let (pid, pidfd) = forked.map_err(EngineError::namespace("fork the fake guest"))?;
        let own = pidfd.try_clone().map_err(EngineError::namespace("duplicate a descriptor"))?;
        self.pidfd = Some(own);
        watch.lap("clone");
        let init_pid = u32::try_from(pid.as_raw_nonzero().get()).unwrap_or(0);
        Ok(Running { init_pid, pidfd, channel, timings: watch.into_timings(), resumed: None })
    }

    fn freeze(&mut self) -> Result<(), EngineError> {
        let freeze_ms = self.knobs.as_ref().map_or(0, |knobs| knobs.freeze_ms);
        std::thread::sleep(Duration::from_millis(u64::from(freeze_ms)));
        if self.knobs.as_ref().is_some_and(|knobs| knobs.freeze_fails) {
            return Err(EngineError::Told);
        }
        self.signal(Signal::STOP)
    }

    fn thaw(&mut self) -> Result<(), EngineError> {
        self.signal(Signal::CONT)
    }

    fn kill(&mut self) -> Result<(), EngineError> {
        self.pidfd.as_ref().map_or(Ok(()), wait::end)
    }

    fn usage(&mut self) -> Result<Usage, EngineError> {
        let pids = u64::from(self.pidfd.is_some());
        Ok(Usage { ram_limit_bytes: self.ram_limit_bytes, pids, ..Usage::default() })
    }

    fn oom_kills(&mut self) -> Result<u64, EngineError> {
        Ok(0)
    }

    fn teardown(&mut self) -> Result<(), EngineError> {
        self.kill()?;
        self.pidfd = None;
        Ok(())
    }
}
