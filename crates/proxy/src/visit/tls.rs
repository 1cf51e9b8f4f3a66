//! TLS ends here: which app and certificate a handshake gets.

mod certificates;

pub(crate) use certificates::Certificates;

use super::Visitor;
use crate::desk::{Desk, PortView};
use crate::table::names;
use model::spec::service::{Handler, Port, Transport};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::rustls::server::Acceptor;
use tokio_rustls::server::TlsStream;

/// Longest handshake.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// The alert of a server that has no such name. Source: RFC 6066, 3; RFC 8446, 6.
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
#[error("the handshake failed: {why}")]
pub(crate) struct NoTls {
    /// With whom.
    pub(crate) peer: SocketAddr,
    why: Why,
}

#[derive(Debug, thiserror::Error)]
enum Why {
    #[error("it took too long")]
    TooSlow,
    #[error("nobody has this name")]
    NoSuchName,
    #[error("there is no certificate: {0}")]
    NoCertificate(String),
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// A connection on which TLS was agreed, who came, and what its port says.
pub(crate) type Accepted = (TlsStream<TcpStream>, Visitor, PortView);

/// Shakes hands.
pub(crate) async fn accept(
    desk: &Desk,
    certificates: &Certificates,
    stream: TcpStream,
    visitor: Visitor,
) -> Result<Accepted, NoTls> {
    let peer = visitor.peer;
    let shaken = shake_hands(desk, certificates, stream, visitor);
    let shaken = tokio::time::timeout(HANDSHAKE_MAX, shaken).await;
    shaken.unwrap_or(Err(Why::TooSlow)).map_err(|why| NoTls { peer, why })
}

async fn shake_hands(
    desk: &Desk,
    certificates: &Certificates,
    stream: TcpStream,
    mut visitor: Visitor,
) -> Result<Accepted, Why> {
    let mut start = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
    let sni = start.client_hello().server_name().map(names::normal);
    let name = sni.clone().unwrap_or_default();
    let Some(view) = view(desk, visitor.port, &name) else {
        // The visitor is told why, if it still listens.
        drop(start.io.write_all(&UNRECOGNIZED_NAME).await);
        return Err(Why::NoSuchName);
    };
    let record = desk.read(|book| book.table.app(&view.app).cloned());
    let config = certificates.config(record.as_deref(), &name, &view.port);
    let config = config.map_err(Why::NoCertificate)?;
    let stream = start.into_stream(config).await?;
    let alpn = stream.get_ref().1.alpn_protocol();
    visitor.is_tls = true;
    visitor.alpn = alpn.map(|name| String::from_utf8_lossy(name).into_owned());
    visitor.sni = sni;
    Ok((stream, visitor, view))
}

/// The app that the name means; a name that nobody has, where a self-signed certificate will do, the
/// only app on the port.
fn view(desk: &Desk, port: u16, name: &str) -> Option<PortView> {
    desk.now_config(port, name).or_else(|| {
        let claimed = desk.claimed(Transport::Tcp, port)?;
        let owner = desk.owner_config(Transport::Tcp, port)?;
        let is_default = claimed.apps.len() == 1 && owner.port.tls.is_self_signed_by_default;
        is_default.then_some(owner)
    })
}

/// What is offered by ALPN on a port.
fn alpn_of(port: &Port) -> Vec<Vec<u8>> {
    let own = &port.tls.alpn;
    if !own.is_empty() {
        return own.iter().map(|name| name.clone().into_bytes()).collect();
    }
    if port.handlers.contains(&Handler::Http) {
        return vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    }
    Vec::new()
}
