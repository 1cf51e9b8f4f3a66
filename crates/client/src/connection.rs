//! Connections to the daemon: opened when needed, kept for the next call.

use crate::body::RequestBody;
use crate::error::ClientError;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

/// Idle connections kept: as many as calls run at once in a busy program.
const IDLE_MAX: usize = 32;

/// Where the daemon is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A unix socket.
    Unix(PathBuf),
    /// `host:port`.
    Tcp(String),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "{}", path.display()),
            Self::Tcp(address) => f.write_str(address),
        }
    }
}

impl Target {
    /// Value of the `Host` header.
    pub(crate) fn host(&self) -> &str {
        match self {
            Self::Unix(_) => "localhost",
            Self::Tcp(address) => address,
        }
    }

    async fn connect(&self) -> Result<Sender, ClientError> {
        let failed = |source: io::Error| ClientError::Connect { target: self.to_string(), source };
        match self {
            Self::Unix(path) => handshake(UnixStream::connect(path).await.map_err(failed)?).await,
            Self::Tcp(address) => {
                let stream = TcpStream::connect(address).await.map_err(failed)?;
                stream.set_nodelay(true).map_err(failed)?;
                handshake(stream).await
            }
        }
    }
}

pub(crate) type Sender = SendRequest<RequestBody>;

async fn handshake<I>(io: I) -> Result<Sender, ClientError>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(io)).await?;
    tokio::spawn(async move {
        // The call that used the connection reports its failure; an idle one has none to tell.
        connection.with_upgrades().await.unwrap_or_default();
    });
    Ok(sender)
}

/// Connections that wait for the next call.
#[derive(Debug)]
pub(crate) struct Pool {
    target: Target,
    idle: Mutex<Vec<Sender>>,
}

impl Pool {
    pub(crate) fn new(target: Target) -> Self {
        Self { target, idle: Mutex::new(Vec::new()) }
    }

    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// An idle connection, which may have been closed meanwhile.
    pub(crate) fn take_idle(&self) -> Option<Sender> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    /// A new connection.
    pub(crate) async fn connect(&self) -> Result<Sender, ClientError> {
        self.target.connect().await
    }

    /// Keeps a connection whose answer has been read to its end.
    pub(crate) fn give_back(&self, sender: Sender) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_MAX && !sender.is_closed() {
            idle.push(sender);
        }
    }
}
