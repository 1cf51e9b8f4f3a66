//! Whether a chain and a key are fit to be served under a name.
//!
//! What is looked at: both are PEM and not too large; the key is that of the first certificate; that
//! names the host name, may be used by servers, and each certificate is valid now and signed by the
//! next one, by name. Who the last one is signed by is the visitors' business: a private authority is
//! as good as another. What is kept is what was understood, without any text around it.

use super::Hostname;
use model::UnixMs;
use tokio_rustls::rustls::client::verify_server_name;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::server::ParsedCertificate;
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{Error as TlsError, InconsistentKeys};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::oid_registry::{OID_KEY_TYPE_EC_PUBLIC_KEY, OID_PKCS1_RSAENCRYPTION};
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::X509Name;

/// Largest chain, as it is sent: four times that of any public authority.
pub(crate) const CHAIN_MAX_BYTES: usize = 32 * 1024;

/// Largest key, as it is sent: RSA with 16,384 bits takes less.
pub(crate) const KEY_MAX_BYTES: usize = 16 * 1024;

/// Most certificates in a chain; the proxy takes no more.
const CHAIN_MAX: usize = 8;

/// Names of a certificate that an error shows.
const SHOWN_NAMES_MAX: usize = 4;

/// Longest text of an issuer that is kept, in characters.
const ISSUER_MAX_CHARS: usize = 200;

/// Why a chain or a key is not fit. Certificates are counted from one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainRefused {
    /// Larger than any real one.
    #[error("the {what} has more than {max_bytes} bytes")]
    TooLarge {
        /// `chain` or `private key`.
        what: &'static str,
        /// How large it may be.
        max_bytes: usize,
    },
    /// No certificate in PEM at all.
    #[error("the chain holds no certificate in PEM")]
    NoCertificate,
    /// More certificates than any real one has.
    #[error("the chain holds more than {CHAIN_MAX} certificates")]
    TooMany,
    /// A part of the chain is none.
    #[error("certificate {n} of the chain cannot be read: {why}")]
    Unreadable {
        /// Which.
        n: usize,
        /// Why.
        why: String,
    },
    /// No key in PEM at all.
    #[error("there is no private key in PEM")]
    NoKey,
    /// The key needs a pass phrase.
    #[error("the private key is encrypted")]
    EncryptedKey,
    /// The key is of a kind that is not served with, or damaged.
    #[error("the private key cannot be used: {why}")]
    BadKey {
        /// Why.
        why: String,
    },
    /// The key is of another certificate.
    #[error("the private key does not belong to the first certificate of the chain")]
    KeyMismatch,
    /// The certificate is for other names.
    #[error("the certificate is not for `{hostname}` but for {}", Names(names))]
    NotCovered {
        /// The host name.
        hostname: String,
        /// Names in the certificate.
        names: Vec<String>,
    },
    /// Its time is over.
    #[error("certificate {n} of the chain has expired")]
    Expired {
        /// Which.
        n: usize,
    },
    /// Its time is to come.
    #[error("certificate {n} of the chain is not valid yet")]
    NotYetValid {
        /// Which.
        n: usize,
    },
    /// It may be used for other things.
    #[error("the certificate may not be used by servers")]
    WrongPurpose,
    /// The next one is not its issuer.
    #[error("certificate {n} of the chain was not issued by certificate {}", n + 1)]
    BrokenChain {
        /// Which.
        n: usize,
    },
}

impl ChainRefused {
    /// Stable word for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } | Self::TooMany => "certificate_too_large",
            Self::NoCertificate | Self::Unreadable { .. } => "invalid_certificate",
            Self::NoKey | Self::EncryptedKey | Self::BadKey { .. } => "invalid_private_key",
            Self::KeyMismatch => "key_mismatch",
            Self::NotCovered { .. } => "hostname_not_covered",
            Self::Expired { .. } => "certificate_expired",
            Self::NotYetValid { .. } => "certificate_not_yet_valid",
            Self::WrongPurpose => "certificate_wrong_purpose",
            Self::BrokenChain { .. } => "broken_chain",
        }
    }

    /// What the caller can do next.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } | Self::TooMany => {
                "send only the certificate of the host name and those between it and the root"
            }
            Self::NoCertificate | Self::Unreadable { .. } => {
                "send `fullchain` as PEM: blocks of `-----BEGIN CERTIFICATE-----`, that of the host \
                 name first"
            }
            Self::NoKey => "send `private_key` as PEM: PKCS#8, PKCS#1 or SEC1",
            Self::EncryptedKey => "take its pass phrase off: `openssl pkey -in KEY -out PLAIN`",
            Self::BadKey { .. } => {
                "use RSA with 2048 bits or more, ECDSA on P-256 or P-384, or Ed25519"
            }
            Self::KeyMismatch => {
                "send the key the certificate was requested with, and its certificate first"
            }
            Self::NotCovered { .. } => {
                "get a certificate whose subject alternative names hold the host name; a wildcard \
                 covers one label"
            }
            Self::Expired { .. } => "renew it, and send the new one",
            Self::NotYetValid { .. } => "send it when its time has come, or check the host's clock",
            Self::WrongPurpose => "get one with the extended key usage `serverAuth`",
            Self::BrokenChain { .. } => {
                "put each certificate before that of its issuer, and leave others out"
            }
        }
    }
}

/// A chain and its key, fit to be served.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Fit {
    /// As PEM, the host name's own certificate first.
    pub(crate) chain: String,
    /// As PEM.
    pub(crate) private_key: String,
    /// Who signed the first certificate of the chain, in one line.
    pub(crate) issuer: String,
    /// `rsa`, `ecdsa` or `ed25519`.
    pub(crate) key_kind: &'static str,
    /// When the first certificate of the chain ends.
    pub(crate) expires_at: UnixMs,
}

impl std::fmt::Debug for Fit {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Fit");
        shown.field("issuer", &self.issuer).field("expires_at", &self.expires_at);
        shown.finish_non_exhaustive()
    }
}

/// Looks at a chain and a key that are to be served under `hostname`.
///
/// # Errors
/// [`ChainRefused`], the first thing that is wrong.
pub(crate) fn fit(
    hostname: &Hostname,
    chain: &str,
    private_key: &str,
    now: UnixMs,
) -> Result<Fit, ChainRefused> {
    let ders = certificates(chain)?;
    let parsed: Vec<X509Certificate<'_>> = parse_all(&ders)?;
    let key = key(private_key)?;
    expect_pair(&ders, key.clone_key())?;
    expect_name(&ders[0], &parsed[0], hostname)?;
    expect_purpose(&parsed[0])?;
    for (n, certificate) in (1..).zip(&parsed) {
        expect_time(n, certificate, now)?;
    }
    for (n, pair) in (1..).zip(parsed.windows(2)) {
        if pair[0].issuer().as_raw() != pair[1].subject().as_raw() {
            return Err(ChainRefused::BrokenChain { n });
        }
    }
    let ends = parsed.iter().map(|one| one.validity().not_after.timestamp());
    Ok(Fit {
        chain: ders.iter().map(|der| pem("CERTIFICATE", der)).collect(),
        private_key: key_pem(&key),
        issuer: shown_name(parsed[0].issuer()),
        key_kind: key_kind(&parsed[0]),
        expires_at: unix_ms(ends.min().unwrap_or_default()),
    })
}

fn certificates(chain: &str) -> Result<Vec<CertificateDer<'static>>, ChainRefused> {
    if chain.len() > CHAIN_MAX_BYTES {
        return Err(ChainRefused::TooLarge { what: "chain", max_bytes: CHAIN_MAX_BYTES });
    }
    let mut ders = Vec::new();
    for (n, der) in (1..).zip(CertificateDer::pem_slice_iter(chain.as_bytes())) {
        if n > CHAIN_MAX {
            return Err(ChainRefused::TooMany);
        }
        ders.push(der.map_err(|why| ChainRefused::Unreadable { n, why: format!("{why:?}") })?);
    }
    if ders.is_empty() { Err(ChainRefused::NoCertificate) } else { Ok(ders) }
}

fn parse_all<'a>(
    ders: &'a [CertificateDer<'static>],
) -> Result<Vec<X509Certificate<'a>>, ChainRefused> {
    let each = (1..).zip(ders).map(|(n, der)| {
        let unreadable = |why: String| ChainRefused::Unreadable { n, why };
        let (rest, certificate) =
            X509Certificate::from_der(der).map_err(|why| unreadable(why.to_string()))?;
        match rest {
            [] => Ok(certificate),
            _ => Err(unreadable("something follows it".to_owned())),
        }
    });
    each.collect()
}

fn key(text: &str) -> Result<PrivateKeyDer<'static>, ChainRefused> {
    if text.len() > KEY_MAX_BYTES {
        return Err(ChainRefused::TooLarge { what: "private key", max_bytes: KEY_MAX_BYTES });
    }
    let is_encrypted = text.contains("ENCRYPTED");
    // The error of the parser is not passed on: it might repeat what it has read.
    PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_unreadable| match is_encrypted {
        true => ChainRefused::EncryptedKey,
        false => ChainRefused::NoKey,
    })
}

fn expect_pair(
    ders: &[CertificateDer<'static>],
    key: PrivateKeyDer<'static>,
) -> Result<(), ChainRefused> {
    match CertifiedKey::from_der(ders.to_vec(), key, &ring::default_provider()) {
        Ok(_) => Ok(()),
        Err(TlsError::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
            Err(ChainRefused::KeyMismatch)
        }
        Err(TlsError::InvalidCertificate(why)) => {
            Err(ChainRefused::Unreadable { n: 1, why: why.to_string() })
        }
        Err(why) => Err(ChainRefused::BadKey { why: why.to_string() }),
    }
}

fn expect_name(
    der: &CertificateDer<'static>,
    certificate: &X509Certificate<'_>,
    hostname: &Hostname,
) -> Result<(), ChainRefused> {
    let names = names_of(certificate);
    let is_covered = match hostname.wildcard_base() {
        Some(_) => names.iter().any(|name| name.eq_ignore_ascii_case(hostname.as_str())),
        None => {
            let name = ServerName::try_from(hostname.as_str());
            let parsed = ParsedCertificate::try_from(der);
            name.is_ok_and(|name| {
                parsed.is_ok_and(|parsed| verify_server_name(&parsed, &name).is_ok())
            })
        }
    };
    if is_covered {
        return Ok(());
    }
    Err(ChainRefused::NotCovered { hostname: hostname.to_string(), names })
}

fn names_of(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(names)) = certificate.subject_alternative_name() else { return Vec::new() };
    let dns = names.value.general_names.iter().filter_map(|name| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        _ => None,
    });
    dns.collect()
}

/// A certificate that says nothing about its use may be used for everything. Source: RFC 5280,
/// 4.2.1.12.
fn expect_purpose(certificate: &X509Certificate<'_>) -> Result<(), ChainRefused> {
    match certificate.extended_key_usage() {
        Ok(Some(usage)) if !usage.value.server_auth && !usage.value.any => {
            Err(ChainRefused::WrongPurpose)
        }
        Ok(_) => Ok(()),
        Err(why) => Err(ChainRefused::Unreadable { n: 1, why: why.to_string() }),
    }
}

fn expect_time(
    n: usize,
    certificate: &X509Certificate<'_>,
    now: UnixMs,
) -> Result<(), ChainRefused> {
    let validity = certificate.validity();
    if unix_ms(validity.not_after.timestamp()) <= now {
        return Err(ChainRefused::Expired { n });
    }
    if unix_ms(validity.not_before.timestamp()) > now {
        return Err(ChainRefused::NotYetValid { n });
    }
    Ok(())
}

fn key_kind(certificate: &X509Certificate<'_>) -> &'static str {
    let algorithm = &certificate.public_key().algorithm.algorithm;
    if *algorithm == OID_PKCS1_RSAENCRYPTION {
        return "rsa";
    }
    if *algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY {
        return "ecdsa";
    }
    "ed25519"
}

/// A name in one line that nothing in it can break.
pub(crate) fn shown_name(name: &X509Name<'_>) -> String {
    let text: String = name.to_string().chars().take(ISSUER_MAX_CHARS).collect();
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

pub(crate) fn unix_ms(seconds: i64) -> UnixMs {
    UnixMs(u64::try_from(seconds).unwrap_or(0).saturating_mul(1000))
}

fn key_pem(key: &PrivateKeyDer<'_>) -> String {
    let label = match key {
        PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
        PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
        _ => "PRIVATE KEY",
    };
    pem(label, key.secret_der())
}

/// Source: RFC 7468.
fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(64) {
        pem.extend(line.iter().map(|byte| char::from(*byte)));
        pem.push('\n');
    }
    pem.push_str(&format!("-----END {label}-----\n"));
    pem
}

struct Names<'a>(&'a [String]);

impl std::fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() {
            return f.write_str("no name");
        }
        for (n, name) in self.0.iter().take(SHOWN_NAMES_MAX).enumerate() {
            let comma = if n == 0 { "" } else { ", " };
            write!(f, "{comma}`{}`", name.escape_debug())?;
        }
        match self.0.len().saturating_sub(SHOWN_NAMES_MAX) {
            0 => Ok(()),
            n_more => write!(f, " and {n_more} more"),
        }
    }
}

#[cfg(test)]
mod tests;
