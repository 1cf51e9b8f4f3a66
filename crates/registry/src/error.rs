//! Everything that can go wrong between a reference and its bytes.

use crate::address::Special;
use crate::docker_config::BadDockerConfig;
use crate::manifest::BadManifest;
use crate::reference::InvalidReference;
use model::ids::Digest;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Whose fault an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// What was asked for cannot be given.
    Caller,
    /// This host or its operator's settings.
    Host,
    /// The registry, or the way to it.
    Upstream,
}

/// Why something did not come from a registry.
///
/// Can be cloned: everybody who waits for one download learns why it failed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// Not a reference.
    #[error(transparent)]
    Reference(#[from] InvalidReference),
    /// The operator's list does not have it.
    #[error("registry `{registry}` is not allowed for `{repository}` on this host")]
    NotAllowed {
        /// Which registry.
        registry: String,
        /// Which repository in it.
        repository: String,
    },
    /// A host is where nobody may be sent.
    #[error("`{host}` is at {address}, {special}, where tenants may not be sent")]
    AddressRefused {
        /// Which host.
        host: String,
        /// Where it is.
        address: IpAddr,
        /// What that is.
        special: Special,
    },
    /// A host is where the policy of the sender does not let it go.
    #[error("the egress policy does not let it speak to `{host}`{}", at(*address))]
    EgressDenied {
        /// Which host.
        host: String,
        /// Where it is; `None` when not even its address may be asked for.
        address: Option<IpAddr>,
    },
    /// A host has no address.
    #[error("cannot find the address of `{host}`")]
    Resolve {
        /// Which host.
        host: String,
        /// Why not.
        source: Arc<io::Error>,
    },
    /// No connection.
    #[error("cannot connect to `{host}`")]
    Unreachable {
        /// Which host.
        host: String,
        /// Why not.
        source: Arc<io::Error>,
    },
    /// No agreement on TLS: an unknown authority, a wrong name, no TLS at all.
    #[error("cannot speak TLS with `{host}`")]
    Tls {
        /// Which host.
        host: String,
        /// Why not.
        source: Arc<io::Error>,
    },
    /// A file of trusted certificates cannot be used.
    #[error("cannot use the certificates in `{}`", path.display())]
    Certificates {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: Arc<io::Error>,
    },
    /// A connection broke.
    #[error("the connection to `{host}` broke")]
    Interrupted {
        /// Which host.
        host: String,
        /// How.
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// Nothing, or too little, came in time.
    #[error("`{host}` took too long to {doing} (more than {} s)", after.as_secs_f32())]
    Timeout {
        /// Which host.
        host: String,
        /// What it should have done: "answer".
        doing: &'static str,
        /// How long was waited.
        after: Duration,
    },
    /// The registry does not have it.
    #[error("`{what}` is not in registry `{host}`{}", said(said_text))]
    NotFound {
        /// Which registry.
        host: String,
        /// The manifest or blob.
        what: String,
        /// What the registry said.
        said_text: String,
    },
    /// The registry wants credentials, or others.
    #[error("registry `{host}` does not let {who} pull `{repository}`{}", said(said_text))]
    Unauthorized {
        /// Which registry.
        host: String,
        /// Which repository.
        repository: String,
        /// Who asked: "anybody", "these credentials".
        who: &'static str,
        /// What the registry said.
        said_text: String,
    },
    /// The registry knows who asks, and refuses.
    #[error("registry `{host}` denies access to `{repository}`{}", said(said_text))]
    Denied {
        /// Which registry.
        host: String,
        /// Which repository.
        repository: String,
        /// What the registry said.
        said_text: String,
    },
    /// Too many requests, in the registry's eyes.
    #[error("`{host}` limits the rate of requests{}", said(said_text))]
    RateLimited {
        /// Which host.
        host: String,
        /// How long it wants to be left alone, if it says so.
        retry_after: Option<Duration>,
        /// What it said.
        said_text: String,
    },
    /// Another status than those with a meaning here.
    #[error("`{host}` answered with status {status}{}", said(said_text))]
    Status {
        /// Which host.
        host: String,
        /// Status.
        status: u16,
        /// How long it wants to be left alone, if it says so.
        retry_after: Option<Duration>,
        /// What it said.
        said_text: String,
    },
    /// A redirect that is not followed.
    #[error("`{host}` redirects {why}")]
    Redirect {
        /// Who redirects.
        host: String,
        /// Where to, or how often.
        why: String,
    },
    /// A token server that must not see credentials.
    #[error("registry `{host}` wants its tokens from `{realm}`, which is not safe")]
    UnsafeRealm {
        /// Which registry.
        host: String,
        /// The URL it named, cut at a bound.
        realm: String,
    },
    /// An answer that is not what the specification says.
    #[error("the answer of `{host}` is wrong: {why}")]
    BadAnswer {
        /// Which host.
        host: String,
        /// What is wrong with it.
        why: String,
    },
    /// More bytes than there may be.
    #[error("{what} exceeds the limit of {max} bytes")]
    TooLarge {
        /// What: "the manifest".
        what: String,
        /// The bound.
        max: u64,
    },
    /// Not the size that was promised.
    #[error("{what} has {actual} bytes, its manifest says {expected}")]
    SizeDiffers {
        /// Which blob.
        what: String,
        /// What was promised.
        expected: u64,
        /// What there is.
        actual: u64,
    },
    /// Not the content that was promised.
    #[error("{what} has digest {actual}, expected {expected}")]
    DigestDiffers {
        /// Which document or blob.
        what: String,
        /// What was promised.
        expected: Digest,
        /// What it is.
        actual: Digest,
    },
    /// A document that is no image for this host.
    #[error("the manifest of `{reference}` cannot be used")]
    Manifest {
        /// Of what.
        reference: String,
        /// What is wrong with it.
        source: BadManifest,
    },
    /// The user's credentials cannot be read.
    #[error("Docker's `config.json` cannot be used")]
    DockerConfig(#[from] BadDockerConfig),
}

/// Whether the other side ended a connection without a word.
pub(crate) fn was_hung_up(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
    )
}

fn at(address: Option<IpAddr>) -> String {
    address.map(|address| format!(" at {address}")).unwrap_or_default()
}

fn said(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(": {text}") }
}

impl RegistryError {
    /// Whose fault it is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Reference(_)
            | Self::NotAllowed { .. }
            | Self::AddressRefused { .. }
            | Self::EgressDenied { .. }
            | Self::NotFound { .. }
            | Self::Unauthorized { .. }
            | Self::Denied { .. }
            | Self::TooLarge { .. }
            | Self::Manifest { .. }
            | Self::DockerConfig(_) => Fault::Caller,
            Self::Certificates { .. } => Fault::Host,
            Self::Resolve { .. }
            | Self::Unreachable { .. }
            | Self::Tls { .. }
            | Self::Interrupted { .. }
            | Self::Timeout { .. }
            | Self::RateLimited { .. }
            | Self::Status { .. }
            | Self::Redirect { .. }
            | Self::UnsafeRealm { .. }
            | Self::BadAnswer { .. }
            | Self::SizeDiffers { .. }
            | Self::DigestDiffers { .. } => Fault::Upstream,
        }
    }

    /// Whether the same request may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Resolve { .. }
            | Self::Unreachable { .. }
            | Self::Interrupted { .. }
            | Self::Timeout { .. }
            | Self::RateLimited { .. } => true,
            Self::Status { status, .. } => matches!(status, 408 | 500 | 502 | 503 | 504),
            Self::Tls { source, .. } => was_hung_up(source),
            Self::Reference(_)
            | Self::NotAllowed { .. }
            | Self::AddressRefused { .. }
            | Self::EgressDenied { .. }
            | Self::Certificates { .. }
            | Self::NotFound { .. }
            | Self::Unauthorized { .. }
            | Self::Denied { .. }
            | Self::Redirect { .. }
            | Self::UnsafeRealm { .. }
            | Self::BadAnswer { .. }
            | Self::TooLarge { .. }
            | Self::SizeDiffers { .. }
            | Self::DigestDiffers { .. }
            | Self::Manifest { .. }
            | Self::DockerConfig(_) => false,
        }
    }

    /// How long the registry wants to be left alone, if it has said so.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after, .. } | Self::Status { retry_after, .. } => {
                *retry_after
            }
            _ => None,
        }
    }

    /// What to do about it, if we know.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Reference(invalid) => Some(invalid.why.hint()),
            Self::NotAllowed { .. } => {
                Some("ask the operator to add the registry to the list of allowed registries")
            }
            Self::AddressRefused { .. } => Some(
                "a registry on a private address has to be named in the operator's list of allowed \
                 registries, with its port",
            ),
            Self::EgressDenied { .. } => Some("let the machine's `egress` allow the receiver"),
            Self::Resolve { .. } => Some("check the name of the registry and the host's DNS"),
            Self::Tls { .. } => Some(
                "add the registry's CA as `/etc/docker/certs.d/<host>:<port>/ca.crt`, or name the \
                 registry as insecure (`--insecure-registry`)",
            ),
            Self::NotFound { .. } => Some("check the repository and the tag"),
            Self::Unauthorized { who: ANYBODY, .. } => {
                Some("log in with `docker login`, or send credentials; private images need them")
            }
            Self::Unauthorized { .. } => Some(
                "check the credentials, and that the repository exists: registries do not tell",
            ),
            Self::RateLimited { .. } => Some("wait, or log in: registries allow known users more"),
            Self::UnsafeRealm { .. } => Some("a token server has to be reached by `https`"),
            Self::Manifest { source, .. } => manifest_hint(source),
            Self::DockerConfig(BadDockerConfig::Helper { .. }) => Some(
                "credential helpers are not supported: log in without `credsStore` and \
                 `credHelpers` in `config.json`, or send the credentials with the request",
            ),
            Self::DockerConfig(_) => Some("log in again with `docker login`"),
            Self::DigestDiffers { .. } | Self::SizeDiffers { .. } => {
                Some("the registry, or something on the way to it, changes what it sends")
            }
            Self::Unreachable { .. }
            | Self::Certificates { .. }
            | Self::Interrupted { .. }
            | Self::Timeout { .. }
            | Self::Denied { .. }
            | Self::Status { .. }
            | Self::Redirect { .. }
            | Self::BadAnswer { .. }
            | Self::TooLarge { .. } => None,
        }
    }
}

/// Said of those who have shown no credentials.
pub(crate) const ANYBODY: &str = "anybody";
/// Said of those who have.
pub(crate) const THESE_CREDENTIALS: &str = "these credentials";

fn manifest_hint(bad: &BadManifest) -> Option<&'static str> {
    match bad {
        BadManifest::Schema1 => Some(
            "this form was given up in 2020: push the image again with a current tool, such as \
             `skopeo copy --format oci`",
        ),
        BadManifest::ForeignLayer { .. } => {
            Some("images with foreign layers, such as those of Windows, are not supported")
        }
        BadManifest::MediaType { .. } => {
            Some("only images can be run; charts, signatures and other artifacts cannot")
        }
        BadManifest::NoVariant { .. } => Some("build the image for this host's platform"),
        BadManifest::Digest { .. } => Some("only SHA-256 digests are supported"),
        BadManifest::Form(_) | BadManifest::Ambiguous(_) | BadManifest::TooMany { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::docker_config::DockerConfig;

    #[test]
    fn a_credential_helper_is_refused_with_a_way_around_it() {
        let config =
            DockerConfig::parse(br#"{"credHelpers": {"r.io": "gcloud"}}"#).expect("parsed");
        let reference = "r.io/a".parse().expect("a reference");
        let bad = config.credentials_for(&reference).expect_err("refused");
        assert!(bad.to_string().contains("docker-credential-gcloud"), "{bad}");
        let error = RegistryError::from(bad);
        assert_eq!((error.fault(), error.is_retryable()), (Fault::Caller, false));
        assert!(error.hint().is_some_and(|hint| hint.contains("credHelpers")));
    }

    #[test]
    fn whoever_has_shown_nothing_is_told_to_log_in() {
        let unauthorized = |who| RegistryError::Unauthorized {
            host: "r.io".to_owned(),
            repository: "a".to_owned(),
            who,
            said_text: String::new(),
        };
        let hint = |who| unauthorized(who).hint().expect("a hint");
        assert!(hint(ANYBODY).contains("log in"));
        assert!(hint(THESE_CREDENTIALS).contains("check the credentials"));
        assert_eq!(
            unauthorized(ANYBODY).to_string(),
            "registry `r.io` does not let anybody pull `a`"
        );
    }
}
