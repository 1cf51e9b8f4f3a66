//! Keeps the processes of an instance running: control, and the proxy.
//!
//! Each is a *ward*: started, waited for, started again with a growing pause when it keeps failing.
//! Neither waits for the other. One thread hears what ends, signals and the end of a pause, so none
//! of the three can come between the others; it also waits for shims that an earlier control has
//! left: they are its children now.
//!
//! Told SIGTERM, as by `systemctl stop` or `restart`, it ends with control, and machines go on
//! running. Nobody says whether a daemon comes again, so the proxy keeps the doors for a while: its
//! successor takes them over without refusing anybody, and when none comes it closes them. Told
//! SIGINT, as by a person at a terminal, the proxy closes the doors at once.

mod ward;

use crate::options::UpOptions;
use anyhow::Context as _;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, set_child_subreaper, wait};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::Instant;
use tokio::signal::unix::{Signal as Signals, SignalKind, signal};
use ward::{End, Spawn, Ward};

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
        may_end: true,
    });
    let proxy = options.proxy.is_on.then(|| {
        let (args, on_term) = (options.proxy_args(), Signal::HUP);
        Ward::new(Spawn { name: "proxy", program, args, stdin: None, on_term, may_end: false })
    });
    Supervisor { control, proxy }.run()
}

/// Both wards.
struct Supervisor {
    control: Ward,
    proxy: Option<Ward>,
}

/// Signals that it hears.
struct Ears {
    child: Signals,
    term: Signals,
    int: Signals,
}

/// What it has heard.
enum News {
    /// A child may have ended, or a pause is over.
    Change,
    /// It is told to end.
    End(Signal),
}

impl Supervisor {
    fn run(mut self) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            // First: whatever is started from here on is heard when it ends.
            let mut ears = Ears::open().context("signals cannot be heard")?;
            for ward in self.wards() {
                ward.start()?;
            }
            self.keep(&mut ears).await
        })
    }

    /// Control first.
    fn wards(&mut self) -> impl Iterator<Item = &mut Ward> {
        std::iter::once(&mut self.control).chain(&mut self.proxy)
    }

    /// Starts again what ends, until control has ended for good or as it was told.
    async fn keep(&mut self, ears: &mut Ears) -> anyhow::Result<()> {
        loop {
            let due = self.wards().filter_map(|ward| ward.is_due_at()).min();
            if let News::End(signal) = ears.hear(due).await {
                self.wards().for_each(|ward| ward.tell_to_end(signal));
            }
            while let Some((pid, status)) = next_ended()? {
                self.wards().for_each(|ward| ward.notice_end(pid, status));
            }
            if let Some(end) = self.control.end() {
                let untold = self.wards().filter(|ward| !ward.is_ending());
                untold.for_each(|ward| ward.tell_to_end(Signal::INT));
                anyhow::ensure!(
                    end == End::Well,
                    "control cannot run here; its last words say why"
                );
                return Ok(());
            }
            self.wards().for_each(Ward::start_when_due);
        }
    }
}

impl Ears {
    fn open() -> std::io::Result<Self> {
        Ok(Self {
            child: signal(SignalKind::child())?,
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for a signal, at most until something is due.
    async fn hear(&mut self, due: Option<Instant>) -> News {
        let pause = async {
            match due {
                Some(due) => tokio::time::sleep_until(due.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.term.recv() => News::End(Signal::TERM),
            _ = self.int.recv() => News::End(Signal::INT),
            _ = self.child.recv() => News::Change,
            () = pause => News::Change,
        }
    }
}

/// The next child that has ended, if one has.
fn next_ended() -> anyhow::Result<Option<(Pid, ExitStatus)>> {
    match wait(WaitOptions::NOHANG) {
        Ok(ended) => Ok(ended.map(|(pid, status)| (pid, ExitStatus::from_raw(status.as_raw())))),
        Err(Errno::CHILD) => Ok(None),
        Err(error) => Err(error).context("cannot wait for a process"),
    }
}
