//! Answers that come line by line, each one JSON object or with one in it.

use crate::ClientError;
use crate::connection::Sender;
use http_body_util::BodyExt as _;
use hyper::Response;
use hyper::body::Incoming;
use serde::de::DeserializeOwned;

/// Longest line: a decision in a trace that read a whole memory, 64 KiB with each byte escaped, and
/// those of several peers. A log's line and the layers of a pull have less.
const LINE_MAX_BYTES: usize = 2 * 1024 * 1024;

/// The lines of one answer. Dropping it ends the call.
#[derive(Debug)]
pub(crate) struct Lines {
    path: String,
    body: Incoming,
    buffer: Vec<u8>,
    _connection: Sender,
}

impl Lines {
    /// The lines of the answer to a request for `path`.
    pub(crate) fn new(path: String, answer: (Response<Incoming>, Sender)) -> Self {
        let (response, connection) = answer;
        Self { path, body: response.into_body(), buffer: Vec::new(), _connection: connection }
    }

    /// The next line as JSON; `None` at the end.
    pub(crate) async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, ClientError> {
        self.next_line().await?.map(|line| self.parsed(&line)).transpose()
    }

    /// What of a line is JSON.
    pub(crate) fn parsed<T: DeserializeOwned>(&self, json: &[u8]) -> Result<T, ClientError> {
        serde_json::from_slice(json)
            .map_err(|source| ClientError::Decode { path: self.path.clone(), source })
    }

    /// The next line with its end; `None` at the end.
    pub(crate) async fn next_line(&mut self) -> Result<Option<Vec<u8>>, ClientError> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                return Ok(Some(self.buffer.drain(..=end).collect()));
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
