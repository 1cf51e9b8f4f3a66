//! The daemon's side, as a test plays it.

use crate::world::PATIENCE;
use guest_proto::message::{Ended, ExecOrders};
use guest_proto::{Channel, Frame, FrameKind, FromGuest, StreamId, ToGuest};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use shim_proto::connection::{Connection, Filled};
use shim_proto::message::Timing;
use shim_proto::{ExitRecord, FromShim, RunSpec, RunStatus, ToShim};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

/// A connection to a shim, and the shim itself if this client has spawned it.
pub(crate) struct Client {
    connection: Connection,
    pub(crate) shim: Option<Child>,
    pub(crate) init_pid: u32,
    pub(crate) timings: Vec<Timing>,
}

/// What came from the shim.
#[derive(Debug)]
pub(crate) enum Heard {
    Message(FromShim),
    Data { stream: StreamId, bytes: Vec<u8> },
    Closed,
}

impl Client {
    /// Spawns a pooled shim.
    pub(crate) fn spawn() -> Self {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        let shim = Command::new(env!("CARGO_BIN_EXE_dormouse-shim"))
            .stdin(Stdio::from(std::os::fd::OwnedFd::from(theirs)))
            .spawn()
            .expect("the shim runs");
        let mut client = Self::over(ours);
        client.shim = Some(shim);
        client
    }

    /// Connects to a shim that runs already.
    pub(crate) fn connect(path: &Path) -> Self {
        Self::over(UnixStream::connect(path).expect("the shim listens"))
    }

    fn over(stream: UnixStream) -> Self {
        let connection = Connection::new(stream, 1).expect("a connection");
        Self { connection, shim: None, init_pid: 0, timings: Vec::new() }
    }

    /// Spawns a shim and starts a run.
    #[track_caller]
    pub(crate) fn start(spec: RunSpec) -> Self {
        let mut client = Self::spawn();
        client.go(spec);
        client
    }

    /// Prepares and starts a run, which must succeed.
    #[track_caller]
    pub(crate) fn go(&mut self, spec: RunSpec) {
        self.send(&ToShim::Prepare(Box::new(spec)));
        self.send(&ToShim::Go);
        loop {
            match self.message() {
                FromShim::Prepared { timings } => self.timings = timings,
                FromShim::Started { init_pid, timings, .. } => {
                    self.init_pid = init_pid;
                    self.timings.extend(timings);
                    return;
                }
                other => panic!("instead of the start: {other:?}"),
            }
        }
    }

    /// Tries to start a run that must not come up; returns code and sentence.
    #[track_caller]
    pub(crate) fn fail_to_start(spec: RunSpec) -> (String, String) {
        let mut client = Self::spawn();
        client.send(&ToShim::Prepare(Box::new(spec)));
        client.send(&ToShim::Go);
        loop {
            match client.message() {
                FromShim::Prepared { .. } => {}
                FromShim::StartFailed { code, message } => {
                    client.wait_shim();
                    return (code, message);
                }
                other => panic!("instead of the failure: {other:?}"),
            }
        }
    }

    pub(crate) fn send(&mut self, message: &ToShim) {
        self.connection.send(message).expect("sent");
    }

    pub(crate) fn tell_guest(&mut self, message: ToGuest) {
        self.send(&ToShim::Guest(message));
    }

    pub(crate) fn send_data(&mut self, stream: StreamId, bytes: &[u8]) {
        let kind = FrameKind::Data { stream, channel: Channel::Stdin };
        self.connection.send_frame(kind, bytes).expect("sent");
    }

    /// What the shim says next.
    #[track_caller]
    pub(crate) fn hear(&mut self) -> Heard {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(Frame { kind, payload, .. }) = self.connection.next_frame().expect("frames")
            {
                return match kind {
                    FrameKind::Data { stream, .. } => {
                        Heard::Data { stream, bytes: payload.to_vec() }
                    }
                    FrameKind::Control => {
                        Heard::Message(serde_json::from_slice(&payload).expect("a message"))
                    }
                };
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "the shim says nothing");
            let timeout = Timespec::try_from(left).expect("short");
            poll(&mut [PollFd::new(&self.connection, PollFlags::IN)], Some(&timeout))
                .expect("polled");
            if self.connection.fill().expect("read") == Filled::Closed {
                return Heard::Closed;
            }
        }
    }

    /// The next message.
    #[track_caller]
    pub(crate) fn message(&mut self) -> FromShim {
        match self.hear() {
            Heard::Message(message) => message,
            other => panic!("instead of a message: {other:?}"),
        }
    }

    /// Says hello and returns what the shim does.
    #[track_caller]
    pub(crate) fn status(&mut self) -> RunStatus {
        let version = shim_proto::VERSION;
        self.send(&ToShim::Hello { version, version_min: version });
        match self.message() {
            FromShim::Hello { status, .. } => status,
            other => panic!("instead of hello: {other:?}"),
        }
    }

    /// Waits for the end of the run and of the shim.
    #[track_caller]
    pub(crate) fn wait_exit(&mut self) -> ExitRecord {
        loop {
            match self.hear() {
                Heard::Message(FromShim::Exited(record)) => {
                    self.wait_shim();
                    return record;
                }
                Heard::Closed => panic!("the shim hung up before it told of the exit"),
                Heard::Message(_) | Heard::Data { .. } => {}
            }
        }
    }

    #[track_caller]
    pub(crate) fn wait_shim(&mut self) {
        if let Some(mut shim) = self.shim.take() {
            let status = shim.wait().expect("reaped");
            assert!(status.success(), "the shim ended with {status}");
        }
    }

    pub(crate) fn stop(&mut self, signal: i32, timeout_ms: u64) -> ExitRecord {
        self.send(&ToShim::Stop { signal, timeout_ms });
        self.wait_exit()
    }

    pub(crate) fn kill(&mut self) -> ExitRecord {
        self.send(&ToShim::Kill);
        self.wait_exit()
    }

    /// Runs a command on a terminal; returns its output.
    #[track_caller]
    pub(crate) fn exec_on_terminal(&mut self, stream: StreamId, argv: &[&str]) -> String {
        let argv = argv.iter().map(|word| (*word).to_owned()).collect();
        let exec = ExecOrders { argv, tty: Some((24, 80)), ..ExecOrders::default() };
        self.tell_guest(ToGuest::Exec { stream, exec });
        self.exec_finish(stream).0
    }

    /// Runs a command in the machine; returns its output (both pipes) and how it ended.
    #[track_caller]
    pub(crate) fn exec(&mut self, stream: StreamId, argv: &[&str]) -> (String, Ended) {
        self.exec_start(stream, argv, false);
        self.exec_finish(stream)
    }

    pub(crate) fn exec_start(&mut self, stream: StreamId, argv: &[&str], has_stdin: bool) {
        let argv = argv.iter().map(|word| (*word).to_owned()).collect();
        let exec = ExecOrders { argv, has_stdin, ..ExecOrders::default() };
        self.tell_guest(ToGuest::Exec { stream, exec });
    }

    #[track_caller]
    pub(crate) fn exec_finish(&mut self, stream: StreamId) -> (String, Ended) {
        let mut output = Vec::new();
        loop {
            match self.hear() {
                Heard::Data { stream: of, bytes, .. } if of == stream => {
                    let n = u32::try_from(bytes.len()).expect("a frame");
                    output.extend(bytes);
                    self.tell_guest(ToGuest::Credit { stream, bytes: n });
                }
                Heard::Message(FromShim::Guest(FromGuest::ExecEnded { stream: of, ended }))
                    if of == stream =>
                {
                    return (String::from_utf8_lossy(&output).into_owned(), ended);
                }
                Heard::Message(FromShim::Guest(_)) => {}
                other => panic!("instead of the command's end: {other:?}"),
            }
        }
    }

    /// Hangs up; the shim stays, and is returned.
    pub(crate) fn hang_up(mut self) -> Shim {
        Shim(self.shim.take())
    }

    /// Waits for a call of the guest to `/.fly/api`; returns its stream and the first bytes.
    #[track_caller]
    pub(crate) fn api_request(&mut self) -> (StreamId, String) {
        let mut opened = None;
        loop {
            match self.hear() {
                Heard::Message(FromShim::Guest(FromGuest::ApiOpened { stream })) => {
                    opened = Some(stream);
                }
                Heard::Data { stream, bytes, .. } if Some(stream) == opened => {
                    return (stream, String::from_utf8_lossy(&bytes).into_owned());
                }
                other => panic!("instead of a call: {other:?}"),
            }
        }
    }
}

/// A shim without a daemon. It is killed when a test forgets it.
pub(crate) struct Shim(Option<Child>);

impl Shim {
    /// Waits for the shim's end, which must be a good one.
    #[track_caller]
    pub(crate) fn reap(mut self) {
        let status = self.0.take().map(|mut shim| shim.wait().expect("reaped"));
        assert!(status.is_none_or(|status| status.success()), "the shim ended with {status:?}");
    }
}

impl Drop for Shim {
    fn drop(&mut self) {
        end(self.0.take());
    }
}

fn end(shim: Option<Child>) {
    if let Some(mut shim) = shim {
        shim.kill().ok();
        shim.wait().ok();
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        end(self.shim.take());
    }
}
