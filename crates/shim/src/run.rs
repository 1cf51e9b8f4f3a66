//! One run: its engine, its guest, its log, and how far it has come.

use crate::api_away;
use crate::ending::Ending;
use crate::log::LogWriter;
use crate::streams::{Farewell, Streams};
use crate::suspend::{Resuming, Suspending};
use engine::{Engine, EngineError};
use guest_proto::message::{Ended, Question};
use guest_proto::{Channel, Frame, FrameKind, Orders, StreamId, ToGuest};
use shim_proto::connection::Connection;
use shim_proto::message::{Timing, Usage};
use shim_proto::{RunSpec, RunStatus};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// Bytes that may wait for the guest to read: orders, and a full window on each stream. More means
/// that the daemon does not keep to the windows, and its connection is closed.
const GUEST_QUEUE_MAX_BYTES: usize = 24 * 1024 * 1024;

/// One run of one machine.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) spec: RunSpec,
    pub(crate) engine: Box<dyn Engine>,
    pub(crate) guest: Option<Guest>,
    pub(crate) streams: Streams,
    pub(crate) log: LogWriter,
    pub(crate) timings: Vec<Timing>,
    pub(crate) init_since: Option<Instant>,
    /// Unix milliseconds at which the program was started.
    pub(crate) started_at: Option<u64>,
    pub(crate) stop: Option<Stop>,
    /// How the program ended, as the guest init said.
    pub(crate) ended: Option<Ended>,
    /// Suspends that were begun.
    pub(crate) n_suspends: u64,
    /// It is on its way to disk.
    pub(crate) suspending: Option<Suspending>,
    /// It is on its way back.
    pub(crate) resuming: Option<Resuming>,
    is_frozen: bool,
    /// Its programs stand still, or its clock has.
    pub(crate) is_quiet: bool,
}

/// The guest init.
#[derive(Debug)]
pub(crate) struct Guest {
    pub(crate) channel: Connection,
    pub(crate) pidfd: OwnedFd,
    pub(crate) pid: u32,
    /// The channel has not been closed by the guest.
    pub(crate) is_open: bool,
}

/// A stop that was asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stop {
    /// When the program's time to obey is over.
    deadline: Instant,
    /// It was, or nobody wanted to wait.
    pub(crate) forced: bool,
}

impl Run {
    pub(crate) fn new(spec: RunSpec, engine: Box<dyn Engine>) -> Self {
        Self {
            engine,
            log: LogWriter::new(spec.log.clone()),
            guest: None,
            streams: Streams::default(),
            timings: Vec::new(),
            init_since: None,
            started_at: None,
            stop: None,
            ended: None,
            n_suspends: 0,
            suspending: None,
            resuming: None,
            is_frozen: false,
            is_quiet: false,
            spec,
        }
    }

    /// Everything that needs no process of the machine.
    pub(crate) fn prepare(&mut self) -> Result<Vec<Timing>, EngineError> {
        self.engine.prepare(&self.spec)
    }

    /// Starts the guest init and gives it its orders.
    pub(crate) fn go(&mut self) -> Result<(), Ending> {
        let mut running = self.engine.go().map_err(|error| Ending::from_engine(&error))?;
        let orders = std::mem::take(&mut self.spec.orders);
        self.timings = std::mem::take(&mut running.timings);
        self.init_since = Some(Instant::now());
        if let Some(resumed) = running.resumed.take() {
            let taken = self.take_up(running, resumed);
            return taken.map_err(|error| Ending::not_started("channel", &error));
        }
        let channel = Connection::new(running.channel, 1);
        let mut channel = channel.map_err(|error| Ending::not_started("channel", &error))?;
        boot(&mut channel, orders).map_err(|error| Ending::not_started("channel", &error))?;
        let (pidfd, pid) = (running.pidfd, running.init_pid);
        self.guest = Some(Guest { channel, pidfd, pid, is_open: true });
        Ok(())
    }

    /// Whether the guest init was started.
    pub(crate) const fn has_gone(&self) -> bool {
        self.guest.is_some()
    }

    /// Whether the program was started.
    pub(crate) const fn is_up(&self) -> bool {
        self.started_at.is_some()
    }

    pub(crate) const fn stop_signal(&self) -> i32 {
        self.spec.stop_signal
    }

    /// What a daemon that connects now is told.
    pub(crate) fn status(&self) -> RunStatus {
        let (run, machine) = (self.spec.run.clone(), self.spec.machine.clone());
        match (self.stop, self.started_at, &self.guest) {
            (Some(_), _, _) => RunStatus::Stopping { run, machine },
            (None, Some(started_at), Some(guest)) => {
                let (init_pid, is_frozen) = (guest.pid, self.is_frozen);
                RunStatus::Up { run, machine, init_pid, started_at, is_frozen }
            }
            _ => RunStatus::Starting { run, machine },
        }
    }

    /// Asks the program to end. A second stop may shorten the time but not lengthen it.
    pub(crate) fn stop(&mut self, signal: i32, timeout: Duration) {
        let deadline = Instant::now() + timeout.min(Duration::from_secs(86_400));
        let deadline = self.stop.map_or(deadline, |before| before.deadline.min(deadline));
        self.suspending = None;
        self.stop = Some(Stop { deadline, forced: false });
        // A frozen program cannot obey. If it cannot be thawed, the deadline ends it.
        if self.is_frozen {
            self.thaw().ok();
        }
        self.end_quiet();
        self.tell_guest(&ToGuest::Signal { signal });
    }

    /// Ends everything now.
    pub(crate) fn kill(&mut self) -> Ending {
        self.stop = Some(Stop { deadline: Instant::now(), forced: true });
        Ending::Killed
    }

    /// When the loop has to look again although nothing happened.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let stop = self.stop.map(|stop| stop.deadline);
        let suspending = self.suspending.map(Suspending::deadline);
        let resuming = self.resuming.as_ref().map(Resuming::next_look);
        [stop, suspending, resuming].into_iter().flatten().min()
    }

    /// Where the time went until now, from `Go`.
    pub(crate) fn take_timings(&mut self) -> Vec<Timing> {
        let mut timings = std::mem::take(&mut self.timings);
        if let Some(since) = self.init_since.take() {
            let us = u32::try_from(since.elapsed().as_micros()).unwrap_or(u32::MAX);
            timings.push(Timing { part: "init".to_owned(), us });
        }
        timings
    }

    /// Whether the program's time to obey is over.
    pub(crate) fn check_deadline(&mut self, now: Instant) -> Option<Ending> {
        self.stop.filter(|stop| stop.deadline <= now).map(|_| self.kill())
    }

    /// Freezes; returns the RAM that the frozen processes hold.
    pub(crate) fn freeze(&mut self) -> Result<u64, EngineError> {
        self.engine.freeze()?;
        self.is_frozen = true;
        Ok(self.engine.usage()?.ram_bytes)
    }

    pub(crate) fn thaw(&mut self) -> Result<(), EngineError> {
        self.engine.thaw()?;
        self.is_quiet |= std::mem::take(&mut self.is_frozen) && self.engine.stops_clock();
        self.end_quiet();
        Ok(())
    }

    /// A guest that stood still, or whose programs do, goes on.
    pub(crate) fn end_quiet(&mut self) {
        if std::mem::take(&mut self.is_quiet) {
            self.tell_guest(&ToGuest::Thawed);
        }
    }

    pub(crate) fn usage(&mut self) -> Option<Usage> {
        if self.has_gone() { self.engine.usage().ok() } else { None }
    }

    /// Says something to the guest init, if it still listens.
    pub(crate) fn tell_guest(&mut self, message: &ToGuest) {
        self.streams.note_to_guest(message);
        self.send_to_guest(message);
        if let Some(id) = self.streams.barrier() {
            self.send_to_guest(&ToGuest::Ask { id, question: Question::Listening });
        }
    }

    fn send_to_guest(&mut self, message: &ToGuest) {
        if let Some(guest) = &mut self.guest
            && guest.channel.send(message).is_err()
        {
            guest.is_open = false;
        }
    }

    /// Passes on what the daemon says to the guest; the error says why not.
    pub(crate) fn relay_to_guest(&mut self, message: &ToGuest) -> Result<(), &'static str> {
        match message {
            ToGuest::Hello { .. } | ToGuest::Boot(_) => return Err("only the shim says this"),
            ToGuest::Ask { id, .. } if Streams::is_own_question(*id) => {
                return Err("the highest bit of a question's id is the shim's");
            }
            ToGuest::Exec { stream, .. } if !self.streams.open_by_daemon(*stream) => {
                return Err("the stream's number is taken, or not the host's to give");
            }
            ToGuest::End { stream }
            | ToGuest::Reset { stream }
            | ToGuest::Resize { stream, .. }
            | ToGuest::Credit { stream, .. }
                // One that has just ended: the news crossed on the way.
                if !self.streams.daemon_sends(*stream) => return Ok(()),
            _ => {}
        }
        self.tell_guest(message);
        Ok(())
    }

    /// Passes on bytes of the daemon; `false` when it sends more than the windows allow.
    pub(crate) fn relay_data_to_guest(&mut self, frame: &Frame) -> bool {
        let FrameKind::Data { stream, .. } = frame.kind else { return true };
        let Some(guest) = &mut self.guest else { return true };
        if !self.streams.daemon_sends(stream) {
            return true;
        }
        if guest.channel.send_frame(frame.kind, &frame.payload).is_err() {
            guest.is_open = false;
        }
        guest.channel.queued_bytes() <= GUEST_QUEUE_MAX_BYTES
    }

    /// Ends what the daemon had open, each stream in the kindest way.
    pub(crate) fn part_with_daemon(&mut self) {
        for farewell in self.streams.abandon() {
            match farewell {
                Farewell::AnswerAway(stream) => self.answer_away(stream),
                Farewell::Reset(stream) => self.tell_guest(&ToGuest::Reset { stream }),
            }
        }
    }

    /// Answers an API connection in the daemon's place.
    pub(crate) fn answer_away(&mut self, stream: StreamId) {
        let kind = FrameKind::Data { stream, channel: Channel::Stdin };
        if let Some(guest) = &mut self.guest
            && guest.channel.send_frame(kind, &api_away::response()).is_err()
        {
            guest.is_open = false;
        }
        self.tell_guest(&ToGuest::End { stream });
        self.streams.answered_away(stream);
    }
}

fn boot(channel: &mut Connection, orders: Orders) -> std::io::Result<()> {
    let (version, version_min) = (guest_proto::VERSION, guest_proto::VERSION_MIN);
    channel.send(&ToGuest::Hello { version, version_min })?;
    channel.send(&ToGuest::Boot(Box::new(orders)))
}
