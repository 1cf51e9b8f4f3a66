//! Several upstream servers as one: who is asked first, for how long, and who next.

use crate::forward::exchange::{Datagram, Sockets, by_tcp, by_udp};
use crate::forward::{Ask, Forward, ForwardError};
use hickory_proto::op::{Message, ResponseCode};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// Longest time one attempt waits for a datagram, and again for TCP when that is needed.
///
/// With [`ATTEMPTS`] it stays below the 5 s after which the C library asks again.
pub const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(2);

/// Attempts for one question, each with the next server, when each takes its whole time. Servers
/// that fail at once do not count.
pub const ATTEMPTS: u32 = 2;

/// The host's resolvers, asked through sockets that `S` makes.
#[derive(Debug)]
pub struct Upstreams<S> {
    sockets: S,
    servers: RwLock<Vec<SocketAddr>>,
    /// Index of the server that is asked first: one that is down is not asked first again.
    preferred: AtomicUsize,
}

impl<S: Sockets> Upstreams<S> {
    /// Asks `servers`, in this order.
    #[must_use]
    pub fn new(sockets: S, servers: Vec<SocketAddr>) -> Self {
        Self { sockets, servers: RwLock::new(servers), preferred: AtomicUsize::new(0) }
    }

    /// Asks others from now on.
    pub fn set_servers(&self, servers: Vec<SocketAddr>) {
        *self.servers.write().unwrap_or_else(PoisonError::into_inner) = servers;
        self.preferred.store(0, Ordering::Relaxed);
    }

    /// Index and address of the servers, in the order in which they are asked.
    fn plan(&self) -> Vec<(usize, SocketAddr)> {
        let servers = self.servers.read().unwrap_or_else(PoisonError::into_inner);
        if servers.is_empty() {
            return Vec::new();
        }
        let first = self.preferred.load(Ordering::Relaxed);
        let n_attempts = servers.len().max(usize::try_from(ATTEMPTS).unwrap_or(usize::MAX));
        let nth = |attempt| first.wrapping_add(attempt) % servers.len();
        (0..n_attempts).map(nth).map(|index| (index, servers[index])).collect()
    }

    async fn attempt(&self, upstream: SocketAddr, ask: &Ask) -> Result<Message, ForwardError> {
        let timed_out = |_| ForwardError::TimedOut { upstream };
        let datagram = timeout(ATTEMPT_TIMEOUT, by_udp(&self.sockets, upstream, ask));
        match datagram.await.map_err(timed_out)?? {
            Datagram::Answer(message) => Ok(message),
            Datagram::AskByTcp => {
                let stream = timeout(ATTEMPT_TIMEOUT, by_tcp(&self.sockets, upstream, ask));
                stream.await.map_err(timed_out)?
            }
        }
    }
}

impl<S: Sockets> Forward for Upstreams<S> {
    async fn ask(&self, ask: &Ask) -> Result<Message, ForwardError> {
        let start = Instant::now();
        let mut last = Err(ForwardError::NoUpstream);
        for (index, upstream) in self.plan() {
            // The last one asked is preferred: it has answered, or the next question begins with
            // one that has not been asked yet.
            self.preferred.store(index, Ordering::Relaxed);
            if start.elapsed() >= ATTEMPT_TIMEOUT * ATTEMPTS {
                break;
            }
            last = self.attempt(upstream, ask).await;
            match &last {
                Ok(message) if is_answer(message) => break,
                Ok(message) => {
                    let code = message.metadata.response_code;
                    tracing::debug!(%upstream, %code, "an upstream resolver could not tell");
                }
                Err(error) => {
                    let error: &dyn std::error::Error = error;
                    tracing::debug!(%upstream, error, "an upstream resolver failed");
                }
            }
        }
        last
    }
}

/// Whether another server need not be asked.
fn is_answer(message: &Message) -> bool {
    matches!(message.metadata.response_code, ResponseCode::NoError | ResponseCode::NXDomain)
}
