//! Asking others: what belongs to no zone of ours.

use hickory_proto::op::{Message, Query};
use std::future::Future;
use std::net::SocketAddr;

pub(crate) mod exchange;
pub(crate) mod upstreams;

/// A question for others, and the key under which its answer is remembered. Names compare without
/// case.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ask {
    /// Name, type and class.
    pub query: Query,
    /// Signatures are wanted.
    pub dnssec_ok: bool,
    /// The asker checks signatures itself.
    pub checking_disabled: bool,
}

/// Someone who can be asked about any name.
pub trait Forward: Send + Sync + 'static {
    /// Asks, and returns the whole answer, whatever its code.
    ///
    /// # Errors
    /// Nobody answered in time, or nothing that can be read.
    fn ask(&self, ask: &Ask) -> impl Future<Output = Result<Message, ForwardError>> + Send;
}

/// Why there is no answer from upstream.
#[derive(Debug, thiserror::Error)]
pub enum ForwardError {
    /// There is nobody to ask.
    #[error("no upstream resolver is known")]
    NoUpstream,
    /// No answer in time.
    #[error("upstream {upstream} did not answer in time")]
    TimedOut {
        /// Who was asked.
        upstream: SocketAddr,
    },
    /// The socket failed.
    #[error("{doing} upstream {upstream}")]
    Io {
        /// What was being done: "ask", "connect to".
        doing: &'static str,
        /// Who was asked.
        upstream: SocketAddr,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The question cannot be written.
    #[error("write the question")]
    Unwritable(#[source] hickory_proto::ProtoError),
    /// The answer over TCP is not the answer to this question, or cannot be read.
    #[error("upstream {upstream} sent something else than an answer")]
    Unreadable {
        /// Who was asked.
        upstream: SocketAddr,
    },
}
