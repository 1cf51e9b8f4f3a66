//! The doors of the API.
//!
//! Four doors to one router: TCP, TCP from inside machines (`_api.internal`), unix socket, and the
//! channel of a machine. A door decides who the caller is; everything after it is the same. Dropping
//! a `serve_*` future closes its door and its connections.

mod connections;
mod limits;
mod neighbours;
mod service;
mod unread;

use crate::auth::Identity;
use crate::v1;
use connections::Connections;
use control::Control;
use limits::Limits;
use model::MachineId;
use service::Door;
use std::num::NonZeroU32;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};

pub(crate) use connections::ConnectionHold;

/// The API on its way to its callers; clones share the bounds on connections.
#[derive(Clone, Debug)]
pub struct Server {
    remote: Connections,
    inside: Connections,
    local: Connections,
    control: Control,
    limits: Option<Limits>,
}

impl Server {
    /// A server of `control`.
    #[must_use]
    pub fn new(control: Control) -> Self {
        let router = v1::router(control.clone());
        Self {
            remote: Connections::remote(router.clone()),
            inside: Connections::inside(router.clone()),
            local: Connections::local(router),
            control,
            limits: None,
        }
    }

    /// The same with `factor` times the rate limits of the Machines API, for holders of tokens.
    #[must_use]
    pub fn with_rate_limits(self, factor: NonZeroU32) -> Self {
        Self { limits: Some(Limits::new(factor)), ..self }
    }

    fn token_door(&self) -> Door {
        Door::Token { control: self.control.clone(), limits: self.limits.clone() }
    }

    /// Serves TCP connections: callers need a token. Never returns.
    pub async fn serve_tcp(&self, listener: TcpListener) {
        self.remote
            .serve(async || {
                let (stream, _peer) = listener.accept().await?;
                // A delayed answer is a slow start; a failure here costs only time.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "no TCP_NODELAY");
                }
                Ok((stream, self.token_door()))
            })
            .await;
    }

    /// Serves TCP connections from inside machines. Callers need a token as anywhere: where they come
    /// from gives them no right. A machine that holds its share of the connections finds further ones
    /// closed at once. Never returns.
    pub async fn serve_machines(&self, listener: TcpListener) {
        self.inside
            .serve_shared(async || {
                let (stream, peer) = listener.accept().await?;
                Ok((stream, peer.ip(), self.token_door()))
            })
            .await;
    }

    /// Serves a unix socket: root and the daemon's own user are the owner, others need a token.
    /// Never returns.
    pub async fn serve_unix(&self, listener: UnixListener) {
        let own_uid = rustix::process::geteuid().as_raw();
        self.local
            .serve(async || {
                let (stream, _peer) = listener.accept().await?;
                let door = match stream.peer_cred().map(|peer| peer.uid()) {
                    Ok(uid) if uid == 0 || uid == own_uid => Door::Known(Identity::Local { uid }),
                    Ok(_) | Err(_) => self.token_door(),
                };
                Ok((stream, door))
            })
            .await;
    }

    /// Serves one connection that a program inside `machine` opened; returns when it is closed. The
    /// caller bounds how many a machine may have.
    pub async fn serve_guest<I>(&self, io: I, machine: MachineId)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let door = Door::Known(Identity::Guest(machine));
        self.local.clone().connection(io, door, ConnectionHold::free()).await;
    }
}
