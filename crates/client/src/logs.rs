//! Logs: a stream of lines.

use crate::lines::Lines;
use crate::path;
use crate::{Client, ClientError};
use control::LogLine;
use hyper::Method;

/// Lines of a log, in order. Dropping it ends the call.
#[derive(Debug)]
pub struct LogStream(Lines);

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
        Ok(LogStream(Lines::new(path, self.send(request).await?)))
    }
}

impl LogStream {
    /// The next line; `None` at the end.
    ///
    /// # Errors
    /// [`ClientError`]: the stream is of no use after it.
    pub async fn next(&mut self) -> Result<Option<LogLine>, ClientError> {
        self.0.next().await
    }
}
