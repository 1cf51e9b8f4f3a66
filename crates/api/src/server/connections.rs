//! Connections and their bounds.

use super::neighbours::{Neighbours, Place};
use super::service::{Door, Service};
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

/// Most connections at a time over TCP. Each may hold a wait of 60 s, and a burst of 100 starts with
/// as many waits stays far below.
const REMOTE_MAX: usize = 1024;

/// Most connections at a time over the unix socket, whose own they are: the owner gets in however
/// many strangers knock at the other door.
const LOCAL_MAX: usize = 256;

/// Most connections at a time from inside machines, whose own they are: no machine keeps the owner
/// or the outside away.
const INSIDE_MAX: usize = 512;

/// Most bytes of a request's head.
const HEAD_MAX_BYTES: usize = 64 * 1024;

/// Most headers of a request.
const HEADERS_MAX: usize = 100;

/// Longest time for a request's head, the idle time before it included.
const HEAD_TIMEOUT: Duration = Duration::from_secs(75);

/// Pause after a failed accept: the process is out of descriptors, and others must end first.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves `router` on connections; clones share the bound on how many there are.
#[derive(Clone, Debug)]
pub(super) struct Connections {
    router: Router,
    slots: Arc<Semaphore>,
}

/// Keeps the slot of a connection, also when the connection has been taken over by an upgrade.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionHold(
    #[allow(dead_code, reason = "held, not read")]
    Option<Arc<(OwnedSemaphorePermit, Option<Place>)>>,
);

impl ConnectionHold {
    fn of(slot: Option<OwnedSemaphorePermit>, place: Option<Place>) -> Self {
        Self(slot.map(|slot| Arc::new((slot, place))))
    }

    /// Of a connection that somebody else counts.
    pub(super) const fn free() -> Self {
        Self(None)
    }
}

impl Connections {
    /// Over TCP.
    pub(super) fn remote(router: Router) -> Self {
        Self::at_most(REMOTE_MAX, router)
    }

    /// Over TCP, from inside machines.
    pub(super) fn inside(router: Router) -> Self {
        Self::at_most(INSIDE_MAX, router)
    }

    /// Over the unix socket.
    pub(super) fn local(router: Router) -> Self {
        Self::at_most(LOCAL_MAX, router)
    }

    fn at_most(n_connections: usize, router: Router) -> Self {
        Self { router, slots: Arc::new(Semaphore::new(n_connections)) }
    }

    /// Serves what `accept` gives; further callers wait to be accepted while all slots are taken.
    /// Never returns.
    pub(super) async fn serve<I>(&self, mut accept: impl AsyncFnMut() -> io::Result<(I, Door)>)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut open = JoinSet::new();
        loop {
            let slot = self.next_slot(&mut open).await;
            match accept().await {
                Ok((io, door)) => {
                    let hold = ConnectionHold::of(slot, None);
                    drop(open.spawn(self.clone().connection(io, door, hold)));
                }
                Err(error) => pause(&error).await,
            }
        }
    }

    /// The same for callers who must leave each other something: `accept` also says where each comes
    /// from, and who has its share is sent away.
    pub(super) async fn serve_shared<I>(
        &self,
        mut accept: impl AsyncFnMut() -> io::Result<(I, IpAddr, Door)>,
    ) where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (mut open, neighbours) = (JoinSet::new(), Neighbours::default());
        loop {
            let slot = self.next_slot(&mut open).await;
            match accept().await {
                Ok((io, source, door)) => {
                    let n_free = self.slots.available_permits() + 1;
                    if let Some(place) = neighbours.admit(source, n_free) {
                        let hold = ConnectionHold::of(slot, Some(place));
                        drop(open.spawn(self.clone().connection(io, door, hold)));
                    }
                }
                Err(error) => pause(&error).await,
            }
        }
    }

    /// Waits for a free slot and clears away connections that have ended; `None` never happens, as
    /// nobody closes the semaphore.
    async fn next_slot(&self, open: &mut JoinSet<()>) -> Option<OwnedSemaphorePermit> {
        while let Some(ended) = open.try_join_next() {
            if let Err(error) = ended {
                tracing::error!(%error, "a connection ended in a panic");
            }
        }
        Arc::clone(&self.slots).acquire_owned().await.ok()
    }

    /// Serves one connection until it is closed.
    pub(super) async fn connection<I>(self, io: I, door: Door, hold: ConnectionHold)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let service = Service::new(self.router, door, hold);
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

async fn pause(error: &io::Error) {
    tracing::warn!(%error, "a connection could not be accepted");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}

#[cfg(test)]
mod tests;
