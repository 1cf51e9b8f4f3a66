//! What goes wrong between us and a QEMU.

use std::io;

/// A command that did not go well, or the end of a session.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QmpError {
    /// QEMU does not do it.
    #[error("QEMU refuses `{command}`: {message} ({class})")]
    Refused {
        /// The command.
        command: &'static str,
        /// QEMU's class of error, mostly `GenericError`.
        class: String,
        /// QEMU's words.
        message: String,
    },
    /// It did not answer in time.
    #[error("QEMU does not answer `{what}` in time")]
    Deadline {
        /// The command, or the event that did not come.
        what: &'static str,
    },
    /// It has closed the socket: mostly it has ended.
    #[error("QEMU has closed its monitor")]
    Closed,
    /// It said what cannot be.
    #[error("QEMU says what cannot be: {what}")]
    Garbage {
        /// What that was.
        what: String,
    },
    /// The socket failed.
    #[error("the socket to QEMU")]
    Socket(#[from] io::Error),
}
