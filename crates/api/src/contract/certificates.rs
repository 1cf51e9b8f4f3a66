//! Host names of an app and their certificates.
//!
//! Names and shapes are those of the Machines API (machines-api, 1.11). `fly` as a source is the
//! host's own authority here; `acme_…` and `ownership_…` are never true, because nobody outside is
//! asked.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Body of `POST /v1/apps/{app}/certificates/acme`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CreateAcmeCertificate {
    /// The host name.
    #[serde(default)]
    pub hostname: String,
}

/// Body of `POST /v1/apps/{app}/certificates/custom`.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CreateCustomCertificate {
    /// The host name.
    #[serde(default)]
    pub hostname: String,
    /// Certificates as PEM, that of the host name first.
    #[serde(default)]
    pub fullchain: String,
    /// Its private key as PEM.
    #[serde(default)]
    pub private_key: String,
    /// It takes the place of the one that is there; ours.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replace: bool,
}

impl fmt::Debug for CreateCustomCertificate {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("CreateCustomCertificate");
        shown.field("hostname", &self.hostname).field("replace", &self.replace);
        shown.finish_non_exhaustive()
    }
}

/// Answer to `GET /v1/apps/{app}/certificates`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CertificateList {
    /// The host names of this page, by name.
    pub certificates: Vec<CertificateSummary>,
    /// Asks for the next page; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
    /// How many there are in all pages.
    pub total_count: u64,
}

/// A host name in a list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CertificateSummary {
    /// The host name.
    pub hostname: String,
    /// `Ready`, `Expired`, or `Awaiting certificates` when there is none.
    pub status: String,
    /// It has a certificate that is valid now.
    pub configured: bool,
    /// A certificate of the host's own authority was asked for.
    pub acme_requested: bool,
    /// It has one that its owner brought.
    pub has_custom_certificate: bool,
    /// It has one of the host's own authority.
    pub has_fly_certificate: bool,
    /// False.
    pub acme_alpn_configured: bool,
    /// False.
    pub acme_dns_configured: bool,
    /// False.
    pub acme_http_configured: bool,
    /// False.
    pub ownership_txt_configured: bool,
    /// When it was added, RFC 3339.
    pub created_at: String,
    /// When something of it changed.
    pub updated_at: String,
}

/// A host name with its certificates.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CertificateDetail {
    /// The host name.
    pub hostname: String,
    /// `active`, `expired`, or `no_certificate`.
    pub status: String,
    /// It has a certificate that is valid now.
    pub configured: bool,
    /// A certificate of the host's own authority was asked for.
    pub acme_requested: bool,
    /// Its certificates; the first one is served.
    #[serde(default)]
    pub certificates: Vec<CertificateEntry>,
    /// Empty: where the name must lead depends on how visitors reach this host.
    #[serde(default)]
    pub dns_requirements: DnsRequirements,
    /// What the last check has found.
    #[serde(default)]
    pub validation: CertificateValidation,
    /// What visitors may stumble over.
    #[serde(default)]
    pub validation_errors: Vec<CertificateValidationError>,
    /// What the check has found; in the answer to a check only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns_records: Option<DnsRecords>,
    /// What follows from a removal; in the answer to one only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
}

/// A certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CertificateEntry {
    /// `custom`, or `fly` for one of the host's own authority.
    pub source: String,
    /// `active`, or `pending_validation` when its time is over.
    pub status: String,
    /// Who signed it.
    pub issuer: String,
    /// When it was stored, RFC 3339.
    pub created_at: String,
    /// When its time is over.
    pub expires_at: String,
    /// The certificate once more, as this API lists them.
    pub issued: Vec<IssuedCertificate>,
}

/// A certificate by its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IssuedCertificate {
    /// `rsa` or `ecdsa`; ours: `ed25519`.
    #[serde(rename = "type")]
    pub kind: String,
    /// When its time is over, RFC 3339.
    pub expires_at: String,
    /// Who signed it.
    pub certificate_authority: String,
}

/// What the DNS should say: nothing that this host knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DnsRequirements {
    /// IPv4 addresses.
    #[serde(default)]
    pub a: Vec<String>,
    /// IPv6 addresses.
    #[serde(default)]
    pub aaaa: Vec<String>,
}

/// What the DNS was found to say at the last check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CertificateValidation {
    /// The name leads to an address of this host; false before the first check.
    pub dns_configured: bool,
    /// False.
    pub alpn_configured: bool,
    /// False.
    pub http_configured: bool,
    /// False.
    pub ownership_txt_configured: bool,
}

/// Something that visitors may stumble over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CertificateValidationError {
    /// Stable word.
    pub code: String,
    /// A sentence.
    pub message: String,
    /// What to do about it.
    pub remediation: String,
    /// When it was seen, RFC 3339.
    pub timestamp: String,
}

/// What the DNS says, as this host's own resolver finds it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DnsRecords {
    /// IPv4 addresses.
    #[serde(default)]
    pub a: Vec<String>,
    /// IPv6 addresses.
    #[serde(default)]
    pub aaaa: Vec<String>,
    /// All addresses, the preferred first.
    #[serde(default)]
    pub resolved_addresses: Vec<String>,
}

/// Answer to `GET /v1/certificates/authority`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Authority {
    /// The certificate of the host's own authority, as PEM: who trusts it trusts what it signed.
    pub certificate: String,
}
