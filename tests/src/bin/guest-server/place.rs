//! Where and when a server listens.

use rustix::net::sockopt::set_ipv6_v6only;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket};

/// Connections that may wait to be accepted: more than any test makes at once.
const BACKLOG: u32 = 1024;

/// Where and when.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) port: u16,
    family: Family,
    after: Duration,
}

#[derive(Debug, PartialEq, Eq)]
enum Family {
    Both,
    V4,
    V6,
}

impl Place {
    /// Reads `PORT [v4|v6] [after=MS]`.
    pub(crate) fn read(words: &[&str]) -> Option<Self> {
        let (port, words) = words.split_first()?;
        let mut place =
            Self { port: port.parse().ok()?, family: Family::Both, after: Duration::ZERO };
        for word in words {
            match *word {
                "v4" => place.family = Family::V4,
                "v6" => place.family = Family::V6,
                word => {
                    place.after = Duration::from_millis(word.strip_prefix("after=")?.parse().ok()?);
                }
            }
        }
        Some(place)
    }

    /// Waits until it is time.
    pub(crate) async fn pause(&self) {
        tokio::time::sleep(self.after).await;
    }

    /// Listens when it is time.
    pub(crate) async fn listen(&self) -> io::Result<TcpListener> {
        self.pause().await;
        let (socket, at): (_, SocketAddr) = match self.family {
            Family::V4 => (TcpSocket::new_v4()?, (Ipv4Addr::UNSPECIFIED, self.port).into()),
            Family::Both | Family::V6 => {
                let socket = TcpSocket::new_v6()?;
                set_ipv6_v6only(&socket, self.family == Family::V6)?;
                (socket, (Ipv6Addr::UNSPECIFIED, self.port).into())
            }
        };
        socket.set_reuseaddr(true)?;
        socket.bind(at)?;
        socket.listen(BACKLOG)
    }
}
