//! A command tied to its caller.

use crate::path;
use crate::{Client, ClientError};
use api::contract::AttachRequest;
use api::contract::frame::{Frame, HEADER_BYTES, PAYLOAD_MAX_BYTES, PROTOCOL};
use hyper::Method;
use hyper::header::{CONNECTION, UPGRADE};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};

/// From the command.
#[derive(Debug)]
pub struct AttachReader {
    io: ReadHalf<TokioIo<Upgraded>>,
}

/// Toward the command.
#[derive(Debug)]
pub struct AttachWriter {
    io: WriteHalf<TokioIo<Upgraded>>,
}

impl Client {
    /// Runs a command tied to the returned connection: it is killed when both halves are dropped.
    ///
    /// # Errors
    /// [`ClientError`]; code `not_running`.
    pub async fn attach(
        &self,
        app: &str,
        id: &str,
        wish: &AttachRequest,
    ) -> Result<(AttachReader, AttachWriter), ClientError> {
        let path = path::machine(app, id, "/exec/attach");
        let headers = [(CONNECTION, "Upgrade"), (UPGRADE, PROTOCOL)];
        let request = self.request(Method::POST, &path, wish, &headers)?;
        let (response, _connection) = self.send(request).await?;
        let upgraded = hyper::upgrade::on(response).await?;
        let (reader, writer) = tokio::io::split(TokioIo::new(upgraded));
        Ok((AttachReader { io: reader }, AttachWriter { io: writer }))
    }
}

impl AttachReader {
    /// The next frame; [`Frame::Ended`] or [`Frame::Failed`] is the last.
    ///
    /// # Errors
    /// [`ClientError::Io`] when the connection ends before, [`ClientError::Frame`].
    pub async fn next(&mut self) -> Result<Frame, ClientError> {
        let mut header = [0; HEADER_BYTES];
        self.io.read_exact(&mut header).await?;
        let (kind, length) = Frame::header(header)?;
        let mut payload = vec![0; length];
        self.io.read_exact(&mut payload).await?;
        Ok(Frame::decode(kind, payload)?)
    }
}

impl AttachWriter {
    /// Sends input.
    ///
    /// # Errors
    /// [`ClientError::Io`] when the command or its machine is gone.
    pub async fn send_input(&mut self, bytes: &[u8]) -> Result<(), ClientError> {
        for part in bytes.chunks(PAYLOAD_MAX_BYTES) {
            self.send(&Frame::Stdin(part.to_vec())).await?;
        }
        Ok(())
    }

    /// Sends a frame: end of input, or a new terminal size.
    ///
    /// # Errors
    /// As [`AttachWriter::send_input`].
    pub async fn send(&mut self, frame: &Frame) -> Result<(), ClientError> {
        self.io.write_all(&frame.encode()).await?;
        Ok(self.io.flush().await?)
    }
}
