//! Sockets for questions to the host's resolvers, made by the thread that lives beside them.

use crate::process::binder::Binder;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;

/// Has sockets made in the host's network namespace.
#[derive(Debug)]
pub(super) struct Outside(pub(super) Binder);

impl dns::Sockets for Outside {
    async fn udp(&self, upstream: SocketAddr) -> io::Result<UdpSocket> {
        self.0
            .make(move || dns::HostSockets::make_udp(upstream).map(OwnedFd::from))
            .await
            .map(UdpSocket::from)
    }

    async fn tcp(&self, upstream: SocketAddr) -> io::Result<OwnedFd> {
        self.0.make(move || dns::HostSockets::make_tcp(upstream)).await
    }
}
