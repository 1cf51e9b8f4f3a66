//! Keeps control running.

use crate::control_process::EXIT_FOR_GOOD;
use crate::options::UpOptions;
use anyhow::Context as _;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, set_child_subreaper, wait};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// A control process that lived this long counts as healthy: the next start is at once.
const HEALTHY: Duration = Duration::from_secs(10);

/// Longest wait between two starts of a control process that keeps failing.
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// First wait between two starts; doubles.
const BACKOFF_FIRST: Duration = Duration::from_millis(50);

/// Runs control until SIGTERM or SIGINT; machines go on running.
///
/// # Errors
/// The address is taken, or control ended for good.
pub fn up(options: &UpOptions) -> anyhow::Result<()> {
    crate::logging::begin();
    let listener = TcpListener::bind(options.listen)
        .with_context(|| format!("cannot listen on {}", options.listen))?;
    // Shims outlive control; without this they would be left to the host's first process.
    set_child_subreaper(Pid::from_raw(1)).context("cannot become a subreaper")?;
    let program = std::env::current_exe().context("cannot find this program's file")?;
    let child = Arc::new(AtomicU32::new(0));
    let is_ending = Arc::new(AtomicBool::new(false));
    pass_signals_on(&child, &is_ending)?;
    let mut wait = BACKOFF_FIRST;
    loop {
        let since = Instant::now();
        let status = run_control(&program, options, &listener, &child, &is_ending)?;
        if is_ending.load(Ordering::SeqCst) || status.success() {
            return Ok(());
        }
        anyhow::ensure!(
            status.code() != Some(i32::from(EXIT_FOR_GOOD)),
            "control cannot run here; its last words say why"
        );
        tracing::error!(%status, "control ended; starting it again");
        if since.elapsed() >= HEALTHY {
            wait = BACKOFF_FIRST;
        } else if status.signal().is_none() {
            std::thread::sleep(wait);
            wait = (wait * 2).min(BACKOFF_MAX);
        }
    }
}

/// Starts control with the listening socket as its standard input and waits for its end. Shims that
/// an earlier control left are reaped meanwhile: they are this process's children now.
fn run_control(
    program: &std::path::Path,
    options: &UpOptions,
    listener: &TcpListener,
    child: &AtomicU32,
    is_ending: &AtomicBool,
) -> anyhow::Result<ExitStatus> {
    let socket = OwnedFd::from(listener.try_clone().context("cannot share the socket")?);
    let process = Command::new(program)
        .args(options.control_args())
        .stdin(Stdio::from(socket))
        .env("DORMOUSE_SUPERVISOR_PID", std::process::id().to_string())
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    child.store(process.id(), Ordering::SeqCst);
    if is_ending.load(Ordering::SeqCst) {
        // The signal came between two control processes, when there was nobody to hand it on to.
        terminate(process.id());
    }
    loop {
        let (pid, status) = match wait(WaitOptions::empty()) {
            Ok(Some(ended)) => ended,
            Ok(None) | Err(Errno::INTR) => continue,
            Err(error) => return Err(error).context("cannot wait for control"),
        };
        if pid.as_raw_nonzero().get().unsigned_abs() == process.id() {
            child.store(0, Ordering::SeqCst);
            return Ok(ExitStatus::from_raw(status.as_raw()));
        }
    }
}

/// A thread that hands SIGTERM and SIGINT on to control.
fn pass_signals_on(child: &Arc<AtomicU32>, is_ending: &Arc<AtomicBool>) -> anyhow::Result<()> {
    let (child, is_ending) = (Arc::clone(child), Arc::clone(is_ending));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            let (Ok(mut term), Ok(mut int)) =
                (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
            else {
                tracing::error!("signals cannot be heard");
                return;
            };
            loop {
                tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
                is_ending.store(true, Ordering::SeqCst);
                terminate(child.load(Ordering::SeqCst));
            }
        });
    })?;
    Ok(())
}

/// Tells control to end; 0 is nobody.
fn terminate(pid: u32) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw)
        && let Err(error) = kill_process(pid, Signal::TERM)
    {
        tracing::warn!(%error, "control cannot be told to end");
    }
}
