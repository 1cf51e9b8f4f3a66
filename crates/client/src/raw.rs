//! Any request, as it is, and its answer as it comes.

use crate::connection::Sender;
use crate::{Client, ClientError};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{HeaderMap, Method, StatusCode};

/// A request that is sent as it is.
#[derive(Clone, Debug)]
pub struct RawRequest {
    /// The method.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// The body; none when empty.
    pub body: Vec<u8>,
    /// What the body is; JSON unless this says otherwise.
    pub content_type: Option<HeaderValue>,
    /// Further headers.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

/// An answer whose body is still to come.
#[derive(Debug)]
pub struct RawAnswer {
    /// Its status: a good one.
    pub status: StatusCode,
    /// Its head.
    pub headers: HeaderMap,
    body: Incoming,
    /// Keeps the connection open as long as the body is read.
    _sender: Sender,
}

impl Client {
    /// Sends `request`. How long the answer may take is for the caller to say: some have no end.
    ///
    /// # Errors
    /// [`ClientError`]; an error answer is [`ClientError::Api`].
    pub async fn raw(&self, request: RawRequest) -> Result<RawAnswer, ClientError> {
        let RawRequest { method, path, body, content_type, headers } = request;
        let mut request = self.request_of(method, &path, body, &[])?;
        if let Some(kind) = content_type {
            request.headers_mut().insert(CONTENT_TYPE, kind);
        }
        request.headers_mut().extend(headers);
        let (response, sender) = self.send(request).await?;
        let (head, body) = response.into_parts();
        Ok(RawAnswer { status: head.status, headers: head.headers, body, _sender: sender })
    }
}

impl RawAnswer {
    /// The next bytes of the body; `None` at its end.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        while let Some(frame) = self.body.frame().await {
            if let Ok(bytes) = frame?.into_data() {
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }
}
