//! Why init cannot go on, and how it says so.

use crate::host::Lost;
use crate::machine::Failure;
use crate::{EXIT_CHANNEL, EXIT_SOFTWARE};
use rustix::io::Errno;
use std::error::Error as _;
use std::io::Write as _;

/// Why init cannot go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Stop {
    /// Without a host there is nothing to do.
    #[error("the channel is lost")]
    Channel(#[from] Lost),
    /// Nobody's fault.
    #[error("a system call of init failed")]
    System(#[from] Errno),
    /// There is no machine.
    #[error("the machine cannot be furnished")]
    Unfurnished(#[source] Failure),
}

impl Stop {
    /// Tells it on the standard error that init was given; the channel cannot be used. Returns the exit
    /// code.
    pub(crate) fn tell(&self) -> u8 {
        let mut line = format!("dormouse-init: {self}");
        let mut cause = self.source();
        while let Some(error) = cause {
            line.push_str(": ");
            line.push_str(&error.to_string());
            cause = error.source();
        }
        match writeln!(std::io::stderr(), "{line}") {
            Ok(()) | Err(_) => {}
        }
        match self {
            Self::Channel(_) => EXIT_CHANNEL,
            Self::System(_) | Self::Unfurnished(_) => EXIT_SOFTWARE,
        }
    }
}
