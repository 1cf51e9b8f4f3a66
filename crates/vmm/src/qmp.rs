//! The QEMU Machine Protocol: a line of JSON for each command, answer and event.
//!
//! * [`Qmp`]: a session; one command at a time, each with a deadline.
//! * `commands`: the commands that we use, with their types.
//! * `lines`: lines in and out, with descriptors beside them.
//!
//! Events come at any time and are kept, in order, until somebody takes them. Answers come in the order of
//! their commands, so neither has a number: QEMU reads commands byte by byte, each with several system
//! calls, and their length is a good part of the time that they take.
//!
//! Source: QEMU's `docs/interop/qmp-spec.txt` and `docs/interop/qemu-qmp-ref`, version 7.2.

mod commands;
mod error;
mod lines;

pub use commands::{BlockNode, Capability, FdSet, Migration, RunState, Swap};
pub use error::QmpError;

use lines::Lines;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Instant;

/// Events that are kept. A monitor that sends more before anybody takes them is out of its mind, or its
/// guest's.
const EVENTS_MAX: usize = 256;

/// A session with a QEMU.
#[derive(Debug)]
pub struct Qmp {
    lines: Lines,
    version: Version,
    events: VecDeque<Event>,
    /// Answers that are still to come to commands that were given up.
    n_late: u32,
}

/// Version of a QEMU: what it has saved, only the same one reads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct Version {
    /// First number.
    pub major: u32,
    /// Second number.
    pub minor: u32,
    /// Third number.
    pub micro: u32,
    /// What its distributor adds, e.g. `Debian 1:7.2+dfsg-7+deb12u18`.
    #[serde(skip)]
    pub package: String,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its name, e.g. `SHUTDOWN`.
    pub name: String,
    /// What comes with it; `null` when nothing does.
    pub data: Value,
}

/// A line from QEMU.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Said {
    Greeting {
        #[serde(rename = "QMP")]
        qmp: Greeting,
    },
    Event {
        event: String,
        #[serde(default)]
        data: Value,
    },
    Return {
        r#return: Value,
    },
    Error {
        error: Refusal,
    },
}

#[derive(Debug, Deserialize)]
struct Greeting {
    version: GreetingVersion,
}

#[derive(Debug, Deserialize)]
struct GreetingVersion {
    qemu: Version,
    package: String,
}

#[derive(Debug, Deserialize)]
struct Refusal {
    class: String,
    desc: String,
}

impl Qmp {
    /// Takes over the socket of a QEMU that has just been started, and agrees with it on the protocol.
    ///
    /// # Errors
    /// [`QmpError::Garbage`] when the other side is no QEMU, else as any command.
    pub fn connect(stream: UnixStream, deadline: Instant) -> Result<Self, QmpError> {
        const WHAT: &str = "qmp_capabilities";
        let mut lines = Lines::new(stream)?;
        let version = match parse(&lines.next(WHAT, deadline)?)? {
            Said::Greeting { qmp: Greeting { version } } => {
                Version { package: version.package, ..version.qemu }
            }
            _ => return Err(QmpError::Garbage { what: "no greeting".to_owned() }),
        };
        let mut session = Self { lines, version, events: VecDeque::new(), n_late: 0 };
        session.execute(WHAT, None, &[], deadline)?;
        Ok(session)
    }

    /// Version of the QEMU.
    #[must_use]
    pub const fn version(&self) -> &Version {
        &self.version
    }

    /// Runs a command, `fds` with it, and waits for its answer.
    ///
    /// # Errors
    /// [`QmpError::Refused`] when QEMU does not do it. [`QmpError::Deadline`] when it has not answered in
    /// time: it may still do it, and the session goes on. All others end the session.
    fn execute(
        &mut self,
        command: &'static str,
        arguments: Option<Value>,
        fds: &[BorrowedFd<'_>],
        deadline: Instant,
    ) -> Result<Value, QmpError> {
        let line = match arguments {
            Some(arguments) => json!({"execute": command, "arguments": arguments}),
            None => json!({"execute": command}),
        };
        self.lines.send(command, &line.to_string(), fds, deadline)?;
        loop {
            let line = self.lines.next(command, deadline).inspect_err(|error| {
                self.n_late += u32::from(matches!(error, QmpError::Deadline { .. }));
            })?;
            if let Some(answer) = self.answer_in(&line)? {
                return answer.map_err(|Refusal { class, desc }| QmpError::Refused {
                    command,
                    class,
                    message: desc,
                });
            }
        }
    }

    /// The next event, if there is one without waiting. Call it until there is none whenever the socket
    /// is readable.
    ///
    /// # Errors
    /// [`QmpError::Closed`] once QEMU has ended; all ends the session.
    pub fn next_event(&mut self) -> Result<Option<Event>, QmpError> {
        while self.events.is_empty() {
            let Some(line) = self.lines.next_if_there()? else { return Ok(None) };
            self.hear(&line)?;
        }
        Ok(self.events.pop_front())
    }

    /// Waits for the event `name`; those before it are dropped.
    ///
    /// # Errors
    /// [`QmpError::Deadline`] when it did not come in time, else as [`Qmp::next_event`].
    pub fn wait_for(&mut self, name: &'static str, deadline: Instant) -> Result<Event, QmpError> {
        loop {
            while let Some(event) = self.events.pop_front() {
                if event.name == name {
                    return Ok(event);
                }
            }
            let line = self.lines.next(name, deadline)?;
            self.hear(&line)?;
        }
    }

    /// A line that no command waits for.
    fn hear(&mut self, line: &[u8]) -> Result<(), QmpError> {
        match self.answer_in(line)? {
            None => Ok(()),
            Some(_) => Err(answer_to_nothing()),
        }
    }

    /// The answer to the last command, if a line is one: not an event, which is kept, nor one to a
    /// command that was given up.
    fn answer_in(&mut self, line: &[u8]) -> Result<Option<Result<Value, Refusal>>, QmpError> {
        let answer = match parse(line)? {
            Said::Event { event, data } => return self.keep(event, data).map(|()| None),
            Said::Return { r#return } => Ok(r#return),
            Said::Error { error } => Err(error),
            Said::Greeting { .. } => return Err(answer_to_nothing()),
        };
        let is_late = self.n_late > 0;
        self.n_late = self.n_late.saturating_sub(1);
        Ok((!is_late).then_some(answer))
    }

    fn keep(&mut self, name: String, data: Value) -> Result<(), QmpError> {
        if self.events.len() == EVENTS_MAX {
            return Err(QmpError::Garbage { what: format!("more than {EVENTS_MAX} events") });
        }
        self.events.push_back(Event { name, data });
        Ok(())
    }
}

impl AsFd for Qmp {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.lines.as_fd()
    }
}

fn answer_to_nothing() -> QmpError {
    QmpError::Garbage { what: "an answer to nothing".to_owned() }
}

fn parse(line: &[u8]) -> Result<Said, QmpError> {
    serde_json::from_slice(line)
        .map_err(|error| QmpError::Garbage { what: format!("a line that is none of QMP: {error}") })
}

#[cfg(test)]
mod tests;
