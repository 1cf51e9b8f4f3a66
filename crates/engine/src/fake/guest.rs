//! The process that plays guest init and program in one.

use guest_proto::message::{Answer, Ended, Question};
use guest_proto::{Channel, FrameKind, FromGuest, StreamId, ToGuest};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use shim_proto::connection::{Connection, Filled};
use shim_proto::spec::FakeSpec;
use std::io;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

struct Guest<'a> {
    connection: Connection,
    knobs: &'a FakeSpec,
    is_booted: bool,
    ends_at: Option<Instant>,
    /// The program has ended, and so does the guest.
    is_over: bool,
}

/// Plays until the program ends or the host hangs up.
pub(super) fn play(end: UnixStream, knobs: &FakeSpec) -> io::Result<()> {
    let connection = Connection::new(end, 1)?;
    let mut guest = Guest { connection, knobs, is_booted: false, ends_at: None, is_over: false };
    while !guest.is_over {
        guest.wait()?;
        if guest.ends_at.is_some_and(|at| Instant::now() >= at) {
            let ended = Ended { code: Some(knobs.exit_code), signal: None };
            guest.end(ended)?;
            break;
        }
        if guest.connection.fill()? == Filled::Closed {
            break;
        }
        while let Some(frame) = guest.connection.next_frame().map_err(io::Error::other)? {
            if frame.kind == FrameKind::Control {
                guest.handle(frame.message().map_err(io::Error::other)?)?;
            }
        }
    }
    Ok(())
}

impl Guest<'_> {
    /// Waits for the host or for the end of the program.
    fn wait(&self) -> io::Result<()> {
        let left = self.ends_at.map(|at| at.saturating_duration_since(Instant::now()));
        let timeout = left.and_then(|left| Timespec::try_from(left).ok());
        poll(&mut [PollFd::new(&self.connection, PollFlags::IN)], timeout.as_ref())?;
        Ok(())
    }

    fn handle(&mut self, message: ToGuest) -> io::Result<()> {
        match message {
            ToGuest::Hello { .. } => {
                let booted = self.is_booted;
                self.connection.send(&FromGuest::Hello { version: guest_proto::VERSION, booted })
            }
            ToGuest::Boot(orders) => self.boot(&orders.argv),
            ToGuest::Signal { signal } if !self.knobs.ignores_stop => {
                self.end(Ended { code: None, signal: Some(signal) })
            }
            ToGuest::Shutdown => self.end(Ended { code: Some(0), signal: None }),
            ToGuest::Exec { stream, exec } => self.exec(stream, &exec.argv),
            ToGuest::Ask { id, question } => {
                let answer = match question {
                    Question::Processes => Answer::Processes { processes: Vec::new() },
                    Question::Listening | Question::WaitListening { .. } => {
                        Answer::Listening { sockets: Vec::new() }
                    }
                    Question::Quiesce => Answer::Done,
                };
                self.connection.send(&FromGuest::Answer { id, answer })
            }
            ToGuest::Furnish(_) => {
                self.connection.send(&FromGuest::Unknown { what: "furnish".to_owned() })
            }
            ToGuest::Clock { .. }
            | ToGuest::Thawed
            | ToGuest::Resume { .. }
            | ToGuest::Signal { .. }
            | ToGuest::Resize { .. }
            | ToGuest::End { .. }
            | ToGuest::Reset { .. }
            | ToGuest::Credit { .. } => Ok(()),
        }
    }

    /// "Runs" the program: says its words once.
    fn boot(&mut self, argv: &[String]) -> io::Result<()> {
        if std::mem::replace(&mut self.is_booted, true) {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(u64::from(self.knobs.start_ms)));
        self.connection.send(&FromGuest::Started { pid: 2 })?;
        self.say(StreamId::MAIN, argv)?;
        let after = self.knobs.exit_after_ms.map(|ms| Duration::from_millis(u64::from(ms)));
        self.ends_at = after.map(|after| Instant::now() + after);
        Ok(())
    }

    /// "Runs" a command: says its words and ends.
    fn exec(&mut self, stream: StreamId, argv: &[String]) -> io::Result<()> {
        self.connection.send(&FromGuest::ExecStarted { stream, pid: 3 })?;
        self.say(stream, argv)?;
        let ended = Ended { code: Some(0), signal: None };
        self.connection.send(&FromGuest::ExecEnded { stream, ended })
    }

    fn say(&mut self, stream: StreamId, words: &[String]) -> io::Result<()> {
        let kind = FrameKind::Data { stream, channel: Channel::Stdout };
        self.connection.send_frame(kind, format!("{}\n", words.join(" ")).as_bytes())
    }

    fn end(&mut self, ended: Ended) -> io::Result<()> {
        self.is_over = true;
        self.connection.send(&FromGuest::Exited(ended))
    }
}
