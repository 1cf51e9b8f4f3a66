//! The thread that stays in the host's network namespace and binds doors there.

use crate::error::ProxyError;
use model::spec::service::Transport;
use rustix::net::sockopt::{set_ipv6_v6only, set_socket_reuseaddr};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::mpsc;
use tokio::sync::oneshot;

/// Connections that the kernel completes before we accept them; a herd of knocks fits in.
const BACKLOG: i32 = 4_096;

/// Requests that may wait for the thread, each a few system calls: as many as questions of machines
/// that may be under way at a time.
const REQUESTS_MAX: usize = 1_024;

/// Asks the thread.
#[derive(Clone, Debug)]
pub(crate) struct Binder {
    requests: mpsc::SyncSender<Request>,
}

/// What makes a socket.
type Make = Box<dyn FnOnce() -> io::Result<OwnedFd> + Send>;

struct Request {
    make: Make,
    answer: oneshot::Sender<io::Result<OwnedFd>>,
}

impl Binder {
    /// Starts the thread, which lives in the caller's namespaces of now and ends with the last
    /// [`Binder`].
    pub(crate) fn start() -> Result<Self, ProxyError> {
        let (requests, inbox) = mpsc::sync_channel::<Request>(REQUESTS_MAX);
        std::thread::Builder::new()
            .name("binder".to_owned())
            .spawn(move || {
                for request in inbox {
                    // Who asked may have gone; then the socket is closed again.
                    drop(request.answer.send((request.make)()));
                }
            })
            .map_err(ProxyError::host("start a thread"))?;
        Ok(Self { requests })
    }

    /// A socket that listens, or takes datagrams.
    pub(crate) async fn bind(&self, at: (Transport, SocketAddr)) -> io::Result<OwnedFd> {
        self.make(move || bind_at(at.0, at.1)).await
    }

    /// Any other socket of that namespace; `make` must not wait.
    pub(crate) async fn make(
        &self,
        make: impl FnOnce() -> io::Result<OwnedFd> + Send + 'static,
    ) -> io::Result<OwnedFd> {
        let (answer, made) = oneshot::channel();
        let request = Request { make: Box::new(make), answer };
        let is_busy = || io::Error::from(io::ErrorKind::ResourceBusy);
        self.requests.try_send(request).map_err(|_full| is_busy())?;
        made.await.unwrap_or_else(|_gone| Err(is_busy()))
    }
}

fn bind_at(transport: Transport, address: SocketAddr) -> io::Result<OwnedFd> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let kind = match transport {
        Transport::Tcp => SocketType::STREAM,
        Transport::Udp => SocketType::DGRAM,
    };
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    if transport == Transport::Tcp {
        set_socket_reuseaddr(&socket, true)?;
    }
    if address.is_ipv6() {
        set_ipv6_v6only(&socket, true)?;
    }
    bind(&socket, &address)?;
    if transport == Transport::Tcp {
        listen(&socket, BACKLOG)?;
    }
    Ok(socket)
}
