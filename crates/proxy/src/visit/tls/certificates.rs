//! Certificates: of the records, or made here for names that have none.

use super::alpn_of;
use model::spec::service::Port;
use proxy_proto::AppRoute;
use proxy_proto::route::Certificate;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ServerConfig, SupportedProtocolVersion};

/// Most configurations, and most certificates of our own, that are kept: a few KiB each. When there
/// are more, all are made anew.
const KEPT_MAX: usize = 1_024;

/// Most certificates in a chain.
const CHAIN_MAX: usize = 16;

/// Name in a certificate for visitors who name nobody.
const NAMELESS: &str = "localhost";

/// Makes and keeps what handshakes need.
#[derive(Debug, Default)]
pub(crate) struct Certificates {
    configs: Mutex<HashMap<Key, Arc<ServerConfig>>>,
    self_signed: Mutex<HashMap<String, Arc<SelfSigned>>>,
}

/// What a configuration depends on: with another chain or key it is another one, so that a changed
/// certificate is for all who come from then on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    source: Source,
    versions: Vec<String>,
    alpn: Vec<Vec<u8>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Source {
    /// Chain and key of a record.
    Record(Certificate),
    /// Made here for this name.
    Own(String),
}

struct SelfSigned {
    chain: Vec<CertificateDer<'static>>,
    key: Vec<u8>,
}

impl std::fmt::Debug for SelfSigned {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SelfSigned").field("chain", &self.chain).finish_non_exhaustive()
    }
}

impl Certificates {
    /// The configuration for a visitor who asks for `name` at a port of an app.
    ///
    /// # Errors
    /// In words, why there is none.
    pub(super) fn config(
        &self,
        app: Option<&AppRoute>,
        name: &str,
        port: &Port,
    ) -> Result<Arc<ServerConfig>, String> {
        let source = match app.and_then(|app| certificate_for(app, name)) {
            Some(certificate) => Source::Record(certificate.clone()),
            None if name.is_empty() => Source::Own(NAMELESS.to_owned()),
            None => Source::Own(name.to_owned()),
        };
        let key = Key { source, versions: port.tls.versions.clone(), alpn: alpn_of(port) };
        if let Some(config) = lock(&self.configs).get(&key) {
            return Ok(Arc::clone(config));
        }
        let config = Arc::new(self.make(&key)?);
        keep(&mut lock(&self.configs), key, &config);
        Ok(config)
    }

    fn make(&self, key: &Key) -> Result<ServerConfig, String> {
        let (chain, secret) = match &key.source {
            Source::Record(certificate) => of_record(certificate)?,
            Source::Own(name) => self.own(name)?,
        };
        let versions = versions(&key.versions)?;
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&versions)
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, secret));
        let mut config = config.map_err(|error| error.to_string())?;
        config.alpn_protocols.clone_from(&key.alpn);
        Ok(config)
    }

    fn own(&self, name: &str) -> Result<Chain, String> {
        let kept = lock(&self.self_signed).get(name).cloned();
        let own = match kept {
            Some(own) => own,
            None => {
                let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]);
                let made = made.map_err(|error| error.to_string())?;
                let chain = vec![made.cert.der().clone()];
                let own = Arc::new(SelfSigned { chain, key: made.signing_key.serialize_der() });
                keep(&mut lock(&self.self_signed), name.to_owned(), &own);
                own
            }
        };
        let key = PrivatePkcs8KeyDer::from(own.key.clone());
        Ok((own.chain.clone(), key.into()))
    }
}

type Chain = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn of_record(certificate: &Certificate) -> Result<Chain, String> {
    let chain = certificate.chain_pem.as_bytes();
    let chain = CertificateDer::pem_slice_iter(chain).take(CHAIN_MAX);
    let chain: Result<Vec<_>, _> = chain.collect();
    let chain = chain.map_err(|error| format!("its chain cannot be read: {error:?}"))?;
    // The parser's error is not passed on: it might repeat what it has read.
    let key = PrivateKeyDer::from_pem_slice(certificate.key_pem.as_bytes());
    let key = key.map_err(|_unreadable| "its key cannot be read".to_owned())?;
    Ok((chain, key))
}

/// The app's own certificate for exactly this name, else for all beside it.
fn certificate_for<'a>(app: &'a AppRoute, name: &str) -> Option<&'a Certificate> {
    let of = |name: &str| {
        let mut own = app.hostnames.iter().filter(|own| own.name == name);
        own.find_map(|own| own.certificate.as_ref())
    };
    of(name).or_else(|| of(&format!("*.{}", name.split_once('.')?.1)))
}

fn versions(words: &[String]) -> Result<Vec<&'static SupportedProtocolVersion>, String> {
    if words.is_empty() {
        return Ok(vec![&TLS12, &TLS13]);
    }
    let each = words.iter().map(|word| match word.as_str() {
        "TLSv1.2" => Ok(&TLS12),
        "TLSv1.3" => Ok(&TLS13),
        other => Err(format!("there is no version `{other}`")),
    });
    each.collect()
}

fn keep<K: std::hash::Hash + Eq, V>(kept: &mut HashMap<K, Arc<V>>, key: K, value: &Arc<V>) {
    if kept.len() >= KEPT_MAX {
        kept.clear();
    }
    kept.insert(key, Arc::clone(value));
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::{Certificate, Certificates};
    use crate::fixture::{app, port};
    use model::spec::service::Handler;
    use proxy_proto::AppRoute;
    use std::sync::Arc;

    fn with_certificate(names: &[&str]) -> (AppRoute, String) {
        let made = rcgen::generate_simple_self_signed(vec!["x.example.test".to_owned()]);
        let made = made.expect("made");
        let key_pem = made.signing_key.serialize_pem();
        let mut route = app("web", 1, names);
        let certificate = Certificate { chain_pem: made.cert.pem(), key_pem: key_pem.clone() };
        route.hostnames[0].certificate = Some(certificate);
        (route, key_pem)
    }

    #[test]
    fn a_changed_certificate_is_another_configuration() {
        let kept = Certificates::default();
        let port = port(443, &[Handler::Tls]);
        let config = |route: &AppRoute, name: &str| {
            kept.config(Some(route), name, &port).expect("a configuration")
        };
        let (first, _) = with_certificate(&["*.example.test", "bare.example.test"]);
        let (other, _) = with_certificate(&["*.example.test"]);
        let before = config(&first, "a.example.test");
        assert!(Arc::ptr_eq(&before, &config(&first, "b.example.test")));
        assert!(!Arc::ptr_eq(&before, &config(&other, "a.example.test")));
        assert!(Arc::ptr_eq(&before, &config(&first, "a.example.test")));
        let self_signed = config(&first, "bare.example.test.example.org");
        assert!(!Arc::ptr_eq(&before, &self_signed));
    }

    #[test]
    fn keys_are_not_shown() {
        let kept = Certificates::default();
        let (route, key) = with_certificate(&["www.example.test"]);
        let port = port(443, &[Handler::Tls]);
        for name in ["www.example.test", "other.example.test"] {
            drop(kept.config(Some(&route), name, &port).expect("a configuration"));
        }
        let line = key.lines().nth(1).expect("a line");
        let shown = format!("{kept:?} {route:?}");
        assert!(!shown.contains(line) && !shown.contains("PRIVATE"), "{shown}");
    }
}
