//! What an operator decides about registries.

use crate::address::AddressPolicy;
use crate::allow::AllowList;
use crate::dial::{HostResolver, Resolve};
use crate::reference;
use crate::trust::Trust;
use crate::url::Origin;
use std::sync::Arc;
use std::time::Duration;

/// Settings of a [`crate::Registry`].
#[derive(Clone, Debug)]
pub struct RegistryConfig {
    /// Registries that may be used; the default is all.
    pub allowed: AllowList,
    /// Registries whose certificate is not checked, and that may be spoken to without TLS when they
    /// have none, which loopback always may. `*` names nobody.
    pub insecure: AllowList,
    /// Where connections may go; the default is anywhere.
    pub addresses: AddressPolicy,
    /// Whose certificates count.
    pub trust: Trust,
    /// Who finds addresses; the default is the host's resolver.
    pub resolver: Arc<dyn Resolve>,
    /// How long is waited.
    pub timeouts: Timeouts,
    /// Largest image, all blobs together as they are sent, in bytes; the default is 64 GiB.
    pub image_bytes_max: u64,
}

/// How long is waited for each step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection to one address.
    pub connect: Duration,
    /// For TLS on it.
    pub handshake: Duration,
    /// From the request to the head of the answer.
    pub answer: Duration,
    /// For the whole of a manifest, config or token.
    pub document: Duration,
    /// For the next bytes of a blob.
    pub stall: Duration,
    /// Before the second try of anything; doubles with each further one.
    pub first_retry: Duration,
}

impl Default for Timeouts {
    /// 250 ms before the second try, for a hiccup; 5 s to connect, since several addresses may have to be tried; 10 s for TLS; 30 s for an
    /// answer and between bytes, as registries that build an answer first do take ten; a minute for
    /// a document, which is one answer and at most 4 MiB.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            handshake: Duration::from_secs(10),
            answer: Duration::from_secs(30),
            document: Duration::from_secs(60),
            stall: Duration::from_secs(30),
            first_retry: Duration::from_millis(250),
        }
    }
}

/// Eight times the default disk, as for imported images.
const IMAGE_BYTES_MAX: u64 = 64 << 30;

impl RegistryConfig {
    /// The settings for what the operator asks for: every registry, anywhere.
    #[must_use]
    pub fn new(trust: Trust) -> Self {
        Self {
            allowed: AllowList::everything(),
            insecure: AllowList::default(),
            addresses: AddressPolicy::Anywhere,
            trust,
            resolver: Arc::new(HostResolver),
            timeouts: Timeouts::default(),
            image_bytes_max: IMAGE_BYTES_MAX,
        }
    }

    /// Whether this server may be spoken to without TLS.
    pub(crate) fn may_be_plain(&self, origin: &Origin) -> bool {
        reference::is_loopback(&origin.host)
            || self.insecure.names_server(&origin.host, origin.port)
            || (!origin.is_tls
                && origin.port == 80
                && self.insecure.names_server(&origin.host, 443))
    }
}
