//! Connections from another network namespace.
//!
//! A socket belongs for life to the namespace that its maker was in, so one thread enters the
//! namespace and makes sockets there; everything else happens on the runtime as with any socket.
//! No thread of the runtime ever changes its namespace.

use super::{Boxed, Dialer};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::thread;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{mpsc, oneshot};

/// Sockets that are waited for at once: more than all pulls of a host together.
const QUEUE_MAX: usize = 64;

/// Connects from a network namespace. Its thread ends with it.
#[derive(Clone, Debug)]
pub struct NamespaceDialer {
    orders: mpsc::Sender<Order>,
}

#[derive(Debug)]
struct Order {
    family: AddressFamily,
    reply: oneshot::Sender<io::Result<OwnedFd>>,
}

impl NamespaceDialer {
    /// Enters the namespace behind `netns`, an open file such as `/proc/<pid>/ns/net`.
    ///
    /// # Errors
    /// The thread cannot be started, or may not enter the namespace.
    pub fn enter(netns: OwnedFd) -> io::Result<Self> {
        let (orders, inbox) = mpsc::channel(QUEUE_MAX);
        let (entered, outcome) = std::sync::mpsc::sync_channel(1);
        thread::Builder::new().name("dial-inside".to_owned()).spawn(move || {
            let moved = move_into_link_name_space(netns.as_fd(), Some(LinkNameSpaceType::Network));
            let is_inside = moved.is_ok();
            drop(netns);
            let is_awaited = entered.send(moved).is_ok();
            if is_inside && is_awaited {
                make_sockets(inbox);
            }
        })?;
        outcome.recv().map_err(io::Error::other)??;
        Ok(Self { orders })
    }

    async fn socket(&self, family: AddressFamily) -> io::Result<TcpSocket> {
        let (reply, made) = oneshot::channel();
        self.orders.send(Order { family, reply }).await.map_err(io::Error::other)?;
        let socket = made.await.map_err(io::Error::other)??;
        Ok(TcpSocket::from_std_stream(socket.into()))
    }
}

fn make_sockets(mut inbox: mpsc::Receiver<Order>) {
    while let Some(order) = inbox.blocking_recv() {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let made = socket_with(order.family, SocketType::STREAM, flags, None);
        // Nobody waits any more: the socket closes.
        drop(order.reply.send(made.map_err(io::Error::from)));
    }
}

impl Dialer for NamespaceDialer {
    fn dial(&self, address: SocketAddr) -> Boxed<'_, io::Result<TcpStream>> {
        Box::pin(async move {
            let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
            self.socket(family).await?.connect(address).await
        })
    }
}
