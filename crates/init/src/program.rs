//! The program of the machine, from its orders to the last word about it.
//!
//! ```text
//! awaited ──Boot──► runs ──exit──► ends ──its output sent──► over (Exited) ──► told
//!    │        └─cannot start────────────────────────────────► over (StartFailed) ──► told
//!    └──Shutdown────────────────────────────────────────────► over (nothing) ──► told
//! ```

use crate::agent::Agent;
use crate::boot::{self, Started};
use crate::host::HostChannel;
use crate::output::{Output, Pumped};
use crate::start_error::StartError;
use crate::stdio;
use crate::sys;
use guest_proto::message::Ended;
use guest_proto::{Channel, FromGuest, Orders, StreamId};
use rustix::process::Pid;
use std::os::fd::OwnedFd;

/// The program of the machine.
#[derive(Debug)]
pub(crate) struct Program {
    state: State,
    /// Kept for commands, which run in the same surroundings.
    orders: Option<Box<Orders>>,
    pid1: Option<OwnedFd>,
}

/// Where commands run: as the program does.
#[derive(Debug)]
pub(crate) struct Surroundings<'a> {
    /// The program's orders.
    pub(crate) orders: &'a Orders,
    /// Who starts them, if not init itself.
    pub(crate) agent: Option<&'a mut Agent>,
}

#[derive(Debug)]
enum State {
    Awaited,
    Runs(Started),
    Ends {
        started: Started,
        ended: Ended,
    },
    /// The last word is to be said.
    Over(Option<FromGuest>),
    Told(Option<FromGuest>),
}

impl Program {
    pub(crate) const fn new(pid1: Option<OwnedFd>) -> Self {
        Self { state: State::Awaited, orders: None, pid1 }
    }

    /// Starts the program; a repeat is answered as the first time.
    pub(crate) fn boot(&mut self, orders: Orders, host: &mut HostChannel) {
        if matches!(self.state, State::Awaited) {
            self.state = self.start(&orders, host);
            self.orders = Some(Box::new(orders));
        }
        match &self.state {
            State::Awaited | State::Over(_) | State::Told(None) => {}
            State::Runs(started) | State::Ends { started, .. } => {
                host.send(&FromGuest::Started { pid: started.pid.as_raw_pid().unsigned_abs() });
            }
            State::Told(Some(word)) => host.send(word),
        }
    }

    fn start(&mut self, orders: &Orders, host: &mut HostChannel) -> State {
        let started = boot::write_files(orders).and_then(|failures| {
            failures.iter().for_each(|failure| log(failure, host));
            boot::start(orders, self.pid1.take())
        });
        match started {
            Ok(started) => State::Runs(started),
            Err(error) => over(error),
        }
    }

    /// Does not start the program; nothing when it has been ordered already.
    pub(crate) fn refuse(&mut self, error: StartError) {
        if matches!(self.state, State::Awaited) {
            self.state = over(error);
        }
    }

    /// The socket to a process that waits to become a program which wants to be PID 1.
    pub(crate) fn set_pid1(&mut self, socket: OwnedFd) {
        self.pid1 = Some(socket);
    }

    /// Where commands run, once the orders have come.
    pub(crate) fn surroundings(&mut self) -> Option<Surroundings<'_>> {
        let orders = self.orders.as_deref()?;
        let agent = match &mut self.state {
            State::Runs(started) | State::Ends { started, .. } => started.agent.as_mut(),
            State::Awaited | State::Over(_) | State::Told(_) => None,
        };
        Some(Surroundings { orders, agent })
    }

    /// The agent, if commands have one.
    pub(crate) const fn agent(&self) -> Option<&Agent> {
        match &self.state {
            State::Runs(started) | State::Ends { started, .. } => started.agent.as_ref(),
            State::Awaited | State::Over(_) | State::Told(_) => None,
        }
    }

    /// Commands of the agent that have ended since the last call.
    pub(crate) fn take_ended_commands(&mut self) -> Vec<(Pid, Ended)> {
        let agent = self.surroundings().and_then(|surroundings| surroundings.agent);
        agent.map(Agent::take_ended).unwrap_or_default()
    }

    /// The orders have come.
    pub(crate) const fn is_ordered(&self) -> bool {
        self.orders.is_some()
    }

    /// All but the last word about the program has been queued for the host.
    pub(crate) const fn is_over(&self) -> bool {
        matches!(self.state, State::Over(_))
    }

    /// The last word about the program has been queued for the host.
    pub(crate) const fn is_told(&self) -> bool {
        matches!(self.state, State::Told(_))
    }

    /// Signals the program; nothing when it does not run.
    pub(crate) fn signal(&self, signal: i32) {
        if let State::Runs(started) = &self.state {
            match sys::kill(started.pid, signal) {
                // It may have ended without our knowing yet, or the number is none.
                Ok(()) | Err(_) => {}
            }
        }
    }

    /// Without a program there is nothing to wait for.
    pub(crate) fn shut_down(&mut self) {
        if matches!(self.state, State::Awaited) {
            self.state = State::Over(None);
        }
    }

    /// New size of its terminal; nothing for a program without one.
    pub(crate) fn resize(&self, size: (u16, u16)) {
        if let (State::Runs(started), Some(true)) =
            (&self.state, self.orders.as_ref().map(|o| o.tty))
            && let Some(upper) = started.outputs.first().and_then(Output::fd)
        {
            match stdio::resize(upper, size) {
                Ok(()) | Err(_) => {}
            }
        }
    }

    /// A child has ended: it may have been the program.
    pub(crate) fn child_ended(&mut self, pid: Pid, ended: Ended) {
        let state = std::mem::replace(&mut self.state, State::Awaited);
        self.state = match state {
            State::Runs(mut started) if started.pid == pid => {
                started.outputs.iter_mut().for_each(Output::start_draining);
                State::Ends { started, ended }
            }
            other => other,
        };
    }

    /// Output to wait for.
    pub(crate) fn readable(&self) -> impl Iterator<Item = &OwnedFd> {
        let outputs = match &self.state {
            State::Runs(started) | State::Ends { started, .. } => started.outputs.as_slice(),
            State::Awaited | State::Over(_) | State::Told(_) => &[],
        };
        outputs.iter().filter_map(Output::fd)
    }

    /// Reads each output once, as far as the host takes it.
    pub(crate) fn pump(&mut self, host: &mut HostChannel, buffer: &mut [u8]) {
        let (State::Runs(started) | State::Ends { started, .. }) = &mut self.state else { return };
        for output in &mut started.outputs {
            if host.takes_output()
                && let Pumped::Bytes(n_bytes) = output.pump(buffer)
            {
                host.send_data(StreamId::MAIN, output.channel, &buffer[..n_bytes]);
            }
        }
    }

    /// Reads what an ended program left; it is over when all of it has been sent.
    pub(crate) fn settle(&mut self, host: &mut HostChannel, buffer: &mut [u8]) {
        let State::Ends { ended, .. } = self.state else { return };
        while host.takes_output() && !self.is_drained() {
            self.pump(host, buffer);
        }
        if self.is_drained() {
            self.state = State::Over(Some(FromGuest::Exited(ended)));
        }
    }

    /// Says the last word.
    pub(crate) fn tell(&mut self, host: &mut HostChannel) {
        if let State::Over(word) = &mut self.state {
            let word = word.take();
            word.iter().for_each(|word| host.send(word));
            self.state = State::Told(word);
        }
    }

    fn is_drained(&self) -> bool {
        match &self.state {
            State::Runs(started) | State::Ends { started, .. } => {
                started.outputs.iter().all(Output::is_drained)
            }
            State::Awaited | State::Over(_) | State::Told(_) => true,
        }
    }
}

fn over(StartError { reason, message }: StartError) -> State {
    State::Over(Some(FromGuest::StartFailed { reason, message }))
}

/// A line of init's own in the machine's log.
pub(crate) fn log(sentence: &str, host: &mut HostChannel) {
    let line = format!("dormouse-init: {sentence}\n");
    host.send_data(StreamId::MAIN, Channel::Stderr, line.as_bytes());
}
