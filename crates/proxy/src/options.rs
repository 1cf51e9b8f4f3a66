//! What the process is told.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// How long what is under way may take to finish when the process ends.
pub const DRAIN_DEFAULT: Duration = Duration::from_secs(30);

/// Options of the proxy.
#[derive(Clone, Debug)]
pub struct ProxyOptions {
    /// Directory with the sockets [`Self::control_socket`] and [`Self::handover_socket`].
    pub runtime_dir: PathBuf,
    /// File that keeps the last good records; its directory must exist.
    pub routes_file: PathBuf,
    /// Address of all doors. With 127.0.0.1 also `::1` is used, where it can be.
    pub listen: IpAddr,
    /// From where machines are reached.
    pub ground: Ground,
    /// Region that this host answers for.
    pub region: String,
    /// How long what is under way may take to finish when the process ends.
    pub drain: Duration,
}

/// The network namespace from which machines are reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ground {
    /// The router of the instance whose runtime directory this is, which must be there. The
    /// resolver answers there too.
    Router,
    /// A namespace with this file, which must be there.
    Namespace(PathBuf),
    /// The one that the process is in.
    Here,
}

impl ProxyOptions {
    /// Where control listens.
    #[must_use]
    pub fn control_socket(&self) -> PathBuf {
        self.runtime_dir.join("proxy.sock")
    }

    /// Where the next proxy gets the listening sockets of this one.
    #[must_use]
    pub fn handover_socket(&self) -> PathBuf {
        self.runtime_dir.join("proxy-handover.sock")
    }
}
