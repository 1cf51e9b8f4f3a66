//! The connection between control and proxy: messages in frames over a unix socket.

use guest_proto::{Decoder, Frame, FrameError, FrameKind, encode_message};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

/// Bytes read at a time.
const READ_BYTES: usize = 64 * 1024;

/// Epoch of all frames: a connection is never resumed.
const EPOCH: u32 = 1;

/// Why a link ended.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The other side is gone, or the socket fails.
    #[error("the link between control and proxy is broken")]
    Io(#[from] io::Error),
    /// What arrived is no frame of this protocol.
    #[error("what arrived is no frame")]
    Frame(#[from] FrameError),
    /// The other side closed its end.
    #[error("the other side has closed the link")]
    Closed,
}

/// Both directions of a connection.
#[derive(Debug)]
pub struct Link;

impl Link {
    /// The two directions of `stream`.
    #[must_use]
    pub fn split(stream: UnixStream) -> (LinkReader, LinkWriter) {
        let (read, write) = stream.into_split();
        let reader = LinkReader { read, decoder: Decoder::for_socket() };
        (reader, LinkWriter { write, out: Vec::new() })
    }
}

/// What the other side says.
#[derive(Debug)]
pub struct LinkReader {
    read: OwnedReadHalf,
    decoder: Decoder,
}

/// What is said to the other side.
#[derive(Debug)]
pub struct LinkWriter {
    write: OwnedWriteHalf,
    out: Vec<u8>,
}

impl LinkReader {
    /// The next message; `None` for a frame whose message this build does not know, which is
    /// skipped: the other side may be newer.
    ///
    /// # Errors
    /// [`LinkError`]; the link is of no use then.
    pub async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, LinkError> {
        let frame = self.frame().await?;
        match frame.kind {
            FrameKind::Control => Ok(frame.message().ok()),
            FrameKind::Data { .. } => Ok(None),
        }
    }

    async fn frame(&mut self) -> Result<Frame, LinkError> {
        let mut bytes = vec![0; READ_BYTES];
        loop {
            if let Some(frame) = self.decoder.next_frame()? {
                return Ok(frame);
            }
            let n_read = self.read.read(&mut bytes).await?;
            if n_read == 0 {
                return Err(LinkError::Closed);
            }
            self.decoder.push(&bytes[..n_read]);
        }
    }
}

impl LinkWriter {
    /// Sends one message. Not to be dropped half-way: what follows would not be understood.
    ///
    /// # Errors
    /// [`LinkError`]; the link is of no use then, unless the message was too large.
    pub async fn send<T: Serialize + Sync>(&mut self, message: &T) -> Result<(), LinkError> {
        self.out.clear();
        encode_message(EPOCH, message, &mut self.out)?;
        self.write.write_all(&self.out).await?;
        Ok(())
    }
}
