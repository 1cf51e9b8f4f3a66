//! A command beside the program: one exec stream.
//!
//! ```text
//! runs ──exit──► drains ──all output sent, and closed or LINGER past──► over (ExecEnded)
//!   └──Reset, overrun, new epoch──► killed, gone
//! ```

use crate::agent::Agent;
use crate::environment;
use crate::identity;
use crate::inbox::Inbox;
use crate::output::{Output, Pumped};
use crate::plan::{Plan, Role, search};
use crate::start_error::StartError;
use crate::stdio::{self, Stdio};
use crate::sys;
use guest_proto::message::{Ended, ExecOrders, StartFailure};
use guest_proto::{Channel, Orders, SendWindow};
use rustix::process::Pid;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// After the command's end its output may stay open this long, held by a process it left behind.
const LINGER: Duration = Duration::from_secs(1);

/// End of transmission: what a terminal takes for the end of its input.
const END_OF_INPUT: &[u8] = b"\x04";

/// A command beside the program.
#[derive(Debug)]
pub(crate) struct Session {
    pid: Pid,
    stdin: Option<OwnedFd>,
    /// Input on its way to the command.
    pub(crate) inbox: Inbox,
    outputs: Vec<Output>,
    /// What may still be sent to the host.
    pub(crate) window: SendWindow,
    is_terminal: bool,
    end: Option<(Ended, Instant)>,
}

impl Session {
    /// Starts a command, by the agent if the program has one.
    pub(crate) fn start(
        exec: &ExecOrders,
        machine: &Orders,
        agent: Option<&mut Agent>,
    ) -> Result<Self, StartError> {
        let plan = plan(exec, machine)?;
        let stdio = match exec.tty {
            Some(size) => Stdio::terminal(size, &plan.identity),
            None => Stdio::pipes(exec.has_stdin, &plan.identity),
        };
        let stdio = stdio.map_err(|error| StartError::other("make standard streams", error))?;
        let pid = match agent {
            Some(agent) => agent.start(&plan, &stdio)?,
            None => {
                sys::spawn::spawn(&plan, stdio.theirs()).map_err(|refusal| plan.explain(refusal))?
            }
        };
        let ours = stdio.ours;
        let stderr = ours.stderr.map(|fd| Output::new(Channel::Stderr, fd));
        Ok(Self {
            pid,
            stdin: ours.stdin,
            inbox: Inbox::new(),
            outputs: [Some(Output::new(Channel::Stdout, ours.stdout)), stderr]
                .into_iter()
                .flatten()
                .collect(),
            window: SendWindow::new(),
            is_terminal: exec.tty.is_some(),
            end: None,
        })
    }

    /// The command.
    pub(crate) const fn pid(&self) -> Pid {
        self.pid
    }

    /// The command has ended.
    pub(crate) fn exited(&mut self, ended: Ended, now: Instant) {
        self.end = Some((ended, now + LINGER));
        self.outputs.iter_mut().for_each(Output::start_draining);
        self.stdin = None;
        self.inbox.deafen();
    }

    /// The command has ended; its output may still come.
    pub(crate) const fn has_ended(&self) -> bool {
        self.end.is_some()
    }

    /// How the command ended, once there is nothing more to say.
    pub(crate) fn outcome(&self, now: Instant) -> Option<Ended> {
        let (ended, linger_until) = self.end?;
        let is_over = self.outputs.iter().all(Output::is_closed)
            || (now >= linger_until && self.outputs.iter().all(Output::is_drained));
        is_over.then_some(ended)
    }

    /// When [`outcome`](Self::outcome) is worth asking for without other news.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let (_, linger_until) = self.end?;
        self.outputs.iter().all(Output::is_drained).then_some(linger_until)
    }

    /// Kills the command and whatever stayed in its process group.
    pub(crate) fn kill(&self) {
        if self.end.is_none() {
            match rustix::process::kill_process_group(self.pid, rustix::process::Signal::KILL) {
                // It may have ended without our knowing yet.
                Ok(()) | Err(_) => {}
            }
        }
    }

    /// Descriptors to wait for: output that may be sent, input that waits to be written.
    pub(crate) fn readable(&self) -> impl Iterator<Item = &OwnedFd> {
        let may_send = self.window.left_bytes() > 0;
        self.outputs.iter().filter(move |_| may_send).filter_map(Output::fd)
    }

    /// See [`readable`](Self::readable).
    pub(crate) fn writable(&self) -> Option<&OwnedFd> {
        self.stdin.as_ref().filter(|_| self.inbox.is_waiting())
    }

    /// Reads each output once and hands the bytes to `send`.
    pub(crate) fn pump(&mut self, buffer: &mut [u8], mut send: impl FnMut(Channel, &[u8])) -> bool {
        let mut has_moved = false;
        for output in &mut self.outputs {
            let room = self.window.left_bytes().min(buffer.len());
            if room == 0 || output.is_closed() {
                continue;
            }
            if let Pumped::Bytes(n_bytes) = output.pump(&mut buffer[..room]) {
                self.window.spend(n_bytes);
                send(output.channel, &buffer[..n_bytes]);
                has_moved = true;
            }
        }
        has_moved
    }

    /// Writes waiting input; returns credit to give back.
    pub(crate) fn feed(&mut self) -> Option<u32> {
        let Some(stdin) = &self.stdin else { return self.inbox.discard() };
        let credit = match self.inbox.write_to(stdin) {
            Ok(credit) => credit,
            Err(_nobody_reads) => {
                self.inbox.deafen();
                self.stdin = None;
                return self.inbox.discard();
            }
        };
        if self.inbox.is_over() {
            self.end_input();
        }
        credit
    }

    /// A pipe is closed; a terminal stays open for output and hears the end as its user would type
    /// it.
    fn end_input(&mut self) {
        if let Some(stdin) = self.stdin.take()
            && self.is_terminal
        {
            match rustix::io::write(&stdin, END_OF_INPUT) {
                Ok(_) | Err(_) => {}
            }
        }
    }

    /// New size of its terminal; nothing for a command without one.
    pub(crate) fn resize(&self, size: (u16, u16)) {
        if let Some(upper) = self.outputs.first().and_then(Output::fd).filter(|_| self.is_terminal)
        {
            match stdio::resize(upper, size) {
                Ok(()) | Err(_) => {}
            }
        }
    }
}

fn plan(exec: &ExecOrders, machine: &Orders) -> Result<Plan, StartError> {
    let program = exec
        .argv
        .first()
        .filter(|program| !program.is_empty())
        .ok_or_else(|| StartError::new(StartFailure::EmptyArgv, "the command is empty"))?;
    let user = if exec.user.is_empty() { &machine.user } else { &exec.user };
    let identity = identity::look_up(user)?;
    let env = environment::complete(&machine.env, &exec.env, &identity.home, exec.tty.is_some());
    let dirs = [&exec.working_dir, &machine.working_dir];
    let working_dir = dirs.into_iter().find(|dir| !dir.is_empty()).map_or("/", String::as_str);
    Ok(Plan {
        paths: search(program, env.get("PATH").map_or("", String::as_str)),
        argv: exec.argv.clone(),
        env: environment::lines(env),
        working_dir: working_dir.to_owned(),
        identity,
        has_terminal: exec.tty.is_some(),
        role: Role::Command,
    })
}
