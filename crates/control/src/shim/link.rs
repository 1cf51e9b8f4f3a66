//! One connection to one shim.
//!
//! Owned by the machine's task and driven from its loop; nothing here blocks, and the queue towards
//! a slow shim is bounded.

use guest_proto::frame::{Decoder, Frame, FrameKind, encode, encode_message};
use guest_proto::stream::{Channel, StreamId};
use shim_proto::{FromShim, ToShim, VERSION, VERSION_MIN};
use std::io;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::Path;
use tokio::io::Interest;
use tokio::net::UnixStream;

/// Bytes queued towards a shim that does not read; beyond it the shim counts as lost.
///
/// Two of the largest control frames.
const QUEUE_MAX_BYTES: usize = 2 * guest_proto::frame::CONTROL_MAX_BYTES;

/// Bytes read at once: one full data frame and its header.
const READ_BYTES: usize = 64 * 1024 + guest_proto::frame::HEADER_BYTES;

/// What a shim said.
#[derive(Debug)]
pub(crate) enum LinkEvent {
    /// A message.
    Message(FromShim),
    /// Bytes of a stream of the guest.
    Data { stream: StreamId, channel: Channel, bytes: bytes::Bytes },
    /// The connection is gone.
    Closed,
}

/// A connection to a shim.
#[derive(Debug)]
pub(crate) struct Link {
    socket: UnixStream,
    decoder: Decoder,
    queue: Vec<u8>,
    scratch: Box<[u8]>,
    /// What was put back.
    again: Option<LinkEvent>,
}

impl Link {
    /// Takes over the inherited socket of a shim that this process spawned and greets it.
    pub(crate) fn from_spawned(socket: StdUnixStream) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Self::greet(UnixStream::from_std(socket)?)
    }

    /// Connects to a shim that an earlier control process spawned and greets it.
    pub(crate) async fn connect(path: &Path) -> io::Result<Self> {
        Self::greet(UnixStream::connect(path).await?)
    }

    fn greet(socket: UnixStream) -> io::Result<Self> {
        let mut link = Self {
            socket,
            decoder: Decoder::for_socket(),
            queue: Vec::new(),
            scratch: vec![0; READ_BYTES].into_boxed_slice(),
            again: None,
        };
        link.send(&ToShim::Hello { version: VERSION, version_min: VERSION_MIN })?;
        Ok(link)
    }

    /// Queues a message and sends what the socket takes at once.
    ///
    /// # Errors
    /// The connection is broken, or the shim is too far behind.
    pub(crate) fn send(&mut self, message: &ToShim) -> io::Result<()> {
        encode_message(0, message, &mut self.queue).map_err(io::Error::other)?;
        self.flush()
    }

    /// Queues bytes of a guest stream and sends what the socket takes at once.
    pub(crate) fn send_data(&mut self, stream: StreamId, bytes: &[u8]) -> io::Result<()> {
        for piece in bytes.chunks(guest_proto::frame::DATA_MAX_BYTES) {
            let kind = FrameKind::Data { stream, channel: Channel::Stdin };
            encode(0, kind, piece, &mut self.queue).map_err(io::Error::other)?;
        }
        self.flush()
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut sent = 0;
        let result = loop {
            if sent == self.queue.len() {
                break Ok(());
            }
            match self.socket.try_write(&self.queue[sent..]) {
                Ok(n) => sent += n,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break Ok(()),
                Err(e) => break Err(e),
            }
        };
        self.queue.drain(..sent);
        if self.queue.len() > QUEUE_MAX_BYTES {
            return Err(io::Error::other("the shim does not read"));
        }
        result
    }

    /// The next thing the shim says, sending what is queued meanwhile. Cancel-safe.
    pub(crate) async fn next(&mut self) -> LinkEvent {
        if let Some(event) = self.again.take() {
            return event;
        }
        loop {
            match self.decoder.next_frame() {
                Ok(Some(frame)) => return read_frame(&frame),
                Ok(None) => {}
                Err(error) => {
                    tracing::error!(%error, "a shim sent bytes that are no frame");
                    return LinkEvent::Closed;
                }
            }
            match self.exchange().await {
                Ok(0) => return LinkEvent::Closed,
                Ok(_) => {}
                Err(error) => {
                    tracing::debug!(%error, "connection to a shim broke");
                    return LinkEvent::Closed;
                }
            }
        }
    }

    /// Gives back what [`Link::next`] has just returned: it is the next thing again.
    pub(crate) fn put_back(&mut self, event: LinkEvent) {
        self.again = Some(event);
    }

    /// Waits until something could be read; the number of bytes read, zero at the end.
    async fn exchange(&mut self) -> io::Result<usize> {
        loop {
            let interest = if self.queue.is_empty() {
                Interest::READABLE
            } else {
                Interest::READABLE | Interest::WRITABLE
            };
            let ready = self.socket.ready(interest).await?;
            if ready.is_writable() {
                self.flush()?;
            }
            if ready.is_readable() {
                match self.socket.try_read(&mut self.scratch) {
                    Ok(n) => {
                        self.decoder.push(&self.scratch[..n]);
                        return Ok(n);
                    }
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                    Err(e) => return Err(e),
                }
            }
        }
    }
}

fn read_frame(frame: &Frame) -> LinkEvent {
    match frame.kind {
        FrameKind::Data { stream, channel } => {
            LinkEvent::Data { stream, channel, bytes: frame.payload.clone() }
        }
        FrameKind::Control => match frame.message() {
            Ok(message) => LinkEvent::Message(message),
            Err(error) => {
                tracing::error!(%error, "a shim sent a message that this build does not know");
                LinkEvent::Closed
            }
        },
    }
}
