//! Logs: a stream of lines.

use crate::connection::Sender;
use crate::path;
use crate::{Client, ClientError};
use control::LogLine;
use http_body_util::BodyExt as _;
use hyper::Method;
use hyper::body::Incoming;

/// Longest line as JSON: 16 KiB of text, each byte escaped, and its other fields.
const LINE_MAX_BYTES: usize = 128 * 1024;

/// Lines of a log, in order. Dropping it ends the call.
#[derive(Debug)]
pub struct LogStream {
    path: String,
    body: Incoming,
    buffer: Vec<u8>,
    _connection: Sender,
}

impl Client {
    /// The last `tail` lines, and with `follow` all that come after.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn logs(
        &self,
        app: &str,
        id: &str,
        tail: u64,
        follow: bool,
    ) -> Result<LogStream, ClientError> {
        let path = path::machine(app, id, &format!("/logs?tail={tail}&follow={follow}"));
        let request = self.request(Method::GET, &path, &(), &[])?;
        let (response, connection) = self.send(request).await?;
        let body = response.into_body();
        Ok(LogStream { path, body, buffer: Vec::new(), _connection: connection })
    }
}

impl LogStream {
    /// The next line; `None` at the end.
    ///
    /// # Errors
    /// [`ClientError`]: the stream is of no use after it.
    pub async fn next(&mut self) -> Result<Option<LogLine>, ClientError> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return serde_json::from_slice(&line)
                    .map(Some)
                    .map_err(|source| ClientError::Decode { path: self.path.clone(), source });
            }
            if self.buffer.len() > LINE_MAX_BYTES {
                let path = self.path.clone();
                return Err(ClientError::TooLarge { path, max_bytes: LINE_MAX_BYTES });
            }
            let Some(frame) = self.body.frame().await else { return Ok(None) };
            if let Some(data) = frame?.data_ref() {
                self.buffer.extend_from_slice(data);
            }
        }
    }
}
