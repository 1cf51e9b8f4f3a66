//! The loop: waits for the host, the children and the streams, and lets each have its turn.
//!
//! What to wait for is computed anew from the state before each wait, so it can never be stale.
//! Backpressure is simply not to wait: output of programs is read only while the host takes it.

use crate::agent::Agent;
use crate::arguments::{CHANNEL_FD, Options};
use crate::children;
use crate::host::HostChannel;
use crate::machine::{Failure, Machine};
use crate::program::Program;
use crate::questions::{Answered, Pending, processes, sockets};
use crate::start_error::StartError;
use crate::stop::Stop;
use crate::streams::Streams;
use crate::sys;
use guest_proto::frame::DATA_MAX_BYTES;
use guest_proto::message::{Answer, Ended, Question, StartFailure};
use guest_proto::{
    Channel, Frame, FrameKind, FromGuest, Furnishing, Orders, StreamId, ToGuest, VERSION,
    VERSION_MIN,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::process::Pid;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

/// After [`ToGuest::Shutdown`] programs have this long to end before they are killed.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);

/// Longest wait for the host to take the last word of a virtual machine.
const LAST_WORD_WITHIN: Duration = Duration::from_secs(10);

/// What programs expect to find, whatever the launcher had.
const UMASK: Mode = Mode::WGRP.union(Mode::WOTH);

/// Everything that init knows.
struct Supervisor {
    host: HostChannel,
    /// The guest kernel around it; in a container it is the host's, and nothing to be made of it.
    machine: Option<Machine>,
    children: OwnedFd,
    program: Program,
    streams: Streams,
    pending: Pending,
    /// Epoch of the last `Hello` that was accepted.
    greeted: Option<u32>,
    /// Epoch of the last sleep on disk that is over.
    resumed: Option<u32>,
    shutdown: Option<Shutdown>,
    /// One read of anything.
    buffer: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
enum Shutdown {
    Asked { kill_at: Instant },
    Killed,
}

/// What became ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ready {
    /// The channel to the host.
    Host,
    /// A child changed state.
    Children,
    /// A command of the agent ended.
    Agent,
    /// Output of the program.
    Program,
    /// Somebody connects to `/.fly/api`.
    Listener,
    /// A stream can be read.
    Readable(StreamId),
    /// A stream can be written.
    Writable(StreamId),
    /// The guest has closed a stream of which nothing else was awaited.
    HungUp(StreamId),
}

/// Runs the machine; returns when it is over.
pub(crate) fn run(options: &Options) -> u8 {
    let outcome = Supervisor::new(options).and_then(|mut supervisor| supervisor.run());
    sys::kill_all(libc::SIGKILL);
    match outcome {
        Ok(()) => 0,
        Err(stop) => stop.tell(),
    }
}

/// Runs the machine that a guest kernel becomes; returns it when that was a rehearsal. Else nothing is
/// left but to switch it off.
pub(crate) fn run_machine(host: HostChannel, machine: Machine) -> Option<(HostChannel, Machine)> {
    let mut supervisor = match Supervisor::over(host, Some(machine), None) {
        Ok(supervisor) => supervisor,
        Err(stop) => {
            stop.tell();
            return None;
        }
    };
    let outcome = supervisor.run();
    if let Err(stop) = &outcome {
        stop.tell();
        supervisor.take_down();
    }
    // Who does not take the last word, will not.
    supervisor.host.drain(Instant::now() + LAST_WORD_WITHIN).ok();
    let rehearsed = supervisor.machine.filter(|machine| outcome.is_ok() && machine.is_rehearsal());
    rehearsed.map(|machine| (supervisor.host, machine))
}

impl Supervisor {
    fn new(options: &Options) -> Result<Self, Stop> {
        let host = HostChannel::socket(sys::take_inherited(CHANNEL_FD)?)?;
        let pid1 = options.pid1_fd.map(sys::take_inherited).transpose()?;
        Self::over(host, None, pid1)
    }

    fn over(
        host: HostChannel,
        machine: Option<Machine>,
        pid1: Option<OwnedFd>,
    ) -> Result<Self, Stop> {
        rustix::process::umask(UMASK);
        Ok(Self {
            host,
            machine,
            children: sys::watch_children()?,
            program: Program::new(pid1),
            streams: Streams::default(),
            pending: Pending::default(),
            greeted: None,
            resumed: None,
            shutdown: None,
            buffer: vec![0; DATA_MAX_BYTES],
        })
    }

    fn run(&mut self) -> Result<(), Stop> {
        // The launcher may have written the orders before we ran.
        self.hear_host()?;
        loop {
            self.settle()?;
            self.host.flush()?;
            if self.program.is_told() && self.host.is_flushed() {
                return Ok(());
            }
            for ready in self.wait()? {
                self.serve(ready)?;
            }
            self.keep_time(Instant::now());
            self.hear_frames()?;
        }
    }

    /// What is worth doing without news: read what ended programs left, close what is over.
    fn settle(&mut self) -> Result<(), Stop> {
        for (pid, ended) in self.program.take_ended_commands() {
            self.child_ended(pid, ended);
        }
        let now = Instant::now();
        self.program.settle(&mut self.host, &mut self.buffer);
        self.conclude()?;
        self.streams.settle(&mut self.host, &mut self.buffer, now);
        if self.program.is_told() {
            sys::kill_all(libc::SIGKILL);
        }
        Ok(())
    }

    /// Says the last word about a program that is over: the host may cut the power behind it.
    fn conclude(&mut self) -> Result<(), Stop> {
        if self.program.is_over() {
            if self.machine.is_some() {
                self.host.flush()?;
                self.take_down();
            }
            self.program.tell(&mut self.host);
        }
        Ok(())
    }

    /// Ends the machine of a guest kernel, but for the last word and the power.
    fn take_down(&mut self) {
        self.streams = Streams::default();
        if let Some(machine) = &self.machine {
            machine.take_down(&self.children);
        }
    }

    fn wait(&self) -> Result<Vec<Ready>, Errno> {
        let (host, host_flags) = self.host.interest();
        let takes_output = self.host.takes_output();
        let mut sources = vec![
            (Ready::Host, PollFd::from_borrowed_fd(host, host_flags)),
            (Ready::Children, PollFd::from_borrowed_fd(self.children.as_fd(), PollFlags::IN)),
        ];
        let agent = self.program.agent().and_then(Agent::interest);
        sources.extend(agent.map(|fd| (Ready::Agent, PollFd::new(fd, PollFlags::IN))));
        if takes_output {
            sources.extend(
                self.program.readable().map(|fd| (Ready::Program, PollFd::new(fd, PollFlags::IN))),
            );
        }
        self.streams.add_sources(takes_output, &mut sources);
        let (ready, mut fds): (Vec<_>, Vec<_>) = sources.into_iter().unzip();
        match poll(&mut fds, self.timeout(Instant::now()).as_ref()) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        }
        let is_ready = |fd: &PollFd<'_>| !fd.revents().is_empty();
        Ok(ready
            .into_iter()
            .zip(&fds)
            .filter(|(_, fd)| is_ready(fd))
            .map(|(what, _)| what)
            .collect())
    }

    fn timeout(&self, now: Instant) -> Option<Timespec> {
        let shutdown = match self.shutdown {
            Some(Shutdown::Asked { kill_at }) => Some(kill_at),
            Some(Shutdown::Killed) | None => None,
        };
        let nearest = [self.pending.deadline(), self.streams.deadline(), shutdown]
            .into_iter()
            .flatten()
            .min()?;
        Timespec::try_from(nearest.saturating_duration_since(now)).ok()
    }

    fn serve(&mut self, ready: Ready) -> Result<(), Stop> {
        match ready {
            Ready::Host => self.hear_host()?,
            Ready::Children => self.reap()?,
            // Its news is taken when things settle.
            Ready::Agent => {}
            Ready::Program => self.program.pump(&mut self.host, &mut self.buffer),
            Ready::Listener => self.streams.accept(&mut self.host),
            Ready::Readable(id) => self.streams.read(id, &mut self.host, &mut self.buffer),
            Ready::Writable(id) => self.streams.write(id, &mut self.host),
            Ready::HungUp(id) => self.streams.abandon(id, &mut self.host),
        }
        Ok(())
    }

    fn keep_time(&mut self, now: Instant) {
        for (id, answer) in self.pending.look(now) {
            self.host.send(&FromGuest::Answer { id, answer });
        }
        if let Some(Shutdown::Asked { kill_at }) = self.shutdown
            && kill_at <= now
        {
            self.shutdown = Some(Shutdown::Killed);
            sys::kill_all(libc::SIGKILL);
        }
    }

    /// Collects everybody who ended: children of ours and orphans of the machine.
    fn reap(&mut self) -> Result<(), Stop> {
        children::hear(&self.children)?;
        while let Some((pid, ended)) = children::next_ended()? {
            self.child_ended(pid, ended);
        }
        Ok(())
    }

    fn child_ended(&mut self, pid: Pid, ended: Ended) {
        self.program.child_ended(pid, ended);
        self.streams.child_ended(pid, ended, Instant::now());
        if let Some((id, answer)) = self.pending.child_ended(pid, ended.code) {
            self.host.send(&FromGuest::Answer { id, answer });
        }
    }

    fn hear_host(&mut self) -> Result<(), Stop> {
        self.host.receive(&mut self.buffer)?;
        self.hear_frames()
    }

    fn hear_frames(&mut self) -> Result<(), Stop> {
        while let Some(frame) = self.host.next_frame()? {
            match frame.kind {
                FrameKind::Control => self.hear_control(&frame)?,
                FrameKind::Data { stream, channel: Channel::Stdin | Channel::Stdout } => {
                    self.streams.hear_data(stream, &frame.payload, &mut self.host);
                }
                FrameKind::Data { .. } => {}
            }
        }
        Ok(())
    }

    fn hear_control(&mut self, frame: &Frame) -> Result<(), Stop> {
        match frame.message() {
            Ok(ToGuest::Hello { version, version_min }) => self.greet(version, version_min),
            Ok(message) if self.greeted.is_some() => self.obey(message)?,
            Ok(_) | Err(_) => self.host.send(&FromGuest::Unknown { what: type_of(&frame.payload) }),
        }
        Ok(())
    }

    /// A new epoch is a new host as far as streams go: it knows none of the old.
    fn greet(&mut self, version: u16, version_min: u16) {
        let chosen = version.min(VERSION);
        if chosen < version_min.max(VERSION_MIN) {
            self.greeted = None;
            self.host.send(&FromGuest::HelloRefused { version: VERSION, version_min: VERSION_MIN });
            return;
        }
        let epoch = self.host.epoch();
        if self.greeted.is_some_and(|greeted| greeted != epoch) {
            self.streams.drop_all();
            self.pending.forget();
        }
        self.greeted = Some(epoch);
        let booted = self.program.is_ordered();
        self.host.send(&FromGuest::Hello { version: chosen, booted });
    }

    fn obey(&mut self, message: ToGuest) -> Result<(), Stop> {
        match message {
            ToGuest::Hello { .. } | ToGuest::Clock { .. } => {}
            ToGuest::Furnish(furnishing) => self.furnish(&furnishing)?,
            ToGuest::Resume { entropy_base64 } => self.resume(&entropy_base64)?,
            ToGuest::Thawed => self.go_on()?,
            ToGuest::Boot(orders) => {
                self.boot(*orders);
                self.conclude()?;
                // The host waits for this word; other messages can wait for it.
                self.host.flush()?;
            }
            ToGuest::Signal { signal } => self.program.signal(signal),
            ToGuest::Shutdown => self.shut_down(),
            ToGuest::Exec { stream, .. } if self.holds_programs() => {
                let (reason, message) =
                    (StartFailure::Other, "the machine goes to sleep".to_owned());
                self.host.send(&FromGuest::ExecFailed { stream, reason, message });
            }
            ToGuest::Exec { stream, exec } => {
                self.streams.exec(stream, &exec, self.program.surroundings(), &mut self.host);
            }
            ToGuest::Resize { stream: StreamId::MAIN, rows, cols } => {
                self.program.resize((rows, cols))
            }
            ToGuest::Resize { stream, rows, cols } => self.streams.resize(stream, (rows, cols)),
            ToGuest::End { stream } => self.streams.end(stream, &mut self.host),
            ToGuest::Reset { stream } => self.streams.reset(stream),
            ToGuest::Credit { stream, bytes } => self.streams.grant(stream, bytes),
            ToGuest::Ask { id, question } => self.answer(id, &question),
        }
        Ok(())
    }

    fn furnish(&mut self, furnishing: &Furnishing) -> Result<(), Stop> {
        let Some(machine) = &mut self.machine else {
            self.host.send(&FromGuest::Unknown { what: "furnish".to_owned() });
            return Ok(());
        };
        let furnished = machine.furnish(furnishing, &mut self.host);
        self.machine_done(furnished)
    }

    fn resume(&mut self, entropy_base64: &str) -> Result<(), Stop> {
        let Some(machine) = &mut self.machine else {
            self.host.send(&FromGuest::Unknown { what: "resume".to_owned() });
            return Ok(());
        };
        let epoch = self.host.epoch();
        if self.resumed == Some(epoch) {
            // Said again before the answer came: nobody tells the time any more.
            self.host.send(&FromGuest::Resumed);
            return Ok(());
        }
        let resumed = machine.resume(entropy_base64, &mut self.host);
        self.resumed = Some(epoch);
        self.machine_done(resumed)
    }

    fn go_on(&mut self) -> Result<(), Stop> {
        let Some(machine) = &mut self.machine else { return Ok(()) };
        let goes_on = machine.go_on(&mut self.host);
        self.machine_done(goes_on)
    }

    fn holds_programs(&self) -> bool {
        self.machine.as_ref().is_some_and(Machine::holds_programs)
    }

    fn quiesce(&mut self, id: u64) -> Option<Answered> {
        if let Some(machine) = &mut self.machine {
            machine.hold_programs();
        }
        self.pending.flush(id)
    }

    /// A kernel that could not be made the machine that it is to be is of no use.
    fn machine_done(&mut self, done: Result<(), Failure>) -> Result<(), Stop> {
        done.map_err(|failure| {
            self.host.send(&FromGuest::FurnishFailed { message: failure.to_string() });
            Stop::Unfurnished(failure)
        })
    }

    fn boot(&mut self, orders: Orders) {
        if self.machine.as_ref().is_some_and(|machine| !machine.is_furnished()) {
            let why = "the machine has not been furnished";
            return self.program.refuse(StartError::new(StartFailure::Other, why));
        }
        if !self.program.is_ordered() {
            self.streams.listen(&mut self.host);
            if self.machine.is_some() && orders.pid1 {
                match Machine::second_pid1() {
                    Ok(socket) => self.program.set_pid1(socket),
                    Err(error) => {
                        let doing = "make a second PID 1";
                        return self.program.refuse(StartError::other(doing, error));
                    }
                }
            }
        }
        self.program.boot(orders, &mut self.host);
    }

    fn answer(&mut self, id: u64, question: &Question) {
        let answered = match *question {
            Question::Processes => Some((id, Answer::Processes { processes: processes::list() })),
            Question::Listening => Some((id, Answer::Listening { sockets: sockets::listening() })),
            Question::WaitListening { port, timeout_ms } => {
                self.pending.wait_listening(id, port, timeout_ms, Instant::now())
            }
            Question::Quiesce => self.quiesce(id),
        };
        if let Some((id, answer)) = answered {
            self.host.send(&FromGuest::Answer { id, answer });
        }
    }

    /// The end of the program ends the machine; without one there is nothing to wait for.
    fn shut_down(&mut self) {
        if self.shutdown.is_none() {
            self.shutdown = Some(Shutdown::Asked { kill_at: Instant::now() + SHUTDOWN_GRACE });
            sys::kill_all(libc::SIGTERM);
            self.program.shut_down();
        }
    }
}

/// The `type` of a message that we do not know.
fn type_of(payload: &[u8]) -> String {
    /// Longest `type` repeated.
    const TYPE_MAX_BYTES: usize = 64;
    #[derive(serde::Deserialize)]
    struct Typed {
        r#type: String,
    }
    let mut what =
        serde_json::from_slice(payload).map_or_else(|_| String::new(), |t: Typed| t.r#type);
    what.truncate(what.floor_char_boundary(TYPE_MAX_BYTES));
    what
}
