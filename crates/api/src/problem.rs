//! Every error that leaves: an HTTP status and a body that says what, whether a retry helps, and what
//! to do next.
//!
//! The texts in `error` are those of the Machines API, because its clients search in them; `code`,
//! `retryable` and `hint` are ours. `docs/errors.md` lists the codes.

mod from_control;
mod of_self;

pub(crate) use of_self::gate_word;

use crate::contract::ErrorBody;
use crate::contract::selfhood::REVISION_HEADER;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use control::ControlError;
use model::MachineId;

/// Longest `error` text: foreign text in it (a value that could not be parsed) is cut there.
const TEXT_MAX_CHARS: usize = 600;

/// An error on its way to the caller.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{status}: {}", body.error)]
pub struct Problem {
    /// Status of the answer.
    pub status: StatusCode,
    /// Body of the answer.
    pub body: Box<ErrorBody>,
}

impl Problem {
    /// A problem that a retry does not solve, without a hint.
    #[must_use]
    pub fn new(status: StatusCode, code: &str, error: impl Into<String>) -> Self {
        let mut error = error.into();
        if let Some((cut, _)) = error.char_indices().nth(TEXT_MAX_CHARS) {
            error.truncate(cut);
            error.push('…');
        }
        let body = ErrorBody { error, code: code.to_owned(), ..ErrorBody::default() };
        Self { status, body: Box::new(body) }
    }

    /// With a next step for the caller.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.body.hint = Some(hint.into());
        self
    }

    /// The same request may succeed later.
    #[must_use]
    pub fn retryable(mut self) -> Self {
        self.body.retryable = true;
        self
    }

    /// With the Machines API's own `status` word.
    #[must_use]
    pub fn word(mut self, status: &str) -> Self {
        self.body.status = Some(status.to_owned());
        self
    }

    /// 400: the request cannot be right.
    #[must_use]
    pub fn invalid(code: &str, message: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, format!("invalid_argument: {message}"))
    }

    /// 422: a field we know and do not support, rather than a promise that is not kept.
    #[must_use]
    pub fn unsupported(field: &str, hint: &str) -> Self {
        let message = format!("`{field}` is not supported by this host");
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "unsupported_field", message).hint(hint)
    }

    /// 401: no token, or none that is valid.
    #[must_use]
    pub fn unauthenticated() -> Self {
        let error = "Authenticate: token validation error";
        Self::new(StatusCode::UNAUTHORIZED, "unauthenticated", error).hint(
            "send `Authorization: Bearer <token>`; `dormouse token create` makes one, and the unix \
             socket needs none",
        )
    }

    /// 403: a valid caller without the right.
    #[must_use]
    pub fn forbidden(message: impl std::fmt::Display, hint: &str) -> Self {
        let message = format!("permission_denied: {message}");
        Self::new(StatusCode::FORBIDDEN, "permission_denied", message).hint(hint)
    }

    /// 404: no such app.
    #[must_use]
    pub fn app_not_found() -> Self {
        Self::from_control(&ControlError::NotFound { what: "app" }, None)
    }

    /// 404: no such machine (in this app).
    #[must_use]
    pub fn machine_not_found() -> Self {
        Self::from_control(&ControlError::NotFound { what: "machine" }, None)
    }

    /// 404: not the form of a machine id.
    #[must_use]
    pub fn malformed_machine_id(id: &str) -> Self {
        let error = format!("invalid machine ID, '{id}'");
        Self::new(StatusCode::NOT_FOUND, "invalid_machine_id", error)
            .hint("a machine id has 14 lower-case hex digits; names are not ids")
    }

    /// 404: a path that only a machine has.
    #[must_use]
    pub fn inside_only() -> Self {
        let error = "not_found: only a program inside a machine has this path";
        Self::new(StatusCode::NOT_FOUND, "inside_only", error)
            .hint("from outside it is `/v1/apps/{app}/machines/{id}/self/…`")
    }

    /// 422: a policy with errors.
    #[must_use]
    pub fn invalid_policy(findings: &[policy::Finding]) -> Self {
        of_self::refusal(&govern::WriteRefused::Policy { findings: findings.to_vec() })
    }

    /// 413: the body is larger than we read.
    #[must_use]
    pub fn too_large(limit_bytes: usize) -> Self {
        let error = format!("request body is larger than {limit_bytes} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", error).hint(
            "put large data into the image, or copy it in with `exec` once the machine runs; `env` \
             and `files` count",
        )
    }

    /// 500: our mistake.
    #[must_use]
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
            .hint("this is a fault of the daemon; its log has the details under `fly-request-id`")
    }

    /// What control answered, about `machine` if it was about one.
    #[must_use]
    pub fn from_control(error: &ControlError, machine: Option<&MachineId>) -> Self {
        from_control::problem(error, machine)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self.body).expect("an error body has only plain fields");
        let mut response = (self.status, body).into_response();
        let json = HeaderValue::from_static("application/json; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        if let Some(revision) = self.body.revision {
            response.headers_mut().insert(REVISION_HEADER, HeaderValue::from(revision));
        }
        if self.body.retryable {
            let after = HeaderValue::from_static("1");
            response.headers_mut().insert(header::RETRY_AFTER, after);
        }
        response
    }
}
