//! Bodies of requests that no route has asked for.
//!
//! A refusal often needs no body. Many clients send it all the same, after the head, and look for an answer
//! only then: a connection that was closed in between shows them a broken pipe and not the refusal.

use crate::v1::body::BODY_MAX_BYTES;
use axum::body::{Body, Bytes};
use axum::http::{Request, header};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

/// Longest wait for a body that nobody wants; its caller has an answer coming.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// The body of a request, for as long as nobody has begun to read it.
#[derive(Debug)]
pub(super) struct Unread(Slot);

type Slot = Arc<Mutex<Option<Incoming>>>;

/// Gives out the body of `request` to whom asks for it first: its route, or [`Unread::discard`].
pub(super) fn watch(request: Request<Incoming>) -> (Request<Body>, Unread) {
    let (head, body) = request.into_parts();
    // Who wants to be asked for the body has not sent it, and would send it now.
    if head.headers.contains_key(header::EXPECT) || is_ended_or_large(&body) {
        return (Request::from_parts(head, Body::new(body)), Unread(Slot::default()));
    }
    let slot = Slot::new(Mutex::new(Some(body)));
    let watched = Watched { slot: Arc::clone(&slot), body: None };
    (Request::from_parts(head, Body::new(watched)), Unread(slot))
}

/// Whether nothing is to come, or more than anybody would read.
fn is_ended_or_large(body: &Incoming) -> bool {
    body.is_end_stream() || body.size_hint().lower() > BODY_MAX_BYTES as u64
}

impl Unread {
    /// Reads what no route has begun to read, up to the size of the largest body and for a second; beyond
    /// that the connection is closed after the answer.
    pub(super) async fn discard(self) {
        let Some(mut body) = take(&self.0) else { return };
        let reading = async {
            let mut n_bytes = 0;
            while let Some(Ok(frame)) = next(&mut body).await {
                n_bytes += frame.data_ref().map_or(0, Bytes::len);
                if n_bytes > BODY_MAX_BYTES {
                    break;
                }
            }
        };
        if tokio::time::timeout(WAIT_MAX, reading).await.is_err() {
            tracing::debug!("a body that nobody wanted did not come");
        }
    }
}

async fn next(body: &mut Incoming) -> Option<Result<Frame<Bytes>, hyper::Error>> {
    std::future::poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await
}

fn take(slot: &Slot) -> Option<Incoming> {
    slot.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// The body as its route sees it.
struct Watched {
    slot: Slot,
    /// There once reading has begun.
    body: Option<Incoming>,
}

impl Watched {
    /// What `look` sees of it, wherever it is; `None` once it was discarded.
    fn look<T>(&self, look: impl FnOnce(&Incoming) -> T) -> Option<T> {
        match &self.body {
            Some(body) => Some(look(body)),
            None => self.slot.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(look),
        }
    }
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.body.is_none() {
            self.body = take(&self.slot);
        }
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(context).map_err(axum::Error::new),
            None => Poll::Ready(Some(Err(axum::Error::new(io::Error::other(
                "the request was answered before its body was read",
            ))))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.look(Incoming::is_end_stream).unwrap_or(false)
    }

    fn size_hint(&self) -> SizeHint {
        self.look(Incoming::size_hint).unwrap_or_default()
    }
}
