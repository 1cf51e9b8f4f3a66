//! A process that is kept running.

use super::SUPERVISOR_PID_VAR;
use crate::control_process::EXIT_FOR_GOOD;
use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// A process that lived this long counts as healthy: the next start is at once.
const HEALTHY: Duration = Duration::from_secs(10);

/// Longest wait between two starts of a process that keeps failing.
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// First wait between two starts; doubles.
const BACKOFF_FIRST: Duration = Duration::from_millis(50);

/// How it is started.
#[derive(Debug)]
pub(super) struct Spawn {
    pub(super) name: &'static str,
    pub(super) program: PathBuf,
    pub(super) args: Vec<String>,
    /// Handed over as standard input.
    pub(super) stdin: Option<OwnedFd>,
    /// What it is told when the supervisor is told SIGTERM.
    pub(super) on_term: Signal,
    /// It may end by itself: well, or because no other start would help.
    pub(super) may_end: bool,
}

/// A process that is kept running.
#[derive(Debug)]
pub(super) struct Ward {
    spawn: Spawn,
    state: State,
    /// Next pause, should it fail.
    backoff: Duration,
    /// It was told to end: not started any more.
    is_ending: bool,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Runs { pid: Pid, since: Instant },
    Pauses { until: Instant },
    Over(End),
}

/// How it ended for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Told to, or well.
    Well,
    /// It cannot run here.
    InVain,
}

impl Ward {
    pub(super) fn new(spawn: Spawn) -> Self {
        let state = State::Pauses { until: Instant::now() };
        Self { spawn, state, backoff: BACKOFF_FIRST, is_ending: false }
    }

    /// Starts it.
    pub(super) fn start(&mut self) -> anyhow::Result<()> {
        let Spawn { name, program, args, stdin, .. } = &self.spawn;
        let stdin = match stdin {
            Some(fd) => Stdio::from(fd.try_clone().context("cannot share the socket")?),
            None => Stdio::null(),
        };
        let child = Command::new(program)
            .args(args)
            .stdin(stdin)
            .env(SUPERVISOR_PID_VAR, std::process::id().to_string())
            .spawn()
            .with_context(|| format!("cannot start {name}: {}", program.display()))?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.context("a process without a number")?;
        self.state = State::Runs { pid, since: Instant::now() };
        Ok(())
    }

    /// When it is to be started again, if it is.
    pub(super) fn is_due_at(&self) -> Option<Instant> {
        match self.state {
            State::Pauses { until } => Some(until),
            State::Runs { .. } | State::Over(_) => None,
        }
    }

    /// How it ended for good, if it has.
    pub(super) fn end(&self) -> Option<End> {
        match self.state {
            State::Over(end) => Some(end),
            State::Runs { .. } | State::Pauses { .. } => None,
        }
    }

    /// A process has ended: if it was this one, it is due again, at once after a healthy life or a
    /// kill, else after a pause.
    pub(super) fn notice_end(&mut self, ended: Pid, status: ExitStatus) {
        let State::Runs { pid, since } = self.state else { return };
        if pid != ended {
            return;
        }
        if self.is_ending || self.spawn.may_end && status.success() {
            self.state = State::Over(End::Well);
            return;
        }
        if self.spawn.may_end && status.code() == Some(i32::from(EXIT_FOR_GOOD)) {
            self.state = State::Over(End::InVain);
            return;
        }
        tracing::error!(%status, "{} ended; starting it again", self.spawn.name);
        let is_healthy = since.elapsed() >= HEALTHY;
        if is_healthy {
            self.backoff = BACKOFF_FIRST;
        }
        let is_at_once = is_healthy || status.signal().is_some();
        let pause = if is_at_once { Duration::ZERO } else { self.next_pause() };
        self.state = State::Pauses { until: Instant::now() + pause };
    }

    /// Starts it if its pause is over; a start that fails is tried again after another.
    pub(super) fn start_when_due(&mut self) {
        if self.is_due_at().is_none_or(|due| due > Instant::now()) {
            return;
        }
        if let Err(error) = self.start() {
            tracing::error!(error = format!("{error:#}"), "{} stays down", self.spawn.name);
            self.state = State::Pauses { until: Instant::now() + self.next_pause() };
        }
    }

    /// Hands a signal of the supervisor on; it is not started any more.
    pub(super) fn tell_to_end(&mut self, signal: Signal) {
        let signal = if signal == Signal::TERM { self.spawn.on_term } else { signal };
        self.is_ending = true;
        match self.state {
            State::Pauses { .. } => self.state = State::Over(End::Well),
            State::Runs { pid, .. } => {
                if let Err(error) = kill_process(pid, signal) {
                    tracing::warn!(%error, "{} cannot be told to end", self.spawn.name);
                }
            }
            State::Over(_) => {}
        }
    }

    /// Whether it was told to end.
    pub(super) fn is_ending(&self) -> bool {
        self.is_ending
    }

    fn next_pause(&mut self) -> Duration {
        let pause = self.backoff;
        self.backoff = (self.backoff * 2).min(BACKOFF_MAX);
        pause
    }
}
