//! Why a machine is as it is: explain, trace, verify, replay.

use crate::lines::Lines;
use crate::path;
use crate::{Client, ClientError};
use api::contract::selfhood::{Explanation, Replays, TraceCheck, TraceEntry, TracePage};
use hyper::Method;

/// Entries of a trace, in order, without end. Dropping it ends the call.
#[derive(Debug)]
pub struct TraceStream(Lines);

impl Client {
    /// Why a machine is as it is, in a sentence.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn explain(&self, app: &str, id: &str) -> Result<Explanation, ClientError> {
        self.get(&path::selfhood(app, id, "/explain")).await
    }

    /// Entries of its trace after number `after`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn trace(
        &self,
        app: &str,
        id: &str,
        after: u64,
        limit: u32,
    ) -> Result<TracePage, ClientError> {
        let rest = format!("/trace?after={after}&limit={limit}");
        self.get(&path::selfhood(app, id, &rest)).await
    }

    /// The last `n` entries of its trace.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn trace_tail(&self, app: &str, id: &str, n: u32) -> Result<TracePage, ClientError> {
        self.get(&path::selfhood(app, id, &format!("/trace?tail={n}"))).await
    }

    /// The last `tail` entries of its trace, and all that come after.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn follow_trace(
        &self,
        app: &str,
        id: &str,
        tail: u32,
    ) -> Result<TraceStream, ClientError> {
        let path = path::selfhood(app, id, &format!("/trace?tail={tail}&follow=true"));
        let request = self.request(Method::GET, &path, &(), &[])?;
        Ok(TraceStream(Lines::new(path, self.send(request).await?)))
    }

    /// Whether its trace is as it was written.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn verify_trace(&self, app: &str, id: &str) -> Result<TraceCheck, ClientError> {
        self.get(&path::selfhood(app, id, "/trace/verify")).await
    }

    /// Decides again from what was read then: entry `seq`, or every one.
    ///
    /// # Errors
    /// [`ClientError`]; code `self_missing` when there is no such entry.
    pub async fn replay_trace(
        &self,
        app: &str,
        id: &str,
        seq: Option<u64>,
    ) -> Result<Replays, ClientError> {
        let query = seq.map(|seq| format!("?seq={seq}")).unwrap_or_default();
        self.get(&path::selfhood(app, id, &format!("/trace/replay{query}"))).await
    }
}

impl TraceStream {
    /// The next entry; `None` when the daemon ended the call.
    ///
    /// # Errors
    /// [`ClientError`]: the stream is of no use after it.
    pub async fn next(&mut self) -> Result<Option<TraceEntry>, ClientError> {
        self.0.next().await
    }
}
