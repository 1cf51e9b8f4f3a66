//! Host names of apps and their certificates.
//!
//! A name belongs to one app of the host, and a wildcard and the names it covers to one
//! organisation, so that nobody takes visitors from under another's wildcard. A name may have two
//! certificates: the owner's own, and one of the host's own authority; the owner's is served. With
//! none of both the proxy makes one of its own, which nobody trusts.
//!
//! * `name`: what a host name is.
//! * `chain`: whether a chain and a key are fit to be served under a name.
//! * `authority`: certificates that are made here.
//! * `looked_up`: what the DNS says of a name.
//!
//! Private keys lie in the store, which only its owner can read, and go to the proxy; they are in no
//! answer, no error and no log.

pub(crate) mod authority;
pub(crate) mod chain;
pub(crate) mod looked_up;
mod name;

pub use chain::ChainRefused;
pub use looked_up::LookedUp;
pub use name::{HOSTNAME_MAX_BYTES, Hostname, InvalidHostname};
pub use store::CertificateSource;

use model::UnixMs;

/// Host names of one app.
///
/// The app's whole record goes to the proxy in one message; see [`CERTIFICATES_MAX_BYTES`].
pub const HOSTNAMES_MAX: u64 = 500;

/// Bytes of all chains and keys of one app, as they are stored.
///
/// The proxy learns of an app by one message of at most 4 MiB, in which an end of line takes two
/// bytes; what is left is for the names.
pub const CERTIFICATES_MAX_BYTES: u64 = 3 * 1024 * 1024;

/// Most host names in one page of a list. Source: machines-api, 1.11.
pub const PAGE_MAX: u32 = 500;

/// A host name, without private keys.
#[derive(Clone, Debug, PartialEq)]
pub struct HostnameView {
    /// The name.
    pub name: String,
    /// When it was added.
    pub created_at: UnixMs,
    /// When something of it changed.
    pub updated_at: UnixMs,
    /// What the last look into the DNS found.
    pub looked_up: Option<LookedUp>,
    /// Its certificates; the first one is served.
    pub certificates: Vec<CertificateView>,
}

/// A certificate, without its private key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateView {
    /// Where it comes from.
    pub source: CertificateSource,
    /// Who signed it, in one line.
    pub issuer: String,
    /// `rsa`, `ecdsa` or `ed25519`.
    pub key_kind: String,
    /// When it was stored.
    pub created_at: UnixMs,
    /// From then on nobody takes it any more.
    pub expires_at: UnixMs,
}

/// Part of an app's host names.
#[derive(Clone, Debug, PartialEq)]
pub struct HostnamePage {
    /// The host names, by name.
    pub hostnames: Vec<HostnameView>,
    /// After which name the next page begins; `None` at the end.
    pub next: Option<String>,
    /// How many there are in all pages.
    pub n_all: u64,
}

/// A certificate that its owner brings.
#[derive(Clone)]
pub struct OwnCertificate {
    /// The chain as PEM, the host name's own certificate first.
    pub chain: String,
    /// Its private key as PEM.
    pub private_key: String,
    /// It may take the place of another one.
    pub replaces: bool,
}

impl std::fmt::Debug for OwnCertificate {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OwnCertificate").field("replaces", &self.replaces).finish_non_exhaustive()
    }
}

/// Why a host name or certificate was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostnameRefused {
    /// It is no host name, or one that nobody may have.
    #[error("the host name cannot be used: {0}")]
    Name(#[from] InvalidHostname),
    /// It, or a wildcard around it, belongs to somebody else.
    #[error("the host name is taken")]
    Taken,
    /// The app has this certificate already.
    #[error("the host name has a certificate from this source already")]
    Exists(CertificateSource),
    /// The app has as many host names as it may.
    #[error("the app has {HOSTNAMES_MAX} host names already")]
    TooMany,
    /// The app's certificates take as much room as they may.
    #[error("the certificates of the app would take more than {} KiB", CERTIFICATES_MAX_BYTES / 1024)]
    TooMuch,
    /// The chain or the key is not fit to be served.
    #[error(transparent)]
    Chain(#[from] ChainRefused),
}

impl HostnameRefused {
    /// Stable word for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Name(_) => "invalid_hostname",
            Self::Taken => "hostname_taken",
            Self::Exists(_) => "certificate_exists",
            Self::TooMany => "too_many_hostnames",
            Self::TooMuch => "certificates_too_large",
            Self::Chain(why) => why.code(),
        }
    }

    /// What the caller can do next.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Name(_) => {
                "write it like `www.example.com` or `*.example.com`; names in other scripts in their \
                 `xn--` form"
            }
            Self::Taken => {
                "choose another name; if it is yours, remove it from the app that has it first"
            }
            Self::Exists(CertificateSource::Custom) => {
                "send `\"replace\": true` (`--replace`) to put this one in its place"
            }
            Self::Exists(CertificateSource::Local) => {
                "`GET …/certificates/{hostname}` shows it; it is renewed by itself"
            }
            Self::TooMany | Self::TooMuch => "remove one that is no longer needed",
            Self::Chain(why) => why.hint(),
        }
    }
}
