//! Questions in streams: one after the other, each with its length in front (RFC 1035, 4.2.2).

use crate::bounds::{Place, Scarce};
use crate::forward::Forward;
use crate::reply::Way;
use crate::request::QUERY_MAX_BYTES;
use crate::rule::Pin;
use crate::server::Server;
use crate::server::desk::{First, GRACE};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Pause after a connection could not be taken, so that a lasting cause does not keep a processor
/// busy.
const ERROR_PAUSE: Duration = Duration::from_millis(50);

/// Takes a listening socket into use.
pub(crate) fn prepare(listener: std::net::TcpListener) -> io::Result<TcpListener> {
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// Takes connections until `stopped`; then lets questions under way end.
pub(crate) async fn serve<F: Forward, P: Pin>(
    server: Arc<Server<F, P>>,
    listener: TcpListener,
    mut stopped: watch::Receiver<()>,
) {
    let mut talks = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopped.changed() => break,
        };
        match accepted {
            Ok((stream, from)) => {
                // Without a place the stream is closed here.
                if let Some(place) = place(&server, from) {
                    let (server, stopped) = (Arc::clone(&server), stopped.clone());
                    talks.spawn(talk(server, stream, from.ip(), stopped, place));
                }
            }
            Err(error) => {
                tracing::debug!(%error, "a connection was not taken");
                sleep(ERROR_PAUSE).await;
            }
        }
        while talks.try_join_next().is_some() {}
    }
    if timeout(GRACE, async { while talks.join_next().await.is_some() {} }).await.is_err() {
        tracing::debug!(n_talks = talks.len(), "connections were given up");
    }
}

fn place<F: Forward, P: Pin>(server: &Server<F, P>, from: SocketAddr) -> Option<Place> {
    let who = server.zone.read().asker(from.ip()).map(|machine| machine.id.clone());
    server.bounds.take(&who, Scarce::Connections, Instant::now())
}

async fn talk<F: Forward, P: Pin>(
    server: Arc<Server<F, P>>,
    mut stream: TcpStream,
    from: IpAddr,
    mut stopped: watch::Receiver<()>,
    _place: Place,
) {
    let idle = server.bounds.limits().connection_idle;
    loop {
        let question = tokio::select! {
            question = timeout(idle, receive(&mut stream)) => question,
            _ = stopped.changed() => return,
        };
        let Ok(Ok(bytes)) = question else { return };
        let reply = match server.first(&bytes, from, Way::Tcp, Instant::now()) {
            First::Silence => return,
            First::Reply(reply) => reply,
            First::Ask(job) => server.finish(*job).await,
        };
        let Ok(Ok(())) = timeout(idle, send(&mut stream, &reply)).await else { return };
    }
}

/// Reads one message. Errors: the end of the stream, a message that is too long, the kernel's.
async fn receive(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let n_bytes = usize::from(stream.read_u16().await?);
    if n_bytes > QUERY_MAX_BYTES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut bytes = vec![0; n_bytes];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

async fn send(stream: &mut TcpStream, reply: &[u8]) -> io::Result<()> {
    let n_bytes = u16::try_from(reply.len()).map_err(io::Error::other)?;
    stream.write_all(&[&n_bytes.to_be_bytes()[..], reply].concat()).await
}
