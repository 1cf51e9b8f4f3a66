//! How do others call us?
//!
//! A typed client of the API over TCP or the unix socket. One method for each route; wire types are
//! those of [`api::contract`]. It retries nothing but a request that was never sent, because a
//! connection it kept had been closed meanwhile.
//!
//! * [`Client`]: where to, and the calls: [`apps`], [`machines`], [`images`], [`hooks`],
//!   [`certificates`], [`secrets`], [`secret_keys`],
//!   [`host`].
//! * [`selfhood`], [`inbox`], [`policy`], [`trace`]: what a machine remembers, and what follows from it.
//! * [`raw`]: any request, as it is.
//! * [`logs`], [`attach`], the pulls of [`images`], following a [`trace`] or [`events`]: calls that go on.
//! * [`error`]: what can go wrong.

pub mod apps;
pub mod attach;
mod body;
pub mod certificates;
mod connection;
pub mod error;
pub mod events;
pub mod hooks;
pub mod host;
pub mod images;
pub mod inbox;
mod lines;
pub mod logs;
pub mod machines;
mod path;
pub mod policy;
pub mod raw;
pub mod secret_keys;
pub mod secrets;
pub mod selfhood;
mod send;
pub mod trace;

pub use attach::{AttachReader, AttachWriter};
pub use connection::Target;
pub use error::ClientError;
pub use events::EventStream;
pub use images::PullStream;
pub use logs::LogStream;
pub use machines::StartOutcome;
pub use raw::{RawAnswer, RawRequest};
pub use trace::TraceStream;

use api::contract::registry_auth::encode;
use connection::Pool;
use registry::{Credentials, Secret};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

/// A client; clones share its connections.
#[derive(Clone, Debug)]
pub struct Client {
    pool: Arc<Pool>,
    token: Option<Arc<str>>,
    lease_nonce: Option<Arc<str>>,
    /// Value of the header; a secret.
    registry_auth: Option<Secret>,
}

impl Client {
    /// A client of the daemon behind this unix socket.
    #[must_use]
    pub fn unix(path: impl Into<PathBuf>) -> Self {
        Self::new(Target::Unix(path.into()), None)
    }

    /// A client of the daemon at this address.
    #[must_use]
    pub fn tcp(address: SocketAddr, token: impl Into<String>) -> Self {
        Self::new(Target::Tcp(address.to_string()), Some(token.into()))
    }

    /// A client of the daemon at `target`, with a token if there is one.
    #[must_use]
    pub fn new(target: Target, token: Option<String>) -> Self {
        Self {
            pool: Arc::new(Pool::new(target)),
            token: token.map(Arc::from),
            lease_nonce: None,
            registry_auth: None,
        }
    }

    /// The same client as holder of a lease: writes carry its nonce.
    #[must_use]
    pub fn with_lease(&self, nonce: &str) -> Self {
        Self { lease_nonce: Some(Arc::from(nonce)), ..self.clone() }
    }

    /// The same client with credentials for a registry: its pulls, creates and updates carry them.
    #[must_use]
    pub fn with_credentials(&self, credentials: &Credentials) -> Self {
        Self { registry_auth: encode(credentials).map(Secret::new), ..self.clone() }
    }

    /// Where it calls.
    #[must_use]
    pub fn target(&self) -> &Target {
        self.pool.target()
    }
}
