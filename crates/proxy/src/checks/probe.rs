//! One question to a program.

use crate::visit::dial;
use bytes::Bytes;
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use model::spec::service::{Check, Probe};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::{
    CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    self, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};

/// Asks programs.
#[derive(Debug)]
pub(super) struct Prober {
    verifying: Result<Arc<ClientConfig>, String>,
    trusting: Result<Arc<ClientConfig>, String>,
}

/// What was seen, or what is wrong, in words.
type Seen = Result<String, String>;

impl Prober {
    /// With the host's trust store for checks that verify.
    pub(super) fn new() -> Self {
        let provider = Arc::new(ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let builder = || {
            let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
            builder.with_safe_default_protocol_versions().map_err(|error| error.to_string())
        };
        let any = Arc::new(Any(Arc::clone(&provider)));
        Self {
            verifying: builder().map(|builder| {
                Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
            }),
            trusting: builder().map(|builder| {
                let builder = builder.dangerous().with_custom_certificate_verifier(any);
                Arc::new(builder.with_no_client_auth())
            }),
        }
    }

    /// Asks once.
    pub(super) async fn probe(&self, to: (SocketAddr, SocketAddr), check: &Check) -> Seen {
        let stream = dial::dial(to).await.map_err(|error| error.to_string())?;
        let Probe::Http { is_https, skips_verification, server_name, .. } = &check.probe else {
            return Ok("connected".to_owned());
        };
        if !is_https {
            return ask(stream, to.0, &check.probe).await;
        }
        let config = if *skips_verification { &self.trusting } else { &self.verifying };
        let connector = TlsConnector::from(config.clone()?);
        let name = match server_name {
            Some(name) => ServerName::try_from(name.clone()).map_err(|error| error.to_string())?,
            None => ServerName::from(to.0.ip()),
        };
        let stream = connector.connect(name, stream).await.map_err(|error| error.to_string())?;
        ask(stream, to.0, &check.probe).await
    }
}

async fn ask<S>(stream: S, to: SocketAddr, probe: &Probe) -> Seen
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let request = request(to, probe)?;
    let connection = http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = connection.map_err(|error| error.to_string())?;
    let mut answer = std::pin::pin!(sender.send_request(request));
    let answered = tokio::select! {
        answered = &mut answer => answered,
        // The answer may have come with the end; an error of the connection is the answer's too.
        _ended = connection => answer.await,
    };
    let status = answered.map_err(|error| error.to_string())?.status();
    seen(status)
}

fn seen(status: StatusCode) -> Seen {
    if status.is_success() { Ok(status.to_string()) } else { Err(status.to_string()) }
}

fn request(to: SocketAddr, probe: &Probe) -> Result<Request<Empty<Bytes>>, String> {
    let Probe::Http { method, path, headers, server_name, .. } = probe else {
        return Err("not a check by HTTP".to_owned());
    };
    let path = if path.starts_with('/') { path.clone() } else { format!("/{path}") };
    let mut request = Request::builder().method(method.as_str()).uri(path);
    let is_host = |name: &str| name.eq_ignore_ascii_case(HOST.as_str());
    if !headers.iter().any(|(name, _)| is_host(name)) {
        let host = server_name.clone().unwrap_or_else(|| to.to_string());
        request = request.header(HOST, host);
    }
    for (name, value) in headers {
        request = request.header(name, value);
    }
    request.body(Empty::new()).map_err(|error| error.to_string())
}

/// Takes any certificate; for checks whose owner says so.
#[derive(Debug)]
struct Any(Arc<CryptoProvider>);

impl ServerCertVerifier for Any {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
