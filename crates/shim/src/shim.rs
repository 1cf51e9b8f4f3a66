//! The loop: wait for the daemon, the guest, the clock; do what follows.
//!
//! ```text
//! Idle ── Warm ──► Idle, a virtual machine waits
//! Idle ── Prepare ──► Prepared ── Go ──► Booting ── Started ──► Up ── Exited, death, Suspend ──► (exit)
//!   │                    │                  │
//!   └─ daemon gone       └─ daemon gone     └─ start failed, stopped           all: (exit)
//! ```
//!
//! The daemon may come and go as it likes once `Go` has been seen.

use crate::daemon::{Door, fd_of_stdin};
use crate::ending::{self, Ending, conclude_warm};
use crate::run::Run;
use crate::signals::TermSignal;
use engine::{Ahead, Engine as _, Microvm};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use shim_proto::connection::{Connection, Filled};
use shim_proto::{BUILD, FromShim, RunStatus, ToShim};
use std::io;
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

/// Bytes that may wait for a slow daemon. Beyond it the connection is closed: the daemon comes back
/// and asks, and the shim's memory stays small.
const DAEMON_QUEUE_MAX_BYTES: usize = 4 * 1024 * 1024;

/// Time that a stop by SIGTERM gives the program: the default of the API's `kill_timeout`.
const TERM_TIMEOUT: Duration = Duration::from_secs(5);

/// A shim with its connections and, once it has one, its run.
#[derive(Debug)]
pub(crate) struct Shim {
    pub(crate) daemon: Option<Connection>,
    door: Option<Door>,
    term: TermSignal,
    n_connections: u32,
    pub(crate) ahead: Option<Ahead>,
    /// A virtual machine that waits for the run.
    pub(crate) warm: Option<Box<Microvm>>,
    pub(crate) run: Option<Box<Run>>,
}

/// What became readable or writable.
#[derive(Debug, Default)]
struct Ready {
    term: bool,
    knock: bool,
    daemon: bool,
    guest: bool,
    guest_died: bool,
    engine: bool,
}

impl Shim {
    /// A shim that takes its orders from the socket at descriptor 0.
    pub(crate) fn from_stdin() -> io::Result<Self> {
        let term = TermSignal::listen()?;
        let daemon = Connection::new(fd_of_stdin()?, 1)?;
        // What fails ahead of time is tried again, and told, at the run.
        let ahead = Ahead::make().unwrap_or_else(|_later| Ahead::nothing());
        let (door, warm, run, ahead) = (None, None, None, Some(ahead));
        Ok(Self { daemon: Some(daemon), door, term, n_connections: 1, ahead, warm, run })
    }

    /// Serves until the run has ended or there will be none.
    pub(crate) fn serve(mut self) -> io::Result<()> {
        loop {
            if let Some(ending) = self.turn()? {
                return ending::conclude(self, ending);
            }
        }
    }

    /// One round of the loop.
    fn turn(&mut self) -> io::Result<Option<Ending>> {
        let ready = self.wait()?;
        // The guest first: what it said before it died, or before an order came, counts.
        if ready.guest
            && let Some(ending) = self.serve_guest()
        {
            return Ok(Some(ending));
        }
        if ready.guest_died {
            return Ok(Some(Ending::GuestDied));
        }
        if ready.engine {
            self.attend_engine();
        }
        if ready.term {
            self.terminate();
        }
        if ready.knock {
            self.welcome();
        }
        if ready.daemon
            && let Some(ending) = self.serve_daemon()
        {
            return Ok(Some(ending));
        }
        self.drop_slow_daemon();
        if self.daemon.is_none() && self.run.as_ref().is_none_or(|run| !run.has_gone()) {
            return Ok(Some(Ending::Abandoned));
        }
        let now = Instant::now();
        if let Some(ending) = self.keep_time(now) {
            return Ok(Some(ending));
        }
        Ok(self.run.as_mut().and_then(|run| run.check_deadline(now)))
    }

    fn wait(&self) -> io::Result<Ready> {
        let mut fds = Vec::with_capacity(6);
        let term = self.term.as_fd();
        fds.push(PollFd::from_borrowed_fd(term, PollFlags::IN));
        let mut places = [None; 5];
        let mut add = |place: usize, fd, flags| {
            places[place] = Some(fds.len());
            fds.push(PollFd::from_borrowed_fd(fd, flags));
        };
        if let Some(door) = &self.door {
            add(0, door.as_fd(), PollFlags::IN);
        }
        if let Some(daemon) = &self.daemon {
            add(1, daemon.as_fd(), interest(daemon));
        }
        if let Some(guest) = self.run.as_ref().and_then(|run| run.guest.as_ref()) {
            if guest.is_open {
                add(2, guest.channel.as_fd(), interest(&guest.channel));
            }
            add(3, guest.pidfd.as_fd(), PollFlags::IN);
        }
        let of_run = self.run.as_ref().and_then(|run| run.engine.attention());
        let engine = of_run.or_else(|| self.warm.as_ref().and_then(|warm| warm.attention()));
        if let Some(engine) = engine {
            add(4, engine, PollFlags::IN);
        }
        let timeout = self.run.as_ref().and_then(|run| run.deadline()).map(|at| {
            let left = at.saturating_duration_since(Instant::now());
            Timespec::try_from(left).unwrap_or(Timespec { tv_sec: 3600, tv_nsec: 0 })
        });
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let is_ready =
            |place: Option<usize>| place.is_some_and(|at: usize| !fds[at].revents().is_empty());
        let [knock, daemon, guest, guest_died, engine] = places.map(is_ready);
        Ok(Ready { term: is_ready(Some(0)), knock, daemon, guest, guest_died, engine })
    }

    /// Gives the engine its turn.
    fn attend_engine(&mut self) {
        if let Some(run) = &mut self.run {
            run.engine.attend();
        } else if let Some(mut warm) = self.warm.take() {
            warm.attend();
            if warm.is_warm() {
                self.warm = Some(warm);
            } else {
                // Its monitor has ended. The run starts as any other does.
                conclude_warm(Some(warm));
            }
        }
    }

    /// SIGTERM: whoever runs this host wants the machine down, in order.
    fn terminate(&mut self) {
        if !self.term.take() {
            return;
        }
        match &mut self.run {
            Some(run) if run.has_gone() => run.stop(run.stop_signal(), TERM_TIMEOUT),
            _ => self.daemon = None,
        }
    }

    /// A new daemon: it replaces the one before.
    fn welcome(&mut self) {
        let Some(stream) = self.door.as_ref().and_then(Door::accept) else { return };
        self.lose_daemon();
        self.n_connections += 1;
        self.daemon = Connection::new(stream, self.n_connections).ok();
    }

    /// Waits for a new daemon, at most `patience`, and lets it in.
    pub(crate) fn wait_for_knock(&mut self, patience: Duration) {
        let timeout = Timespec::try_from(patience).ok();
        let term = self.term.as_fd();
        let door = self.door.as_ref().map_or(term, |door| door.as_fd());
        let mut fds = [PollFd::from_borrowed_fd(door, PollFlags::IN)];
        if poll(&mut fds, timeout.as_ref()).is_ok_and(|n_ready| n_ready > 0) {
            self.welcome();
        }
    }

    /// Opens the door for later daemons, at a path that only its owner can reach.
    pub(crate) fn open_door(&mut self, path: &std::path::Path) -> io::Result<()> {
        self.door = Some(Door::open(path)?);
        Ok(())
    }

    /// Says something to the daemon, if there is one.
    pub(crate) fn tell(&mut self, message: &FromShim) {
        let Some(daemon) = &mut self.daemon else { return };
        if daemon.send(message).is_err() {
            self.lose_daemon();
        }
    }

    /// The connection is of no use any more: its streams end with it.
    pub(crate) fn lose_daemon(&mut self) {
        if self.daemon.take().is_some()
            && let Some(run) = &mut self.run
        {
            run.part_with_daemon();
        }
    }

    fn drop_slow_daemon(&mut self) {
        if self.daemon.as_ref().is_some_and(|d| d.queued_bytes() > DAEMON_QUEUE_MAX_BYTES) {
            self.lose_daemon();
        }
    }

    /// Reads and answers the daemon.
    fn serve_daemon(&mut self) -> Option<Ending> {
        let daemon = self.daemon.as_mut()?;
        let filled = daemon.flush().and_then(|()| daemon.fill());
        while let Some(daemon) = self.daemon.as_mut() {
            match daemon.next_frame() {
                Ok(Some(frame)) => {
                    if let Some(ending) = self.obey(&frame) {
                        return Some(ending);
                    }
                }
                Ok(None) => break,
                Err(_) => {
                    self.lose_daemon();
                    break;
                }
            }
        }
        if !matches!(filled, Ok(Filled::Some | Filled::Empty)) {
            self.lose_daemon();
        }
        None
    }

    /// Answers the first message of a connection.
    pub(crate) fn greet(&mut self, version: u16, version_min: u16) {
        let chosen = version.min(shim_proto::VERSION);
        if chosen < version_min || chosen < shim_proto::VERSION_MIN {
            self.refuse("hello", "version", "this shim speaks no version that the daemon knows");
            self.lose_daemon();
            return;
        }
        let status = self.run.as_ref().map_or(RunStatus::Idle, |run| run.status());
        let (build, pid) = (BUILD.to_owned(), std::process::id());
        self.tell(&FromShim::Hello { version: chosen, build, pid, status });
    }

    /// Says that an order cannot be carried out.
    pub(crate) fn refuse(&mut self, order: &str, code: &str, message: &str) {
        let (order, code, message) = (order.to_owned(), code.to_owned(), message.to_owned());
        self.tell(&FromShim::Refused { order, code, message });
    }
}

/// Always to read; to write while something waits.
fn interest(connection: &Connection) -> PollFlags {
    match connection.queued_bytes() {
        0 => PollFlags::IN,
        _ => PollFlags::IN | PollFlags::OUT,
    }
}

/// The `type` of an order, for refusals.
pub(crate) const fn order_name(order: &ToShim) -> &'static str {
    match order {
        ToShim::Hello { .. } => "hello",
        ToShim::Warm(_) => "warm",
        ToShim::Prepare(_) => "prepare",
        ToShim::Go => "go",
        ToShim::Stop { .. } => "stop",
        ToShim::Kill => "kill",
        ToShim::Freeze => "freeze",
        ToShim::Thaw => "thaw",
        ToShim::Suspend => "suspend",
        ToShim::Usage { .. } => "usage",
        ToShim::Guest(_) => "guest",
    }
}
