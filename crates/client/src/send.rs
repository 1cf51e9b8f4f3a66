//! One request and its answer.

use crate::Client;
use crate::body::{RequestBody, whole};
use crate::connection::Sender;
use crate::error::ClientError;
use api::contract::ErrorBody;
use api::contract::lease::NONCE_HEADER;
use api::contract::registry_auth::REGISTRY_AUTH_HEADER;
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
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
        self.exchange_within(TIMEOUT, self.request(method, path, body, &[])?).await
    }

    /// Sends a request and reads its answer, which is JSON.
    pub(crate) async fn exchanged<T: DeserializeOwned>(
        &self,
        request: Request<RequestBody>,
    ) -> Result<T, ClientError> {
        Ok(self.exchange_within(TIMEOUT, request).await?.0)
    }

    /// Sends a request and reads its answer, which is JSON, all within `limit`.
    pub(crate) async fn exchange_within<T: DeserializeOwned>(
        &self,
        limit: Duration,
        request: Request<RequestBody>,
    ) -> Result<(T, HeaderMap), ClientError> {
        let path = request.uri().path().to_owned();
        let calling = async {
            let (response, sender) = self.send(request).await?;
            let (head, body) = response.into_parts();
            let bytes = collected(body, &path).await?;
            self.pool.give_back(sender);
            let bytes = if bytes.is_empty() { Bytes::from_static(b"null") } else { bytes };
            let value = serde_json::from_slice(&bytes)
                .map_err(|source| ClientError::Decode { path: path.clone(), source })?;
            Ok((value, head.headers))
        };
        let elapsed = |_| Err(ClientError::Timeout { timeout_s: limit.as_secs() });
        tokio::time::timeout(limit, calling).await.unwrap_or_else(elapsed)
    }

    /// The request; a body that is `()` is left out.
    pub(crate) fn request(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
        headers: &[(HeaderName, &str)],
    ) -> Result<Request<RequestBody>, ClientError> {
        let bytes = serde_json::to_vec(body)
            .map_err(|source| ClientError::Decode { path: path.to_owned(), source })?;
        let bytes = if bytes == b"null" { Vec::new() } else { bytes };
        self.request_of(method, path, bytes, headers)
    }

    /// The request with a body that is JSON already, or should be: the daemon says what is wrong with
    /// it.
    pub(crate) fn request_of(
        &self,
        method: Method,
        path: &str,
        bytes: Vec<u8>,
        headers: &[(HeaderName, &str)],
    ) -> Result<Request<RequestBody>, ClientError> {
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
        if let Some(auth) = &self.registry_auth {
            request = request.header(REGISTRY_AUTH_HEADER, auth.expose());
        }
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        request.body(whole(bytes)).map_err(ClientError::Request)
    }

    /// Sends and hears the head of the answer; an error answer becomes [`ClientError::Api`].
    pub(crate) async fn send(
        &self,
        request: Request<RequestBody>,
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
        mut request: Request<RequestBody>,
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
