//! The shell with sockets: takes questions in, sends answers out.
//!
//! What is known here is answered at once where it was read; what others must be asked becomes a
//! task with a place in [`crate::bounds`]. The sockets are bound by the caller, who has entered the
//! network namespace of the machines, and whose addresses are the askers'.

use crate::bounds::{Bounds, Limits};
use crate::forward::Forward;
use crate::resolver::Resolver;
use crate::rule::Pin;
use crate::screen::PrivateAnswers;
use crate::zone::ZoneHandle;
use counters::{Counters, Counts};
use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinSet;

pub(crate) mod counters;
mod desk;
#[cfg(fuzzing)]
pub mod fuzzing;
mod tcp;
mod udp;

/// What a [`Server`] may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Passes on addresses of private networks from upstream, which are left out otherwise: for
    /// machines that may speak to their operator's own network by name.
    pub allow_private_answers: bool,
    /// How much may be asked.
    pub limits: Limits,
}

/// Ports that the kernel is asked for, until one is free for both UDP and TCP.
const MAX_PORTS_TRIED: usize = 64;

/// Sockets on which questions come in.
#[derive(Debug, Default)]
pub struct Doors {
    /// Bound UDP sockets, each to one address: answers leave from it.
    pub udp: Vec<UdpSocket>,
    /// Listening TCP sockets.
    pub tcp: Vec<TcpListener>,
}

impl Doors {
    /// Binds UDP and TCP on each of `addresses`, in the calling thread's network namespace. With
    /// port 0 both get the same port.
    ///
    /// # Errors
    /// The kernel's: the address is not there, or the port is taken.
    pub fn bind(addresses: &[SocketAddr]) -> io::Result<Self> {
        let mut doors = Self::default();
        for address in addresses {
            let (udp, tcp) = bind_pair(*address)?;
            doors.udp.push(udp);
            doors.tcp.push(tcp);
        }
        Ok(doors)
    }

    /// The same sockets once more, to hand them over while they are in use.
    ///
    /// # Errors
    /// The kernel's: no file descriptor is left.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self {
            udp: self.udp.iter().map(UdpSocket::try_clone).collect::<io::Result<_>>()?,
            tcp: self.tcp.iter().map(TcpListener::try_clone).collect::<io::Result<_>>()?,
        })
    }
}

/// UDP and TCP on one port of `address`. A port that the kernel chose for TCP may be in use for
/// UDP, as the source of anyone's question: then it is asked for another.
fn bind_pair(address: SocketAddr) -> io::Result<(UdpSocket, TcpListener)> {
    let n_tries = if address.port() == 0 { MAX_PORTS_TRIED } else { 1 };
    // Held while more are asked for, so that no port is offered twice.
    let mut tried = Vec::new();
    loop {
        let tcp = TcpListener::bind(address)?;
        match UdpSocket::bind(tcp.local_addr()?) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && tried.len() + 1 < n_tries => {
                tried.push(tcp);
            }
            udp => return Ok((udp?, tcp)),
        }
    }
}

/// Why questions cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A socket cannot be used.
    #[error("take a socket of the resolver into use")]
    Door(#[source] io::Error),
    /// Questions are no longer read from a socket; a mistake of ours.
    #[error("a reader of questions ended")]
    Ended,
}

/// The resolver: answers from a zone, asks `F` about the rest, and pins through `P`.
#[derive(Debug)]
pub struct Server<F, P> {
    zone: ZoneHandle,
    resolver: Resolver<F>,
    pin: P,
    bounds: Arc<Bounds>,
    counters: Arc<Counters>,
}

impl<F: Forward, P: Pin> Server<F, P> {
    /// A server that serves nobody yet.
    #[must_use]
    pub fn new(zone: ZoneHandle, forward: F, pin: P, options: Options) -> Arc<Self> {
        let counters = Arc::new(Counters::default());
        let private = match options.allow_private_answers {
            true => PrivateAnswers::Allowed,
            false => PrivateAnswers::Dropped,
        };
        let resolver = Resolver::new(forward, private, Arc::clone(&counters));
        let bounds = Bounds::new(options.limits);
        Arc::new(Self { zone, resolver, pin, bounds, counters })
    }

    /// Who is asked about other names.
    pub fn forward(&self) -> &F {
        self.resolver.forward()
    }

    /// What has happened so far.
    pub fn counts(&self) -> Counts {
        self.counters.read()
    }

    /// Serves until `stop` is ready. Then nothing new is read, and what is under way has
    /// 2 s to end.
    ///
    /// # Errors
    /// A socket that cannot be used. Errors of single questions are none.
    pub async fn run(
        self: Arc<Self>,
        doors: Doors,
        stop: impl Future<Output = ()>,
    ) -> Result<(), ServeError> {
        let (stop_sender, stopped) = watch::channel(());
        let mut readers = JoinSet::new();
        for socket in doors.udp {
            let socket = udp::prepare(socket).map_err(ServeError::Door)?;
            readers.spawn(udp::serve(Arc::clone(&self), socket, stopped.clone()));
        }
        for listener in doors.tcp {
            let listener = tcp::prepare(listener).map_err(ServeError::Door)?;
            readers.spawn(tcp::serve(Arc::clone(&self), listener, stopped.clone()));
        }
        let n_readers = readers.len();
        tokio::select! {
            () = stop => {}
            Some(_) = readers.join_next(), if n_readers > 0 => return Err(ServeError::Ended),
        }
        drop(stop_sender);
        while readers.join_next().await.is_some() {}
        Ok(())
    }
}
