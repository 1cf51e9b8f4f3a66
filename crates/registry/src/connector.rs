//! From the origin of a URL to a connection: find addresses, ask the policy about each, dial, and
//! speak TLS.

use crate::address::AddressPolicy;
use crate::allow::AllowList;
use crate::config::{RegistryConfig, Timeouts};
use crate::dial::{Boxed, Dialer, Resolve, addresses_of};
use crate::error::{RegistryError, was_hung_up};
use crate::trust::{self, Trust};
use crate::url::Origin;
use hyper::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use model::spec::egress::{EgressAction, EgressConnection, EgressPolicy, EgressProtocol};
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{self, ClientConfig};

/// TLS settings that are kept, one for each server: beyond that they are read anew each time.
const TLS_CONFIGS_MAX: usize = 64;

/// Opens checked connections.
#[derive(Clone, Debug)]
pub(crate) struct Connector {
    parts: Arc<Parts>,
    /// What the sender may speak to, beside what everybody may.
    egress: Option<Arc<EgressPolicy>>,
}

#[derive(Debug)]
struct Parts {
    dialer: Arc<dyn Dialer>,
    resolver: Arc<dyn Resolve>,
    addresses: AddressPolicy,
    /// Servers that need not prove who they are.
    insecure: AllowList,
    trust: Trust,
    timeouts: Timeouts,
    tls: Mutex<HashMap<String, Arc<ClientConfig>>>,
}

impl Connector {
    pub(crate) fn new(config: &RegistryConfig, dialer: Arc<dyn Dialer>) -> Self {
        let parts = Parts {
            dialer,
            resolver: Arc::clone(&config.resolver),
            addresses: config.addresses.clone(),
            insecure: config.insecure.clone(),
            trust: config.trust.clone(),
            timeouts: config.timeouts,
            tls: Mutex::default(),
        };
        Self { parts: Arc::new(parts), egress: None }
    }

    /// The same for a sender with a policy.
    pub(crate) fn with_egress(&self, policy: EgressPolicy) -> Self {
        Self { parts: Arc::clone(&self.parts), egress: Some(Arc::new(policy)) }
    }
}

impl Parts {
    async fn connect(
        &self,
        origin: &Origin,
        egress: Option<&EgressPolicy>,
    ) -> Result<Wire, RegistryError> {
        let stream = self.dial(origin, egress).await?;
        // Requests are small and wait for their answer; without this some wait for an old ACK first.
        stream.set_nodelay(true).map_err(|source| unreachable(origin, source))?;
        if !origin.is_tls {
            return Ok(Wire(TokioIo::new(Box::new(stream))));
        }
        self.encrypt(origin, stream).await
    }

    async fn dial(
        &self,
        origin: &Origin,
        egress: Option<&EgressPolicy>,
    ) -> Result<TcpStream, RegistryError> {
        let mut failure = None;
        for address in self.permitted(origin, egress).await? {
            let dialled = self.dialer.dial(SocketAddr::new(address, origin.port));
            match within(self.timeouts.connect, origin, "accept a connection", dialled).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(source)) => failure = Some(unreachable(origin, source)),
                Err(timeout) => failure = Some(timeout),
            }
        }
        Err(failure.unwrap_or_else(|| unreachable(origin, io::ErrorKind::AddrNotAvailable.into())))
    }

    /// The addresses of a server that may be dialled.
    async fn permitted(
        &self,
        origin: &Origin,
        egress: Option<&EgressPolicy>,
    ) -> Result<Vec<IpAddr>, RegistryError> {
        let host = origin.host.as_str();
        let name = host.parse::<IpAddr>().is_err().then_some(host);
        if let (Some(policy), Some(name)) = (egress, name)
            && !policy.may_look_up(name)
        {
            return Err(RegistryError::EgressDenied { host: origin.to_string(), address: None });
        }
        let found = addresses_of(self.resolver.as_ref(), host);
        let found = within(self.timeouts.answer, origin, "be found", found).await?;
        let found = found.map_err(|source| RegistryError::Resolve {
            host: host.to_owned(),
            source: Arc::new(source),
        })?;
        let mut permitted = Vec::new();
        let mut refusal = None;
        for address in found {
            if let Err(special) = self.addresses.check(host, origin.port, address) {
                let host = origin.to_string();
                refusal = Some(RegistryError::AddressRefused { host, address, special });
                continue;
            }
            let to = SocketAddr::new(address, origin.port);
            let connection = EgressConnection { to, protocol: EgressProtocol::Tcp, name };
            match egress.map_or(EgressAction::Allow, |policy| policy.decide(&connection)) {
                EgressAction::Allow => permitted.push(address),
                EgressAction::Deny => {
                    let (host, address) = (origin.to_string(), Some(address));
                    refusal = Some(RegistryError::EgressDenied { host, address });
                }
            }
        }
        match refusal {
            Some(refusal) if permitted.is_empty() => Err(refusal),
            _ => Ok(permitted),
        }
    }

    async fn encrypt(&self, origin: &Origin, stream: TcpStream) -> Result<Wire, RegistryError> {
        let name = ServerName::try_from(origin.host.clone())
            .map_err(|invalid| no_tls(origin, io::Error::other(invalid)))?;
        let config = self.tls_config(origin).await?;
        let handshake = TlsConnector::from(config).connect(name, stream);
        let encrypted = within(self.timeouts.handshake, origin, "agree on TLS", handshake).await?;
        let encrypted = encrypted.map_err(|source| no_tls(origin, source))?;
        Ok(Wire(TokioIo::new(Box::new(encrypted))))
    }

    async fn tls_config(&self, origin: &Origin) -> Result<Arc<ClientConfig>, RegistryError> {
        if self.insecure.names_server(&origin.host, origin.port) {
            return Ok(Arc::new(trust::unverified()));
        }
        let registry = origin.to_string();
        let known = || self.tls.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(config) = known().get(&registry) {
            return Ok(Arc::clone(config));
        }
        let trust = self.trust.clone();
        let key = registry.clone();
        let read = tokio::task::spawn_blocking(move || trust.client_config(&key)).await;
        let config = Arc::new(read.map_err(|join| no_tls(origin, io::Error::other(join)))??);
        let mut known = known();
        if known.len() < TLS_CONFIGS_MAX {
            known.insert(registry, Arc::clone(&config));
        }
        Ok(config)
    }
}

impl tower::Service<Uri> for Connector {
    type Response = Wire;
    type Error = RegistryError;
    type Future = Boxed<'static, Result<Wire, RegistryError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), RegistryError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let (parts, egress) = (Arc::clone(&self.parts), self.egress.clone());
        Box::pin(async move {
            let origin = Origin::of(&uri).ok_or_else(|| RegistryError::BadAnswer {
                host: uri.host().unwrap_or_default().to_owned(),
                why: "it leads to a URL that is not `http` or `https`".to_owned(),
            })?;
            parts.connect(&origin, egress.as_deref()).await
        })
    }
}

/// Waits for `work`, but not longer than `after`.
pub(crate) async fn within<T>(
    after: Duration,
    host: &impl fmt::Display,
    doing: &'static str,
    work: impl Future<Output = T>,
) -> Result<T, RegistryError> {
    match tokio::time::timeout(after, work).await {
        Ok(done) => Ok(done),
        Err(_elapsed) => Err(RegistryError::Timeout { host: host.to_string(), doing, after }),
    }
}

fn unreachable(origin: &Origin, source: io::Error) -> RegistryError {
    RegistryError::Unreachable { host: origin.to_string(), source: Arc::new(source) }
}

fn no_tls(origin: &Origin, source: io::Error) -> RegistryError {
    RegistryError::Tls { host: origin.to_string(), source: Arc::new(source) }
}

/// Whether the other side does not speak TLS at all; a certificate that is not trusted is another
/// matter, and no reason to do without.
pub(crate) fn speaks_no_tls(error: &RegistryError) -> bool {
    let RegistryError::Tls { source, .. } = error else { return false };
    let is_no_record = source
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>())
        .is_some_and(|inner| matches!(inner, rustls::Error::InvalidMessage(_)));
    is_no_record || was_hung_up(source)
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// An open connection, encrypted or not.
pub(crate) struct Wire(TokioIo<Box<dyn Io>>);

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wire")
    }
}

impl Connection for Wire {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl Write for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
