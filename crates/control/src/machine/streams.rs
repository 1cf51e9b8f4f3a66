//! Streams of a running machine: attached commands and connections to `/.fly/api`.
//!
//! Each stream has two pumps. One takes the caller's bytes as far as the guest's credit goes and
//! hands them to the machine's task; the other takes the guest's bytes to the caller and gives the
//! guest credit for what the caller has taken. So a slow side costs one window, never more.

use crate::facade::{ExecInput, ExecOutput, ExecStream};
use guest_proto::message::{Ended, StartFailure};
use guest_proto::stream::{Channel, STREAM_WINDOW_BYTES, STREAMS_MAX, StreamId};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::sync::{Semaphore, mpsc};

/// Pieces of output that wait for an attached caller.
const CALLER_QUEUE: usize = 16;

/// Bytes moved at once between a caller and the guest.
const PIECE_BYTES: usize = 32 * 1024;

/// Room of the pipe to the API server for one connection from inside a machine.
const API_PIPE_BYTES: usize = 64 * 1024;

/// What a pump asks the machine's task to send.
#[derive(Debug)]
pub(crate) enum ToStream {
    Bytes(StreamId, Vec<u8>),
    End(StreamId),
    Reset(StreamId),
    Credit(StreamId, u32),
    Resize(StreamId, u16, u16),
}

/// What the guest sends on a stream.
#[derive(Debug)]
enum FromStream {
    Bytes(Channel, bytes::Bytes),
    End,
    Ended(Ended),
    Failed(Option<StartFailure>, String),
}

/// The open streams of one run.
#[derive(Debug)]
pub(crate) struct Streams {
    open: HashMap<StreamId, Open>,
    next_exec: u32,
    outgoing: mpsc::UnboundedSender<ToStream>,
}

#[derive(Debug)]
struct Open {
    incoming: mpsc::UnboundedSender<FromStream>,
    credit: Arc<Semaphore>,
    has_guest_ended: bool,
    has_host_ended: bool,
}

impl Streams {
    /// No streams; pumps send to `outgoing`.
    pub(crate) fn new(outgoing: mpsc::UnboundedSender<ToStream>) -> Self {
        Self { open: HashMap::new(), next_exec: 2, outgoing }
    }

    /// Number of open streams that began as a command.
    pub(crate) fn n_exec(&self) -> usize {
        self.open.keys().filter(|stream| stream.0 % 2 == 0).count()
    }

    /// Opens a stream for a command; `None` when too many are open.
    pub(crate) fn open_exec(&mut self) -> Option<(StreamId, ExecStream)> {
        if self.open.len() >= STREAMS_MAX {
            return None;
        }
        let stream = StreamId(self.next_exec);
        self.next_exec = self.next_exec.checked_add(2).unwrap_or(2);
        let (incoming, credit) = self.insert(stream);
        let (input, from_caller) = mpsc::channel(CALLER_QUEUE);
        let (to_caller, output) = mpsc::channel(CALLER_QUEUE);
        tokio::spawn(pump_input(stream, from_caller, credit, self.outgoing.clone()));
        tokio::spawn(pump_output(stream, incoming, to_caller, self.outgoing.clone()));
        Some((stream, ExecStream { input, output }))
    }

    /// Opens a stream that the guest began; the answer is for the API server.
    pub(crate) fn open_api(&mut self, stream: StreamId) -> Option<DuplexStream> {
        if self.open.len() >= STREAMS_MAX || self.open.contains_key(&stream) {
            return None;
        }
        let (incoming, credit) = self.insert(stream);
        let (server, ours) = tokio::io::duplex(API_PIPE_BYTES);
        let (from_server, to_server) = tokio::io::split(ours);
        tokio::spawn(pump_answer(stream, from_server, credit, self.outgoing.clone()));
        tokio::spawn(pump_request(stream, incoming, to_server, self.outgoing.clone()));
        Some(server)
    }

    fn insert(
        &mut self,
        stream: StreamId,
    ) -> (mpsc::UnboundedReceiver<FromStream>, Arc<Semaphore>) {
        let (sender, incoming) = mpsc::unbounded_channel();
        let credit = Arc::new(Semaphore::new(STREAM_WINDOW_BYTES as usize));
        let open = Open {
            incoming: sender,
            credit: Arc::clone(&credit),
            has_guest_ended: false,
            has_host_ended: false,
        };
        self.open.insert(stream, open);
        (incoming, credit)
    }

    /// Bytes from the guest.
    pub(crate) fn bytes(&self, stream: StreamId, channel: Channel, bytes: bytes::Bytes) {
        self.pass(stream, FromStream::Bytes(channel, bytes));
    }

    /// The guest sends no more.
    pub(crate) fn end(&mut self, stream: StreamId) {
        self.pass(stream, FromStream::End);
        if let Some(open) = self.open.get_mut(&stream) {
            open.has_guest_ended = true;
        }
        self.forget_if_over(stream);
    }

    /// This side sends no more.
    pub(crate) fn host_ended(&mut self, stream: StreamId) {
        if let Some(open) = self.open.get_mut(&stream) {
            open.has_host_ended = true;
        }
        self.forget_if_over(stream);
    }

    /// A connection to the API is over when both sides have ended; a command, when it has.
    fn forget_if_over(&mut self, stream: StreamId) {
        let is_api = !stream.0.is_multiple_of(2);
        let is_over = |open: &Open| open.has_guest_ended && open.has_host_ended;
        if is_api && self.open.get(&stream).is_some_and(is_over) {
            self.open.remove(&stream);
        }
    }

    /// The guest takes this many bytes more.
    pub(crate) fn credit(&self, stream: StreamId, bytes: u32) {
        if let Some(open) = self.open.get(&stream) {
            let room = Semaphore::MAX_PERMITS - open.credit.available_permits();
            open.credit.add_permits((bytes as usize).min(room));
        }
    }

    /// The command ended.
    pub(crate) fn ended(&mut self, stream: StreamId, ended: Ended) {
        self.pass(stream, FromStream::Ended(ended));
        self.open.remove(&stream);
    }

    /// The stream is gone.
    pub(crate) fn failed(
        &mut self,
        stream: StreamId,
        reason: Option<StartFailure>,
        message: String,
    ) {
        self.pass(stream, FromStream::Failed(reason, message));
        self.open.remove(&stream);
    }

    /// The run is gone, and all streams with it.
    pub(crate) fn fail_all(&mut self, message: &str) {
        for (_, open) in self.open.drain() {
            // The receiver may be gone already: its caller has left.
            drop(open.incoming.send(FromStream::Failed(None, message.to_owned())));
        }
    }

    /// Forgets a stream that this side resets.
    pub(crate) fn forget(&mut self, stream: StreamId) {
        self.open.remove(&stream);
    }

    fn pass(&self, stream: StreamId, what: FromStream) {
        if let Some(open) = self.open.get(&stream) {
            // The receiver may be gone already: its caller has left and a reset is on its way.
            drop(open.incoming.send(what));
        }
    }
}

/// Takes credit for `bytes` and hands them to the machine's task; false when the stream is gone.
async fn send_bytes(
    stream: StreamId,
    bytes: &[u8],
    credit: &Semaphore,
    outgoing: &mpsc::UnboundedSender<ToStream>,
) -> bool {
    for piece in bytes.chunks(PIECE_BYTES) {
        let wanted = u32::try_from(piece.len()).expect("a piece is far below 4 GiB");
        let Ok(permits) = credit.acquire_many(wanted).await else { return false };
        permits.forget();
        if outgoing.send(ToStream::Bytes(stream, piece.to_vec())).is_err() {
            return false;
        }
    }
    true
}

async fn pump_input(
    stream: StreamId,
    mut from_caller: mpsc::Receiver<ExecInput>,
    credit: Arc<Semaphore>,
    outgoing: mpsc::UnboundedSender<ToStream>,
) {
    while let Some(input) = from_caller.recv().await {
        let goes_on = match input {
            ExecInput::Bytes(bytes) => send_bytes(stream, &bytes, &credit, &outgoing).await,
            ExecInput::Resize { rows, cols } => {
                outgoing.send(ToStream::Resize(stream, rows, cols)).is_ok()
            }
            ExecInput::End => break,
        };
        if !goes_on {
            return;
        }
    }
    // The task may have ended before us; then there is no stream to end.
    drop(outgoing.send(ToStream::End(stream)));
}

async fn pump_output(
    stream: StreamId,
    mut incoming: mpsc::UnboundedReceiver<FromStream>,
    to_caller: mpsc::Sender<ExecOutput>,
    outgoing: mpsc::UnboundedSender<ToStream>,
) {
    loop {
        let next = tokio::select! {
            next = incoming.recv() => next,
            () = to_caller.closed() => None,
        };
        let (output, n_bytes) = match next {
            Some(FromStream::Bytes(Channel::Stderr, bytes)) => {
                (ExecOutput::Stderr(bytes.to_vec()), bytes.len())
            }
            Some(FromStream::Bytes(_, bytes)) => (ExecOutput::Stdout(bytes.to_vec()), bytes.len()),
            Some(FromStream::End) => continue,
            Some(FromStream::Ended(ended)) => {
                let exit_code = ended.code.or(ended.signal.map(|n| 128 + n)).unwrap_or(255);
                // A caller that has left does not want to know.
                drop(to_caller.send(ExecOutput::Ended { exit_code }).await);
                return;
            }
            Some(FromStream::Failed(reason, message)) => {
                drop(to_caller.send(ExecOutput::Failed { reason, message }).await);
                return;
            }
            None => {
                // The caller has left: the command has no reason to go on.
                drop(outgoing.send(ToStream::Reset(stream)));
                return;
            }
        };
        if to_caller.send(output).await.is_err() {
            drop(outgoing.send(ToStream::Reset(stream)));
            return;
        }
        let bytes = u32::try_from(n_bytes).expect("a frame is far below 4 GiB");
        if outgoing.send(ToStream::Credit(stream, bytes)).is_err() {
            return;
        }
    }
}

async fn pump_answer(
    stream: StreamId,
    mut from_server: tokio::io::ReadHalf<DuplexStream>,
    credit: Arc<Semaphore>,
    outgoing: mpsc::UnboundedSender<ToStream>,
) {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        match from_server.read(&mut piece).await {
            Ok(0) | Err(_) => break,
            Ok(n) => {
                if !send_bytes(stream, &piece[..n], &credit, &outgoing).await {
                    return;
                }
            }
        }
    }
    drop(outgoing.send(ToStream::End(stream)));
}

async fn pump_request(
    stream: StreamId,
    mut incoming: mpsc::UnboundedReceiver<FromStream>,
    mut to_server: tokio::io::WriteHalf<DuplexStream>,
    outgoing: mpsc::UnboundedSender<ToStream>,
) {
    while let Some(FromStream::Bytes(_, bytes)) = incoming.recv().await {
        if to_server.write_all(&bytes).await.is_err() {
            drop(outgoing.send(ToStream::Reset(stream)));
            return;
        }
        let n = u32::try_from(bytes.len()).expect("a frame is far below 4 GiB");
        if outgoing.send(ToStream::Credit(stream, n)).is_err() {
            return;
        }
    }
    // End of the request's bytes; the server may still answer. Its half may be closed already.
    drop(to_server.shutdown().await);
}

#[cfg(test)]
mod tests {
    use super::{STREAMS_MAX, StreamId, Streams};
    use tokio::sync::mpsc;

    /// Each call from inside a machine once kept its place, and the 65th found none.
    #[tokio::test]
    async fn a_call_that_is_over_gives_its_place_to_the_next() {
        let (outgoing, _orders) = mpsc::unbounded_channel();
        let mut streams = Streams::new(outgoing);
        let mut numbers = (0..).map(|n| StreamId(2 * n + 1));
        for (n, stream) in numbers.by_ref().take(3 * STREAMS_MAX).enumerate() {
            assert!(streams.open_api(stream).is_some(), "call {n}");
            if n % 2 == 0 {
                streams.end(stream);
                streams.host_ended(stream);
            } else {
                streams.host_ended(stream);
                streams.end(stream);
            }
        }
        let open = numbers.take(STREAMS_MAX + 1).filter(|n| streams.open_api(*n).is_some());
        assert_eq!(open.count(), STREAMS_MAX);
    }
}
