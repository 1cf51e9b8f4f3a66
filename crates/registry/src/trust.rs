//! Whom connections believe: the host's own trust store, files that the operator adds, and
//! certificates for single registries where Docker keeps them.
//!
//! The host's store and not a list of ours, so that what the operator trusts or distrusts counts
//! here too.
//!
//! Source: `docker/docs`, "Verify repository client with certificates".

use crate::error::RegistryError;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::{self, CryptoProvider};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    self, ClientConfig, ConfigBuilder, DigitallySignedStruct, RootCertStore, SignatureScheme,
    WantsVerifier,
};

/// Where Docker keeps certificates for single registries: `<host>[:<port>]/*.crt`.
pub const DOCKER_CERTS_DIR: &str = "/etc/docker/certs.d";

/// Largest file of certificates, in bytes: four times the bundle of a distribution.
const FILE_MAX_BYTES: u64 = 1 << 20;
/// Files read for one registry; Docker's directories have one to three.
const FILES_MAX: usize = 16;

/// Trusted certificates.
#[derive(Clone, Debug)]
pub struct Trust {
    roots: Arc<RootCertStore>,
    certs_dir: Option<PathBuf>,
}

impl Trust {
    /// Trusts the host's store, the certificates in `files` (PEM), and for single registries those
    /// in `certs_dir`, usually [`DOCKER_CERTS_DIR`]. Reads files: not for a thread of a runtime.
    ///
    /// A host without a store trusts only what is named here.
    ///
    /// # Errors
    /// [`RegistryError::Certificates`] names the file that cannot be used.
    pub fn of_host(files: &[PathBuf], certs_dir: Option<&Path>) -> Result<Self, RegistryError> {
        let mut roots = RootCertStore::empty();
        let native = rustls_native_certs::load_native_certs();
        for error in &native.errors {
            tracing::warn!(%error, "part of the host's trust store cannot be read");
        }
        let (n_used, n_unusable) = roots.add_parsable_certificates(native.certs);
        tracing::debug!(n_used, n_unusable, "read the host's trust store");
        for path in files {
            add_file(&mut roots, path)?;
        }
        Ok(Self { roots: Arc::new(roots), certs_dir: certs_dir.map(Path::to_owned) })
    }

    /// What TLS with `registry` (`host[:port]`) needs. Reads files.
    pub(crate) fn client_config(&self, registry: &str) -> Result<ClientConfig, RegistryError> {
        let mut roots = Arc::clone(&self.roots);
        for path in self.files_for(registry)? {
            add_file(Arc::make_mut(&mut roots), &path)?;
        }
        let builder = builder(&provider()).with_root_certificates(roots);
        Ok(with_protocol(builder.with_no_client_auth()))
    }

    fn files_for(&self, registry: &str) -> Result<Vec<PathBuf>, RegistryError> {
        let Some(dir) = self.certs_dir.as_ref().map(|dir| dir.join(registry)) else {
            return Ok(Vec::new());
        };
        let entries = match std::fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(unusable(&dir, error)),
        };
        let mut files = Vec::new();
        for entry in entries {
            let path = entry.map_err(|error| unusable(&dir, error))?.path();
            if path.extension().is_some_and(|extension| extension == "crt") {
                files.push(path);
            }
        }
        files.sort();
        files.truncate(FILES_MAX);
        Ok(files)
    }
}

/// TLS with a server that may show any certificate: encrypted, and nobody knows with whom. Only for
/// registries that the operator has called insecure.
pub(crate) fn unverified() -> ClientConfig {
    let provider = provider();
    let builder = builder(&provider).dangerous();
    let anybody = builder.with_custom_certificate_verifier(Arc::new(Anybody(provider)));
    with_protocol(anybody.with_no_client_auth())
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(crypto::ring::default_provider())
}

fn builder(provider: &Arc<CryptoProvider>) -> ConfigBuilder<ClientConfig, WantsVerifier> {
    ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()
        .expect("the provider has suites for the default versions")
}

fn with_protocol(mut config: ClientConfig) -> ClientConfig {
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

/// Believes every certificate; that the server has its key is checked all the same.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        crypto::verify_tls12_signature(message, certificate, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        crypto::verify_tls13_signature(message, certificate, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

fn unusable(path: &Path, source: io::Error) -> RegistryError {
    RegistryError::Certificates { path: path.to_owned(), source: Arc::new(source) }
}

fn add_file(roots: &mut RootCertStore, path: &Path) -> Result<(), RegistryError> {
    read_certificates(path)
        .and_then(|found| {
            let add = |certificate| roots.add(certificate).map_err(io::Error::other);
            found.into_iter().try_for_each(add)
        })
        .map_err(|source| unusable(path, source))
}

fn read_certificates(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let mut bytes = Vec::new();
    let n = File::open(path)?.take(FILE_MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if u64::try_from(n).map_or(true, |n| n > FILE_MAX_BYTES) {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than any bundle"));
    }
    let found: Vec<_> = CertificateDer::pem_slice_iter(&bytes)
        .collect::<Result<_, _>>()
        .map_err(io::Error::other)?;
    if found.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "it has no certificate in PEM form",
        ));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_certificates_is_named() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("ca.crt");
        std::fs::write(&path, "nothing").expect("written");
        let error = Trust::of_host(std::slice::from_ref(&path), None).expect_err("refused");
        assert!(error.to_string().contains(path.to_str().expect("text")), "{error}");
        let missing = Trust::of_host(&[dir.path().join("none")], None).expect_err("refused");
        assert!(matches!(missing, RegistryError::Certificates { .. }));
    }

    #[test]
    fn certificates_of_a_registry_are_read_only_for_it() {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(dir.path().join("r.io:5000")).expect("made");
        std::fs::write(dir.path().join("r.io:5000/ca.crt"), "nothing").expect("written");
        std::fs::write(dir.path().join("r.io:5000/client.key"), "nothing").expect("written");
        let trust = Trust::of_host(&[], Some(dir.path())).expect("trusts");
        assert!(trust.client_config("r.io").is_ok());
        assert!(trust.client_config("r.io:5000").is_err());
    }
}
