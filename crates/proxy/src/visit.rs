//! Visitors: how they came in, and how their bytes are passed on.

pub(crate) mod dial;
pub(crate) mod door;
pub(crate) mod drain;
pub(crate) mod proxy_proto;
pub(crate) mod tcp;
pub(crate) mod tls;
pub(crate) mod udp;

use crate::desk::{Desk, Target};
use crate::http;
use crate::table::ports::Kind;
use drain::DrainToken;
use model::spec::service::{Handler, Transport};
use rustix::net::sockopt::{set_socket_keepalive, set_tcp_keepidle, set_tcp_keepintvl};
use std::net::SocketAddr;
use std::time::Duration;
use tls::Certificates;
use tokio::net::TcpStream;

/// Longest time that a visitor is held in all.
///
/// Fly's clients give up after about as long; the slowest promised start needs a hundredth of it.
pub(crate) const HOLD_MAX: Duration = Duration::from_secs(60);

/// Silence after which the kernel asks whether a peer is still there.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(60);

/// Pause between two such questions.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(15);

/// A connection that came in.
#[derive(Clone, Debug)]
pub(crate) struct Visitor {
    /// Who.
    pub(crate) peer: SocketAddr,
    /// Where it came in.
    pub(crate) local: SocketAddr,
    /// The public port.
    pub(crate) port: u16,
    /// It came by TLS, which ended here.
    pub(crate) is_tls: bool,
    /// Name asked for by TLS.
    pub(crate) sni: Option<String>,
    /// Protocol agreed by TLS, like `h2`.
    pub(crate) alpn: Option<String>,
}

/// Serves a connection until it ends, as the handlers of its port say.
async fn come_in(
    desk: Desk,
    certificates: &Certificates,
    stream: TcpStream,
    (peer, at): (SocketAddr, SocketAddr),
    drain: DrainToken,
) {
    if let Err(error) = watch_peer(&stream) {
        tracing::debug!(%peer, %error, "the connection is gone already");
        return;
    }
    let local = stream.local_addr().unwrap_or(at);
    let port = at.port();
    let visitor = Visitor { peer, local, port, is_tls: false, sni: None, alpn: None };
    let Some(claimed) = desk.claimed(Transport::Tcp, port) else { return };
    match claimed.kind {
        Kind::Raw => tcp::serve(desk, visitor, stream, Target::PortOwner, drain).await,
        Kind::Http => Box::pin(http::serve(desk, visitor, stream, drain)).await,
        Kind::Tls => Box::pin(come_in_by_tls(desk, certificates, visitor, stream, drain)).await,
    }
}

async fn come_in_by_tls(
    desk: Desk,
    certificates: &Certificates,
    visitor: Visitor,
    stream: TcpStream,
    drain: DrainToken,
) {
    let (stream, visitor, view) = match tls::accept(&desk, certificates, stream, visitor).await {
        Ok(accepted) => accepted,
        Err(error) => {
            desk.metrics().tls_failed();
            tracing::debug!(peer = %error.peer, %error, "no TLS");
            return;
        }
    };
    if view.port.handlers.contains(&Handler::Http) {
        Box::pin(http::serve(desk, visitor, stream, drain)).await;
    } else {
        tcp::serve(desk, visitor, stream, Target::App(view.app), drain).await;
    }
}

/// Lets the kernel find out about peers that vanish without a word.
fn watch_peer(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    set_socket_keepalive(stream, true)?;
    set_tcp_keepidle(stream, KEEPALIVE_AFTER)?;
    set_tcp_keepintvl(stream, KEEPALIVE_EVERY)?;
    Ok(())
}
