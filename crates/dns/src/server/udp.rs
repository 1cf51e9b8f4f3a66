//! Questions in datagrams.

use crate::forward::Forward;
use crate::reply::Way;
use crate::request::QUERY_MAX_BYTES;
use crate::rule::Pin;
use crate::server::Server;
use crate::server::desk::{First, GRACE};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Room for datagrams that wait to be read, in bytes: a burst of some 4,000 questions.
const RECEIVE_BUFFER_BYTES: usize = 4 << 20;

/// Pause after an error of the socket, so that a lasting one does not keep a processor busy.
const ERROR_PAUSE: Duration = Duration::from_millis(10);

/// Takes a bound socket into use.
pub(crate) fn prepare(socket: std::net::UdpSocket) -> io::Result<UdpSocket> {
    use rustix::net::sockopt;
    socket.set_nonblocking(true)?;
    let forced = sockopt::set_socket_recv_buffer_size_force(&socket, RECEIVE_BUFFER_BYTES);
    if forced.is_err() {
        // Without the capability, as far as the host allows.
        sockopt::set_socket_recv_buffer_size(&socket, RECEIVE_BUFFER_BYTES)?;
    }
    UdpSocket::from_std(socket)
}

/// Reads questions until `stopped`; then lets those under way end.
pub(crate) async fn serve<F: Forward, P: Pin>(
    server: Arc<Server<F, P>>,
    socket: UdpSocket,
    mut stopped: watch::Receiver<()>,
) {
    let socket = Arc::new(socket);
    let mut jobs = JoinSet::new();
    // One byte more than a query may have, so that a longer one is noticed.
    let mut buffer = vec![0; QUERY_MAX_BYTES + 1];
    loop {
        let received = tokio::select! {
            received = socket.recv_from(&mut buffer) => received,
            _ = stopped.changed() => break,
        };
        match received {
            Ok((n_bytes, from)) => take(&server, &socket, &buffer[..n_bytes], from, &mut jobs),
            Err(error) => {
                tracing::debug!(%error, "a datagram was not received");
                sleep(ERROR_PAUSE).await;
            }
        }
        while jobs.try_join_next().is_some() {}
    }
    if timeout(GRACE, async { while jobs.join_next().await.is_some() {} }).await.is_err() {
        tracing::debug!(n_jobs = jobs.len(), "questions under way were given up");
    }
}

fn take<F: Forward, P: Pin>(
    server: &Arc<Server<F, P>>,
    socket: &Arc<UdpSocket>,
    bytes: &[u8],
    from: SocketAddr,
    jobs: &mut JoinSet<()>,
) {
    match server.first(bytes, from.ip(), Way::Udp, Instant::now()) {
        First::Silence => {}
        First::Reply(reply) => send(socket, &reply, from),
        First::Ask(job) => {
            let (server, socket) = (Arc::clone(server), Arc::clone(socket));
            jobs.spawn(async move {
                let reply = server.finish(*job).await;
                send(&socket, &reply, from);
            });
        }
    }
}

/// Sends, or lets it be when the socket is full: the asker will ask again.
fn send(socket: &UdpSocket, reply: &[u8], to: SocketAddr) {
    if let Err(error) = socket.try_send_to(reply, to) {
        tracing::debug!(%error, %to, "an answer was not sent");
    }
}
