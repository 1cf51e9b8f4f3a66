//! What happens to machines: as a list, and as it happens.

use crate::lines::Lines;
use crate::path;
use crate::{Client, ClientError};
use api::contract::events::MachineEvent;
use hyper::Method;
use hyper::header::{ACCEPT, HeaderName};

/// Begins the line of a stream that has the event. Source: HTML, 9.2.6.
const DATA: &[u8] = b"data: ";

/// Events as they happen. Dropping it ends the call.
#[derive(Debug)]
pub struct EventStream(Lines);

impl Client {
    /// Events of an app's machines, newest first, at most 50.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn app_events(&self, app: &str, n: u64) -> Result<Vec<MachineEvent>, ClientError> {
        self.get(&path::app(app, &format!("/events?limit={n}"))).await
    }

    /// Events of an app's machines, of one of them if `id` says so, from now on or from the one after
    /// `last` on.
    ///
    /// # Errors
    /// [`ClientError`]; code `too_many_streams`.
    pub async fn follow_events(
        &self,
        app: &str,
        id: Option<&str>,
        last: Option<&str>,
    ) -> Result<EventStream, ClientError> {
        let path = match id {
            Some(id) => path::machine(app, id, "/events"),
            None => path::app(app, "/events"),
        };
        let last_seen = last.map(|id| (HeaderName::from_static("last-event-id"), id));
        let accept = (ACCEPT, "text/event-stream");
        let headers: Vec<_> = std::iter::once(accept).chain(last_seen).collect();
        let request = self.request(Method::GET, &path, &(), &headers)?;
        Ok(EventStream(Lines::new(path, self.send(request).await?)))
    }
}

impl EventStream {
    /// The next event; `None` when nothing more can happen, or the daemon ended the call.
    ///
    /// # Errors
    /// [`ClientError`]: the stream is of no use after it.
    pub async fn next(&mut self) -> Result<Option<MachineEvent>, ClientError> {
        while let Some(line) = self.0.next_line().await? {
            if let Some(event) = line.strip_prefix(DATA) {
                return self.0.parsed(event).map(Some);
            }
        }
        Ok(None)
    }
}
