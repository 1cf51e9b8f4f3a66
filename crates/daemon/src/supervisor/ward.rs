//! A process that is kept running.

use super::SUPERVISOR_PID_VAR;
use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
}

/// A process that is kept running.
#[derive(Debug)]
pub(super) struct Ward {
    spawn: Spawn,
    now: Mutex<Now>,
}

#[derive(Debug)]
struct Now {
    pid: Option<Pid>,
    since: Instant,
    wait: Duration,
    /// It was told to end: not started any more, and told again should it begin meanwhile.
    is_ending: bool,
}

impl Ward {
    pub(super) fn new(spawn: Spawn) -> Arc<Self> {
        let now = Now { pid: None, since: Instant::now(), wait: BACKOFF_FIRST, is_ending: false };
        Arc::new(Self { spawn, now: Mutex::new(now) })
    }

    pub(super) fn name(&self) -> &'static str {
        self.spawn.name
    }

    /// Starts it, unless it was told to end.
    pub(super) fn start(&self) -> anyhow::Result<()> {
        // Held until its number is known: its end may be seen before.
        let mut now = self.lock();
        if now.is_ending {
            return Ok(());
        }
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
        now.pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        now.since = Instant::now();
        Ok(())
    }

    /// Whether this was its process, which is then gone.
    pub(super) fn has_ended(&self, pid: Pid) -> bool {
        let mut now = self.lock();
        let is_it = now.pid == Some(pid);
        if is_it {
            now.pid = None;
        }
        is_it
    }

    /// Starts it again: at once after a healthy life or a kill, else after a pause, on a thread.
    pub(super) fn start_again(ward: &Arc<Self>, status: ExitStatus) -> anyhow::Result<()> {
        let pause = ward.lock().pause_after(status);
        if pause.is_zero() {
            return ward.start();
        }
        let ward = Arc::clone(ward);
        std::thread::Builder::new().name(format!("start {}", ward.name())).spawn(move || {
            std::thread::sleep(pause);
            if let Err(error) = ward.start() {
                tracing::error!(error = format!("{error:#}"), "{} stays down", ward.name());
            }
        })?;
        Ok(())
    }

    /// Hands a signal of the supervisor on; it is not started any more.
    pub(super) fn end(&self, signal: Signal) {
        self.lock().is_ending = true;
        self.tell(if signal == Signal::TERM { self.spawn.on_term } else { signal });
    }

    /// Sends a signal, if it runs.
    pub(super) fn tell(&self, signal: Signal) {
        if let Some(pid) = self.lock().pid
            && let Err(error) = kill_process(pid, signal)
        {
            tracing::warn!(%error, "{} cannot be told to end", self.name());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Now {
    fn pause_after(&mut self, status: ExitStatus) -> Duration {
        if self.since.elapsed() >= HEALTHY {
            self.wait = BACKOFF_FIRST;
            return Duration::ZERO;
        }
        if status.signal().is_some() {
            return Duration::ZERO;
        }
        let pause = self.wait;
        self.wait = (self.wait * 2).min(BACKOFF_MAX);
        pause
    }
}
