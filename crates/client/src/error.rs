//! What can go wrong with a call.

use api::contract::ErrorBody;
use std::io;

/// Why a call did not give what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody answers there.
    #[error("cannot connect to {target}")]
    Connect {
        /// Where.
        target: String,
        /// Why not.
        source: io::Error,
    },
    /// The daemon said no.
    #[error("{}", body.error)]
    Api {
        /// HTTP status.
        status: u16,
        /// What it said.
        body: Box<ErrorBody>,
    },
    /// A pull that had begun came to nothing.
    #[error("{}", body.error)]
    Pull {
        /// What the daemon said.
        body: Box<ErrorBody>,
    },
    /// The connection failed on the way.
    #[error("the connection failed")]
    Http(#[from] hyper::Error),
    /// The connection failed while frames or lines were read.
    #[error("the connection failed")]
    Io(#[from] io::Error),
    /// No answer in time.
    #[error("no answer within {timeout_s} s")]
    Timeout {
        /// How long was waited.
        timeout_s: u64,
    },
    /// The request cannot be written: a header or path with forbidden characters.
    #[error("the request cannot be sent")]
    Request(#[source] hyper::http::Error),
    /// The answer is not what the API promises: daemon and client are of different builds.
    #[error("the answer of {path} cannot be read")]
    Decode {
        /// Path of the request.
        path: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The answer is larger than any answer is.
    #[error("the answer of {path} is larger than {max_bytes} bytes")]
    TooLarge {
        /// Path of the request.
        path: String,
        /// The bound.
        max_bytes: usize,
    },
    /// The attached connection carries nonsense.
    #[error("the attached connection carries nonsense: {0}")]
    Frame(#[from] api::contract::frame::InvalidFrame),
}

impl ClientError {
    /// HTTP status, when the daemon answered.
    #[must_use]
    pub const fn status(&self) -> Option<u16> {
        match self {
            Self::Api { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// Stable word, when the daemon answered.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Api { body, .. } | Self::Pull { body } => Some(&body.code),
            _ => None,
        }
    }

    /// What to do next, when it is known.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Api { body, .. } | Self::Pull { body } => body.hint.as_deref(),
            Self::Connect { .. } => Some(
                "is the daemon running? `dormouse up` starts it; `--data-dir` or `--url` say where it is",
            ),
            Self::Timeout { .. } => Some("the daemon's log says what it was doing"),
            Self::Decode { .. } => Some("use client and daemon of the same build"),
            _ => None,
        }
    }

    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Api { body, .. } | Self::Pull { body } => body.retryable,
            Self::Connect { .. } | Self::Http(_) | Self::Io(_) | Self::Timeout { .. } => true,
            Self::Request(_) | Self::Decode { .. } | Self::TooLarge { .. } | Self::Frame(_) => {
                false
            }
        }
    }
}
