//! Connections and their bounds.
//!
//! Three doors to one router: TCP, unix socket, and the channel of a machine. A door decides who the
//! caller is; everything after it is the same. Dropping a `serve_*` future closes its door and its
//! connections.

mod service;

use crate::auth::Identity;
use crate::v1;
use axum::Router;
use control::Control;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use model::MachineId;
use service::{Door, Service};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

/// Most connections at a time over TCP and the unix socket together. Each may hold a wait of 60 s,
/// and a burst of 100 starts with as many waits stays far below.
const CONNECTIONS_MAX: usize = 1024;

/// Most bytes of a request's head.
const HEAD_MAX_BYTES: usize = 64 * 1024;

/// Most headers of a request.
const HEADERS_MAX: usize = 100;

/// Longest time for a request's head, the idle time before it included.
const HEAD_TIMEOUT: Duration = Duration::from_secs(75);

/// Pause after a failed accept: the process is out of descriptors, and others must end first.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The API on its way to its callers; clones share the bound on connections.
#[derive(Clone, Debug)]
pub struct Server {
    router: Router,
    control: Control,
    slots: Arc<Semaphore>,
}

/// Keeps the slot of a connection that has been taken over by an upgrade.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionHold(
    #[allow(dead_code, reason = "held, not read")] Option<Arc<OwnedSemaphorePermit>>,
);

impl Server {
    /// A server of `control`.
    #[must_use]
    pub fn new(control: Control) -> Self {
        let router = v1::router(control.clone());
        Self { router, control, slots: Arc::new(Semaphore::new(CONNECTIONS_MAX)) }
    }

    /// Serves TCP connections: callers need a token. Never returns.
    pub async fn serve_tcp(&self, listener: TcpListener) {
        let mut connections = JoinSet::new();
        loop {
            let hold = self.next_slot(&mut connections).await;
            match listener.accept().await {
                Ok((stream, _peer)) => {
                    // A delayed answer is a slow start; a failure here costs only time.
                    if let Err(error) = stream.set_nodelay(true) {
                        tracing::debug!(%error, "no TCP_NODELAY");
                    }
                    connections.spawn(self.clone().connection(stream, Door::Token, hold));
                }
                Err(error) => pause(&error).await,
            }
        }
    }

    /// Serves a unix socket: root and the daemon's own user are the owner, others need a token.
    /// Never returns.
    pub async fn serve_unix(&self, listener: UnixListener) {
        let own_uid = rustix::process::geteuid().as_raw();
        let mut connections = JoinSet::new();
        loop {
            let hold = self.next_slot(&mut connections).await;
            match listener.accept().await {
                Ok((stream, _peer)) => {
                    let door = match stream.peer_cred().map(|peer| peer.uid()) {
                        Ok(uid) if uid == 0 || uid == own_uid => {
                            Door::Known(Identity::Local { uid })
                        }
                        Ok(_) | Err(_) => Door::Token,
                    };
                    connections.spawn(self.clone().connection(stream, door, hold));
                }
                Err(error) => pause(&error).await,
            }
        }
    }

    /// Serves one connection that a program inside `machine` opened; returns when it is closed. The
    /// caller bounds how many a machine may have.
    pub async fn serve_guest<I>(&self, io: I, machine: MachineId)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let door = Door::Known(Identity::Guest(machine));
        self.clone().connection(io, door, ConnectionHold(None)).await;
    }

    /// Waits for a free slot and clears away connections that have ended.
    async fn next_slot(&self, connections: &mut JoinSet<()>) -> ConnectionHold {
        while let Some(ended) = connections.try_join_next() {
            if let Err(error) = ended {
                tracing::error!(%error, "a connection ended in a panic");
            }
        }
        let permit = Arc::clone(&self.slots).acquire_owned().await.ok();
        ConnectionHold(permit.map(Arc::new))
    }

    async fn connection<I>(self, io: I, door: Door, hold: ConnectionHold)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let service = Service::new(self.router, self.control, door, hold);
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(HEAD_MAX_BYTES)
            .max_headers(HEADERS_MAX);
        let served = http.serve_connection(TokioIo::new(io), service).with_upgrades().await;
        if let Err(error) = served {
            tracing::debug!(%error, "a connection ended early");
        }
    }
}

async fn pause(error: &std::io::Error) {
    tracing::warn!(%error, "a connection could not be accepted");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}
