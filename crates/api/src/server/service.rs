//! What happens to every request before and after its route: identity, trailing slash, request id,
//! panics, a body that nobody has read.

use super::limits::Limits;
use super::{ConnectionHold, unread};
use crate::auth::{Identity, bearer_tokens};
use crate::contract::host::REGION;
use crate::problem::Problem;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Request, Response, Uri, header};
use axum::response::IntoResponse as _;
use control::Control;
use futures_util::FutureExt as _;
use hyper::body::Incoming;
use model::EventId;
use std::convert::Infallible;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use tower::ServiceExt as _;

/// How a connection tells who its caller is.
#[derive(Clone, Debug)]
pub(super) enum Door {
    /// By the connection itself.
    Known(Identity),
    /// By the token of each request, which control knows.
    Token {
        /// Who knows it.
        control: Control,
        /// How much its holder may ask, if that is bounded.
        limits: Option<Limits>,
    },
}

/// The service of one connection.
#[derive(Clone, Debug)]
pub(super) struct Service {
    router: Router,
    door: Door,
    hold: ConnectionHold,
}

impl Service {
    pub(super) fn new(router: Router, door: Door, hold: ConnectionHold) -> Self {
        Self { router, door, hold }
    }

    /// The caller, `None` without a valid token.
    fn identity<B>(&self, request: &Request<B>) -> Result<Option<Identity>, Problem> {
        let control = match &self.door {
            Door::Known(identity) => return Ok(Some(identity.clone())),
            Door::Token { control, .. } => control,
        };
        let header = request.headers().get(header::AUTHORIZATION);
        let Some(text) = header.and_then(|value| value.to_str().ok()) else { return Ok(None) };
        for secret in bearer_tokens(text) {
            let token = control.authenticate(secret);
            if let Some(token) = token.map_err(|e| Problem::from_control(&e, None))? {
                return Ok(Some(Identity::Token(Box::new(token))));
            }
        }
        Ok(None)
    }

    async fn answer(self, mut request: Request<Body>) -> Response<Body> {
        match self.identity(&request) {
            Ok(Some(identity)) => {
                if let Door::Token { limits: Some(limits), .. } = &self.door
                    && let Err(problem) = limits.admit(&identity, &request)
                {
                    return problem.into_response();
                }
                request.extensions_mut().insert(identity);
            }
            // Routes that need a caller answer 401; `/healthz` and unknown paths do not.
            Ok(None) => {}
            Err(problem) => return problem.into_response(),
        }
        request.extensions_mut().insert(self.hold);
        strip_trailing_slash(request.uri_mut());
        match self.router.oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

impl hyper::service::Service<Request<Incoming>> for Service {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let (request, unread) = unread::watch(request);
        let answering = self.clone().answer(request);
        Box::pin(async move {
            let id = request_id();
            let answered = AssertUnwindSafe(answering).catch_unwind().await;
            let mut response = answered.unwrap_or_else(|_panic| {
                tracing::error!(request = %id, "a request ended in a panic");
                Problem::internal("internal: the request failed in an unforeseen way")
                    .into_response()
            });
            if let Ok(value) = HeaderValue::try_from(id) {
                response.headers_mut().insert(HeaderName::from_static("fly-request-id"), value);
            }
            unread.discard().await;
            Ok(response)
        })
    }
}

/// `<ULID>-<region>`, as clients quote it. Without randomness it is only less unique.
fn request_id() -> String {
    let mut chance = [0; 10];
    if let Err(error) = getrandom::fill(&mut chance) {
        tracing::debug!(%error, "no randomness for a request id");
    }
    format!("{}-{REGION}", EventId::new(model::clock::now(), chance))
}

/// `/v1/apps/` is `/v1/apps`.
fn strip_trailing_slash(uri: &mut Uri) {
    let path = uri.path();
    let stripped = path.trim_end_matches('/');
    if stripped.len() == path.len() || stripped.is_empty() {
        return;
    }
    let text = match uri.query() {
        Some(query) => format!("{stripped}?{query}"),
        None => stripped.to_owned(),
    };
    if let Ok(shorter) = text.parse() {
        *uri = shorter;
    }
}

#[cfg(test)]
mod tests {
    use super::{Uri, request_id, strip_trailing_slash};

    #[track_caller]
    fn check(before: &str, after: &str) {
        let mut uri: Uri = before.parse().expect("a path");
        strip_trailing_slash(&mut uri);
        assert_eq!(uri.to_string(), after);
    }

    #[test]
    fn trailing_slashes_do_not_matter() {
        check("/v1/apps/", "/v1/apps");
        check("/v1/apps/?org_slug=x", "/v1/apps?org_slug=x");
        check("/v1/apps", "/v1/apps");
        check("/", "/");
        check("http://localhost/v1/apps/", "/v1/apps");
    }

    #[test]
    fn request_ids_are_ulids_with_a_region() {
        let id = request_id();
        assert!(id.ends_with("-local") && id.len() == 26 + 6, "{id}");
    }
}
