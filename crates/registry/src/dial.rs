//! From where connections go out: this host's own network, or another network namespace.
//!
//! A [`Dialer`] is given an address, never a name: names are resolved once, in the host, and the
//! address that the policy has seen is the one that is dialled.

mod namespace;
mod resolver;

pub use namespace::NamespaceDialer;
pub use resolver::HostResolver;

use crate::reference;
use std::fmt::Debug;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use tokio::net::TcpStream;

/// A future of a trait object.
pub type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Addresses of one name that are tried: a registry with more has others to fall back to.
const ADDRESSES_MAX: usize = 8;

/// Opens connections.
pub trait Dialer: Send + Sync + Debug {
    /// Connects to `address`. Dropping the future gives the attempt up.
    ///
    /// # Errors
    /// Those of `connect(2)`.
    fn dial(&self, address: SocketAddr) -> Boxed<'_, io::Result<TcpStream>>;
}

/// Finds addresses.
pub trait Resolve: Send + Sync + Debug {
    /// The addresses of `host`, the best first.
    ///
    /// # Errors
    /// There are none, or nobody knows.
    fn resolve<'a>(&'a self, host: &'a str) -> Boxed<'a, io::Result<Vec<IpAddr>>>;
}

/// Connects from the network namespace of this process.
#[derive(Clone, Copy, Debug, Default)]
pub struct HostDialer;

impl Dialer for HostDialer {
    fn dial(&self, address: SocketAddr) -> Boxed<'_, io::Result<TcpStream>> {
        Box::pin(TcpStream::connect(address))
    }
}

/// The addresses of a host, which may be an address itself; `localhost` is asked of nobody.
pub(crate) async fn addresses_of(resolver: &dyn Resolve, host: &str) -> io::Result<Vec<IpAddr>> {
    if let Ok(address) = host.parse() {
        return Ok(vec![address]);
    }
    if reference::is_loopback(host) {
        return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
    }
    let mut found = resolver.resolve(host).await?;
    found.truncate(ADDRESSES_MAX);
    if found.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    }
    Ok(found)
}
