//! Why the process cannot do its work.

use std::io;
use std::path::{Path, PathBuf};

/// Why the process cannot do its work.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// Something about a file or socket.
    #[error("cannot {action} `{}`", path.display())]
    Path {
        /// What was tried, as a verb.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The host refuses something else.
    #[error("cannot {action}")]
    Host {
        /// What was tried.
        action: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// The router cannot be entered.
    #[error("cannot enter the router")]
    Router(#[from] net::Error),
}

impl ProxyError {
    pub(crate) fn path<E: Into<io::Error>>(
        action: &'static str,
        path: &Path,
    ) -> impl FnOnce(E) -> Self {
        let path = path.to_owned();
        move |source| Self::Path { action, path, source: source.into() }
    }

    pub(crate) fn host<E: Into<io::Error>>(action: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::Host { action, source: source.into() }
    }
}
