//! One request and its answer.

use crate::Client;
use crate::connection::Sender;
use crate::error::ClientError;
use api::contract::ErrorBody;
use api::contract::lease::NONCE_HEADER;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderName};
use hyper::{Method, Request, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::Duration;

/// Longest time for an answer: the longest stop takes 300 s.
const TIMEOUT: Duration = Duration::from_secs(330);

/// Largest answer: a list of ten thousand machines of ordinary size fits.
const ANSWER_MAX_BYTES: usize = 256 * 1024 * 1024;

impl Client {
    /// `GET path`.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.call(Method::GET, path, &()).await
    }

    /// `POST path` with `body`; `&()` is none.
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        self.call(Method::POST, path, body).await
    }

    /// `DELETE path`.
    pub(crate) async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.call(Method::DELETE, path, &()).await
    }

    /// Any call whose answer is JSON (or empty, when `T` takes `null`).
    ///
    /// # Errors
    /// Every [`ClientError`].
    pub async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        Ok(self.call_with_headers(method, path, body).await?.0)
    }

    pub(crate) async fn call_with_headers<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<(T, HeaderMap), ClientError> {
        let calling = async {
            let (response, sender) = self.send(self.request(method, path, body, &[])?).await?;
            let (head, body) = response.into_parts();
            let bytes = collected(body, path).await?;
            self.pool.give_back(sender);
            let bytes = if bytes.is_empty() { Bytes::from_static(b"null") } else { bytes };
            let decoded = serde_json::from_slice(&bytes);
            let value =
                decoded.map_err(|source| ClientError::Decode { path: path.to_owned(), source })?;
            Ok((value, head.headers))
        };
        let timeout_s = TIMEOUT.as_secs();
        let elapsed = |_| Err(ClientError::Timeout { timeout_s });
        tokio::time::timeout(TIMEOUT, calling).await.unwrap_or_else(elapsed)
    }

    /// The request; a body that is `()` is left out.
    pub(crate) fn request(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
        headers: &[(HeaderName, &str)],
    ) -> Result<Request<Full<Bytes>>, ClientError> {
        let bytes = serde_json::to_vec(body)
            .map_err(|source| ClientError::Decode { path: path.to_owned(), source })?;
        let bytes = if bytes == b"null" { Vec::new() } else { bytes };
        let mut request =
            Request::builder().method(method).uri(path).header(HOST, self.pool.target().host());
        if !bytes.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        if let Some(nonce) = &self.lease_nonce {
            request = request.header(NONCE_HEADER, &**nonce);
        }
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        request.body(Full::new(Bytes::from(bytes))).map_err(ClientError::Request)
    }

    /// Sends and hears the head of the answer; an error answer becomes [`ClientError::Api`].
    pub(crate) async fn send(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<(Response<Incoming>, Sender), ClientError> {
        let path = request.uri().path().to_owned();
        let (response, sender) = self.exchange(request).await?;
        let status = response.status();
        if status.is_success() || status == StatusCode::SWITCHING_PROTOCOLS {
            return Ok((response, sender));
        }
        let bytes = collected(response.into_body(), &path).await?;
        self.pool.give_back(sender);
        Err(ClientError::Api {
            status: status.as_u16(),
            body: Box::new(error_body(status, &bytes)),
        })
    }

    async fn exchange(
        &self,
        mut request: Request<Full<Bytes>>,
    ) -> Result<(Response<Incoming>, Sender), ClientError> {
        while let Some(mut sender) = self.pool.take_idle() {
            if sender.ready().await.is_err() {
                continue;
            }
            match sender.try_send_request(request).await {
                Ok(response) => return Ok((response, sender)),
                Err(mut failed) => match failed.take_message() {
                    // It was never sent: the daemon had closed the idle connection.
                    Some(unsent) => request = unsent,
                    None => return Err(failed.into_error().into()),
                },
            }
        }
        let mut sender = self.pool.connect().await?;
        let response = sender.send_request(request).await?;
        Ok((response, sender))
    }
}

async fn collected(body: Incoming, path: &str) -> Result<Bytes, ClientError> {
    let limited = Limited::new(body, ANSWER_MAX_BYTES).collect().await;
    limited.map(http_body_util::Collected::to_bytes).map_err(|error| {
        match error.downcast::<hyper::Error>() {
            Ok(error) => ClientError::Http(*error),
            Err(other) => {
                debug_assert!(other.is::<LengthLimitError>(), "the only other cause");
                ClientError::TooLarge { path: path.to_owned(), max_bytes: ANSWER_MAX_BYTES }
            }
        }
    })
}

/// The body of an error; a plain text one (unknown path, a stranger at that address) is kept as it
/// is.
fn error_body(status: StatusCode, bytes: &[u8]) -> ErrorBody {
    serde_json::from_slice(bytes).unwrap_or_else(|_not_json| {
        let text = String::from_utf8_lossy(bytes);
        let error =
            if text.trim().is_empty() { status.to_string() } else { text.trim().to_owned() };
        ErrorBody { error, code: "unknown".to_owned(), ..ErrorBody::default() }
    })
}
