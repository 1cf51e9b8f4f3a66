//! Commands beside a program that is PID 1 of a child namespace.
//!
//! They belong where the program is: in its pid namespace, because systemd serves root only when
//! it sees its pid, in its cgroup and among its mounts. Init cannot enter those by `setns`, which
//! its system call filter refuses and for which it lacks the right, and must not get either: what
//! init has, a program that tricks it has. So the process that becomes the program leaves a fork
//! of itself behind, the agent, which forks a command each time init asks. The kernel ends it with
//! the program or with init. It dies of any signal, as a shutting down systemd expects of all.
//!
//! It stays in the cgroup that it began in. systemd moves everybody there into its `init.scope` and
//! leaves them alone until it shuts down: where `runc exec` puts commands, too.
//!
//! ```text
//! init → agent    one byte and a socket, on which the plan follows (see crate::hand_over)
//! agent → init    Report as JSON, when a command has ended
//! ```
//!
//! The machine's root may kill the agent, or stop it. Then its commands are killed, and later ones
//! refused until the machine starts again: nobody else could bring an agent back.

use crate::hand_over::{self, NotTaken, hand_over};
use crate::plan::{Plan, Refusal, Stage};
use crate::start_error::StartError;
use crate::stdio::Stdio;
use crate::{EXIT_SOFTWARE, arguments, children, sys};
use guest_proto::message::{Ended, StartFailure};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};
use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};

/// A command has ended.
#[derive(Debug, Serialize, Deserialize)]
struct Report {
    /// Its pid in its own namespace.
    pid: u32,
    ended: Ended,
}

/// A report is two or three small numbers.
const REPORT_MAX_BYTES: usize = 256;

/// Comes with the socket on which a plan follows.
const START: u8 = b'S';

/// Init's side.
#[derive(Debug)]
pub(crate) struct Agent {
    /// `None` once it is lost.
    socket: Option<OwnedFd>,
    /// Running commands: pid in their namespace, pid in ours. As many as streams, and some that
    /// were killed just now.
    commands: BTreeMap<u32, Pid>,
    /// Ends that nobody has asked for yet.
    ended: Vec<(Pid, Ended)>,
}

impl Agent {
    /// The agent behind this socket; without one it is lost from the beginning.
    pub(crate) const fn new(socket: Option<OwnedFd>) -> Self {
        Self { socket, commands: BTreeMap::new(), ended: Vec::new() }
    }

    /// Starts a command; returns its pid.
    pub(crate) fn start(&mut self, plan: &Plan, stdio: &Stdio) -> Result<Pid, StartError> {
        // An agent whose reports nobody reads would wait for that, and not hear us.
        self.listen();
        match self.ask(plan, stdio) {
            Ok(taken) => {
                self.commands.insert(taken.inner_pid, taken.pid);
                Ok(taken.pid)
            }
            Err(NotTaken::Refused(refusal)) => Err(plan.explain(refusal)),
            Err(NotTaken::Lost(_)) => {
                self.give_up();
                Err(lost())
            }
        }
    }

    fn ask(&self, plan: &Plan, stdio: &Stdio) -> Result<hand_over::Taken, NotTaken> {
        let agent = self.socket.as_ref().ok_or(Errno::PIPE)?;
        let flags = SocketFlags::CLOEXEC;
        let (ours, theirs) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        let rights = [theirs.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(&rights));
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        rustix::net::sendmsg(agent, &[IoSlice::new(&[START])], &mut control, flags)?;
        drop(theirs);
        hand_over(ours, plan, stdio, None)
    }

    /// What to wait for.
    pub(crate) const fn interest(&self) -> Option<&OwnedFd> {
        self.socket.as_ref()
    }

    /// Commands that have ended since the last call, by our pids.
    pub(crate) fn take_ended(&mut self) -> Vec<(Pid, Ended)> {
        self.listen();
        std::mem::take(&mut self.ended)
    }

    fn listen(&mut self) {
        let mut buffer = [0; REPORT_MAX_BYTES];
        while let Some(socket) = &self.socket {
            match rustix::net::recv(socket, &mut buffer, RecvFlags::DONTWAIT) {
                Ok((n_bytes, _)) if n_bytes > 0 => match serde_json::from_slice(&buffer[..n_bytes])
                {
                    Ok(report) => self.note(&report),
                    Err(_no_report) => self.give_up(),
                },
                Err(Errno::AGAIN | Errno::INTR) => return,
                Ok(_) | Err(_) => self.give_up(),
            }
        }
    }

    fn note(&mut self, report: &Report) {
        // Others are forks that could not become a command.
        if let Some(pid) = self.commands.remove(&report.pid) {
            self.ended.push((pid, report.ended));
        }
    }

    /// Nobody would tell how the commands end, so that is decided here.
    fn give_up(&mut self) {
        self.socket = None;
        for pid in std::mem::take(&mut self.commands).into_values() {
            match rustix::process::kill_process_group(pid, Signal::KILL) {
                // It may have ended by itself.
                Ok(()) | Err(_) => {}
            }
            self.ended.push((pid, Ended { code: None, signal: Some(Signal::KILL.as_raw()) }));
        }
    }
}

fn lost() -> StartError {
    StartError::new(
        StartFailure::Other,
        "the process that starts commands beside the program has ended or does not answer; it is \
         back when the machine is restarted",
    )
}

/// Leaves an agent behind; returns init's end of the socket to it.
pub(crate) fn fork() -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC;
    let (init_end, agent_end) =
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    if sys::fork()?.is_some() {
        return Ok(init_end);
    }
    drop(init_end);
    let code = match serve(&agent_end) {
        Ok(()) => 0,
        Err(_) => EXIT_SOFTWARE,
    };
    sys::exit_now(code)
}

/// The agent's side: serves until init closes the socket.
fn serve(socket: &OwnedFd) -> Result<(), Errno> {
    // The program's socket: init waits for the end of file on it.
    drop(sys::take_inherited(arguments::CHANNEL_FD));
    let ends = sys::watch_children()?;
    loop {
        let mut fds = [PollFd::new(socket, PollFlags::IN), PollFd::new(&ends, PollFlags::IN)];
        match poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
        let [is_asked, has_news] = fds.map(|fd| !fd.revents().is_empty());
        if has_news {
            report_ended(socket, &ends)?;
        }
        if is_asked {
            match receive_request(socket)? {
                Some(request) => start(request),
                None => return Ok(()),
            }
        }
    }
}

fn report_ended(socket: &OwnedFd, ends: &OwnedFd) -> Result<(), Errno> {
    children::hear(ends)?;
    while let Some((pid, ended)) = children::next_ended()? {
        let report = Report { pid: pid.as_raw_pid().unsigned_abs(), ended };
        let text = serde_json::to_vec(&report).map_err(|_numbers_are_text| Errno::INVAL)?;
        rustix::net::send(socket, &text, SendFlags::NOSIGNAL)?;
    }
    Ok(())
}

/// The socket on which a plan follows; `None` when init asks no more.
fn receive_request(socket: &OwnedFd) -> Result<Option<OwnedFd>, Errno> {
    let mut start = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC;
    rustix::net::recvmsg(socket, &mut [IoSliceMut::new(&mut start)], &mut control, flags)?;
    Ok(control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut rights) => rights.next(),
        _ => None,
    }))
}

/// Forks a command. Init hears what went wrong on its socket, or its end of file.
fn start(socket: OwnedFd) {
    let Ok(plan) = hand_over::receive(socket) else { return };
    match sys::fork() {
        Ok(Some(_command)) => {}
        Ok(None) => sys::exit_now(plan.become_it(None)),
        Err(errno) => {
            plan.refuse(Refusal { stage: Stage::Process, errno: errno.raw_os_error() });
        }
    }
}
