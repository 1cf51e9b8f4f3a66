//! Why a program or command could not be started, in the words of the protocol.

use guest_proto::message::StartFailure;
use rustix::io::Errno;

/// Why a program or command could not be started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct StartError {
    /// The kind of failure.
    pub(crate) reason: StartFailure,
    /// A sentence for the user.
    pub(crate) message: String,
}

/// Longest sentence: it may quote an argument, which may be as large as the orders.
const MESSAGE_MAX_BYTES: usize = 1024;

impl StartError {
    pub(crate) fn new(reason: StartFailure, message: impl Into<String>) -> Self {
        let mut message = message.into();
        message.truncate(message.floor_char_boundary(MESSAGE_MAX_BYTES));
        Self { reason, message }
    }

    /// A failure of the system that is nobody's fault.
    pub(crate) fn other(doing: &str, cause: Errno) -> Self {
        Self::new(StartFailure::Other, format!("cannot {doing}: {}", text(cause)))
    }
}

/// An error number in words, without the number itself.
pub(crate) fn text(errno: Errno) -> String {
    let text = std::io::Error::from(errno).to_string();
    match text.rfind(" (os error") {
        Some(at) => text[..at].to_owned(),
        None => text,
    }
}
