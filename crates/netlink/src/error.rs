//! What can go wrong in this room.

use rustix::io::Errno;

/// Why the kernel was not asked, or did not do it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no socket to ask with.
    #[error("cannot open a netlink socket")]
    Socket {
        /// The kernel's answer.
        source: Errno,
    },
    /// A request was refused.
    #[error("the kernel refused to {doing}")]
    Refused {
        /// The attempt, with the link or address in it.
        doing: String,
        /// The kernel's answer.
        source: Errno,
    },
    /// The kernel's answer to a request made no sense.
    #[error("the kernel's answer to \"{doing}\" is cut short")]
    Answer {
        /// The request.
        doing: String,
    },
}

/// Shorthand of this crate.
pub type Result<T> = std::result::Result<T, Error>;
