//! All streams beside the log: commands (even numbers) and `/.fly/api` connections (odd numbers).

use crate::api::{self, Connection, Heard};
use crate::host::HostChannel;
use crate::program::{Surroundings, log};
use crate::session::Session;
use crate::supervisor::Ready;
use guest_proto::message::{Ended, ExecOrders, StartFailure};
use guest_proto::stream::STREAMS_MAX;
use guest_proto::{Channel, FromGuest, StreamId};
use rustix::event::{PollFd, PollFlags};
use rustix::process::Pid;
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::time::Instant;

/// All streams beside the log.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    sessions: BTreeMap<StreamId, Session>,
    connections: BTreeMap<StreamId, Connection>,
    listener: Option<OwnedFd>,
    n_accepted: u32,
}

impl Streams {
    fn is_full(&self) -> bool {
        self.sessions.len() + self.connections.len() >= STREAMS_MAX
    }

    /// Opens `/.fly/api`. A machine can do without it.
    pub(crate) fn listen(&mut self, host: &mut HostChannel) {
        match api::listen() {
            Ok(listener) => self.listener = Some(listener),
            Err(sentence) => log(&sentence, host),
        }
    }

    /// Takes a connection to `/.fly/api`; closes it at once when there are too many streams.
    pub(crate) fn accept(&mut self, host: &mut HostChannel) {
        let Some(socket) = self.listener.as_ref().and_then(api::accept) else { return };
        if self.is_full() {
            return;
        }
        let stream = self.next_odd();
        self.connections.insert(stream, Connection::new(socket));
        host.send(&FromGuest::ApiOpened { stream });
    }

    /// The next odd number that no connection has.
    fn next_odd(&mut self) -> StreamId {
        loop {
            let stream = StreamId(self.n_accepted.wrapping_mul(2) | 1);
            self.n_accepted = self.n_accepted.wrapping_add(1);
            if !self.connections.contains_key(&stream) {
                return stream;
            }
        }
    }

    /// Starts a command.
    pub(crate) fn exec(
        &mut self,
        stream: StreamId,
        exec: &ExecOrders,
        surroundings: Option<Surroundings<'_>>,
        host: &mut HostChannel,
    ) {
        let refuse = |host: &mut HostChannel, reason, message: &str| {
            host.send(&FromGuest::ExecFailed { stream, reason, message: message.to_owned() });
        };
        let is_free = stream.0.is_multiple_of(2) && stream != StreamId::MAIN;
        if !is_free || self.sessions.contains_key(&stream) {
            return refuse(host, StartFailure::Other, "the stream's number is not free");
        }
        if self.is_full() {
            return refuse(host, StartFailure::Other, "too many streams are open in this machine");
        }
        let Some(Surroundings { orders, agent }) = surroundings else {
            return refuse(host, StartFailure::Other, "the machine has not been started yet");
        };
        match Session::start(exec, orders, agent) {
            Ok(session) => {
                let pid = session.pid().as_raw_pid().unsigned_abs();
                host.send(&FromGuest::ExecStarted { stream, pid });
                self.sessions.insert(stream, session);
            }
            Err(error) => refuse(host, error.reason, &error.message),
        }
    }

    /// A child has ended: it may have been a command.
    pub(crate) fn child_ended(&mut self, pid: Pid, ended: Ended, now: Instant) {
        if let Some(session) = self.sessions.values_mut().find(|session| session.pid() == pid) {
            session.exited(ended, now);
        }
    }

    /// Bytes of the host. A host that sends more than its credit loses the stream.
    pub(crate) fn hear_data(&mut self, stream: StreamId, bytes: &[u8], host: &mut HostChannel) {
        let inbox = match (self.sessions.get_mut(&stream), self.connections.get_mut(&stream)) {
            (Some(session), _) => &mut session.inbox,
            (None, Some(connection)) => &mut connection.inbox,
            // It may just have ended.
            (None, None) => return,
        };
        match inbox.receive(bytes) {
            Ok(()) => self.write(stream, host),
            Err(_overrun) => self.abandon(stream, host),
        }
    }

    /// The host sends no more on the stream.
    pub(crate) fn end(&mut self, stream: StreamId, host: &mut HostChannel) {
        if let Some(session) = self.sessions.get_mut(&stream) {
            session.inbox.end();
        } else if let Some(connection) = self.connections.get_mut(&stream) {
            connection.inbox.end();
        }
        self.write(stream, host);
    }

    /// The host drops the stream.
    pub(crate) fn reset(&mut self, stream: StreamId) {
        if let Some(session) = self.sessions.remove(&stream) {
            session.kill();
        }
        self.connections.remove(&stream);
    }

    /// Drops the stream and tells the host.
    pub(crate) fn abandon(&mut self, stream: StreamId, host: &mut HostChannel) {
        self.reset(stream);
        host.send(&FromGuest::Reset { stream });
    }

    /// The host drops all streams.
    pub(crate) fn drop_all(&mut self) {
        self.sessions.values().for_each(Session::kill);
        self.sessions.clear();
        self.connections.clear();
    }

    /// The host takes more bytes of the stream.
    pub(crate) fn grant(&mut self, stream: StreamId, n_bytes: u32) {
        if let Some(session) = self.sessions.get_mut(&stream) {
            session.window.grant(n_bytes);
        } else if let Some(connection) = self.connections.get_mut(&stream) {
            connection.window.grant(n_bytes);
        }
    }

    /// New size of a command's terminal.
    pub(crate) fn resize(&self, stream: StreamId, size: (u16, u16)) {
        if let Some(session) = self.sessions.get(&stream) {
            session.resize(size);
        }
    }

    /// Adds what the streams wait for.
    pub(crate) fn add_sources<'a>(
        &'a self,
        host_takes_output: bool,
        sources: &mut Vec<(Ready, PollFd<'a>)>,
    ) {
        if let Some(listener) = &self.listener {
            sources.push((Ready::Listener, PollFd::new(listener, PollFlags::IN)));
        }
        for (id, session) in &self.sessions {
            if host_takes_output {
                let readable = session.readable();
                sources.extend(
                    readable.map(|fd| (Ready::Readable(*id), PollFd::new(fd, PollFlags::IN))),
                );
            }
            let writable = session.writable();
            sources
                .extend(writable.map(|fd| (Ready::Writable(*id), PollFd::new(fd, PollFlags::OUT))));
        }
        for (id, connection) in &self.connections {
            if let Some((socket, reads, writes)) = connection.interest(host_takes_output) {
                let mut flags = PollFlags::empty();
                flags.set(PollFlags::IN, reads);
                flags.set(PollFlags::OUT, writes);
                let ready = match (reads, writes) {
                    (true, _) => Ready::Readable(*id),
                    (false, true) => Ready::Writable(*id),
                    (false, false) => Ready::HungUp(*id),
                };
                sources.push((ready, PollFd::new(socket, flags)));
            }
        }
    }

    /// When to [`settle`](Self::settle) without other news.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.sessions.values().filter_map(Session::deadline).min()
    }

    /// A stream has something for the host.
    pub(crate) fn read(&mut self, stream: StreamId, host: &mut HostChannel, buffer: &mut [u8]) {
        if let Some(session) = self.sessions.get_mut(&stream) {
            if host.takes_output() {
                session.pump(buffer, |channel, bytes| host.send_data(stream, channel, bytes));
            }
        } else if let Some(connection) = self.connections.get_mut(&stream) {
            match connection.hear(buffer) {
                Heard::Bytes(n_bytes) => host.send_data(stream, Channel::Stdin, &buffer[..n_bytes]),
                Heard::Nothing => {}
                Heard::End => host.send(&FromGuest::End { stream }),
                Heard::Broken => self.abandon(stream, host),
            }
            self.write(stream, host);
        }
    }

    /// A stream takes bytes of the host.
    pub(crate) fn write(&mut self, stream: StreamId, host: &mut HostChannel) {
        let credit = if let Some(session) = self.sessions.get_mut(&stream) {
            session.feed()
        } else if let Some(connection) = self.connections.get_mut(&stream) {
            match connection.tell() {
                Ok(credit) => credit,
                Err(_broken) => return self.abandon(stream, host),
            }
        } else {
            return;
        };
        if let Some(bytes) = credit {
            host.send(&FromGuest::Credit { stream, bytes });
        }
    }

    /// Reads what ended commands left, and closes what is over.
    pub(crate) fn settle(&mut self, host: &mut HostChannel, buffer: &mut [u8], now: Instant) {
        self.sessions.retain(|id, session| {
            while session.has_ended()
                && host.takes_output()
                && session.pump(buffer, |channel, bytes| host.send_data(*id, channel, bytes))
            {
            }
            match session.outcome(now) {
                Some(ended) => {
                    host.send(&FromGuest::ExecEnded { stream: *id, ended });
                    false
                }
                None => true,
            }
        });
        self.connections.retain(|_, connection| !connection.is_over());
    }
}
