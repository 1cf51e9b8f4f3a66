//! Bodies of requests: JSON, or parts that are sent as they come.

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::body::{Body, Frame};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::mpsc;

/// What a request carries.
pub(crate) type RequestBody = Either<Full<Bytes>, Upload>;

/// A body that is all there.
pub(crate) fn whole(bytes: impl Into<Bytes>) -> RequestBody {
    Either::Left(Full::new(bytes.into()))
}

/// A body whose parts are still to come; an error breaks the connection off.
#[derive(Debug)]
pub(crate) struct Upload(pub(crate) mpsc::Receiver<io::Result<Bytes>>);

impl Body for Upload {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let parts = &mut self.get_mut().0;
        parts.poll_recv(context).map(|part| part.map(|part| part.map(Frame::data)))
    }
}
