//! Keeps the processes of an instance running: control, and the proxy.
//!
//! Each is a *ward*: started, waited for, started again with a growing pause when it keeps failing.
//! Neither waits for the other. A ward's thread sleeps its pause and starts it; this thread waits
//! for whatever ends, also for shims that an earlier control has left: they are its children now.
//!
//! Told SIGTERM, as by `systemctl stop` or `restart`, it ends with control, and machines go on
//! running. Nobody says whether a daemon comes again, so the proxy keeps the doors for a while: its
//! successor takes them over without refusing anybody, and when none comes it closes them. Told
//! SIGINT, as by a person at a terminal, the proxy closes the doors at once.

mod ward;

use crate::control_process::EXIT_FOR_GOOD;
use crate::options::UpOptions;
use anyhow::Context as _;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, set_child_subreaper, wait};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use ward::{Spawn, Ward};

/// Pause before waiting again when there is no child: both wards are pausing.
const NO_CHILD_PAUSE: Duration = Duration::from_millis(10);

/// Tells a ward the number of its supervisor.
const SUPERVISOR_PID_VAR: &str = "DORMOUSE_SUPERVISOR_PID";

/// The supervisor that started this process, when one has.
pub(crate) fn of_this_process() -> Option<u32> {
    std::env::var(SUPERVISOR_PID_VAR).ok()?.parse().ok()
}

/// Runs control and the proxy until SIGTERM or SIGINT; machines go on running.
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
    let socket = OwnedFd::from(listener);
    let control = Ward::new(Spawn {
        name: "control",
        program: program.clone(),
        args: options.control_args(),
        stdin: Some(socket),
        on_term: Signal::TERM,
    });
    let proxy = options.proxy.is_on.then(|| {
        let (args, on_term) = (options.proxy_args(), Signal::HUP);
        Ward::new(Spawn { name: "proxy", program, args, stdin: None, on_term })
    });
    let wards: Vec<Arc<Ward>> = [Some(control), proxy].into_iter().flatten().collect();
    let is_ending = Arc::new(AtomicBool::new(false));
    pass_signals_on(&wards, &is_ending)?;
    for ward in &wards {
        ward.start()?;
    }
    let ended = keep(&wards, &is_ending);
    if !is_ending.load(Ordering::SeqCst) {
        for ward in &wards {
            ward.tell(Signal::TERM);
        }
    }
    ended
}

/// Waits for what ends and starts it again, until control has ended for good or as it was told.
fn keep(wards: &[Arc<Ward>], is_ending: &AtomicBool) -> anyhow::Result<()> {
    loop {
        let (pid, status) = match wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) => (pid, ExitStatus::from_raw(status.as_raw())),
            Ok(None) | Err(Errno::INTR) => continue,
            Err(Errno::CHILD) if is_ending.load(Ordering::SeqCst) => return Ok(()),
            Err(Errno::CHILD) => {
                std::thread::sleep(NO_CHILD_PAUSE);
                continue;
            }
            Err(error) => return Err(error).context("cannot wait for a process"),
        };
        let Some((n, ward)) = wards.iter().enumerate().find(|(_, ward)| ward.has_ended(pid)) else {
            continue;
        };
        let is_control = n == 0;
        if is_control && (is_ending.load(Ordering::SeqCst) || status.success()) {
            return Ok(());
        }
        anyhow::ensure!(
            !is_control || status.code() != Some(i32::from(EXIT_FOR_GOOD)),
            "control cannot run here; its last words say why"
        );
        if is_ending.load(Ordering::SeqCst) {
            continue;
        }
        tracing::error!(%status, "{} ended; starting it again", ward.name());
        Ward::start_again(ward, status)?;
    }
}

/// A thread that hands SIGTERM and SIGINT on to the wards.
fn pass_signals_on(wards: &[Arc<Ward>], is_ending: &Arc<AtomicBool>) -> anyhow::Result<()> {
    let (wards, is_ending) = (wards.to_vec(), Arc::clone(is_ending));
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
                let signal = tokio::select! {
                    _ = term.recv() => Signal::TERM,
                    _ = int.recv() => Signal::INT,
                };
                is_ending.store(true, Ordering::SeqCst);
                for ward in &wards {
                    ward.end(signal);
                }
            }
        });
    })?;
    Ok(())
}
