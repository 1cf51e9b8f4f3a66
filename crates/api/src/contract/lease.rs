//! Leases: an exclusive write lock on one machine with a time limit.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Header that proves a lease.
pub const NONCE_HEADER: &str = "fly-machine-lease-nonce";

/// Lease time in seconds when the caller names none. Source: the client in use takes 120 s leases.
pub const TTL_DEFAULT_S: u64 = 120;

/// Longest lease in seconds: a lost holder blocks a machine for an hour at most.
pub const TTL_MAX_S: u64 = 3_600;

/// Body of `POST …/lease`; the query `?ttl=` says the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LeaseRequest {
    /// How long, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u64>,
    /// Free text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// A lease.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Lease {
    /// Proof of ownership; only shown to its holder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
    /// When it ends, in Unix seconds.
    pub expires_at: u64,
    /// Who holds it.
    pub owner: String,
    /// Free text.
    pub description: String,
    /// Version of the machine when it was taken.
    pub version: String,
}

/// The envelope of the docs (`status`, `data`) with the flat fields of the schema beside it: there
/// are clients for both.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LeaseReply {
    /// `success`.
    pub status: String,
    /// The lease.
    pub data: Lease,
    /// The lease again.
    #[serde(flatten)]
    pub flat: Lease,
}

impl From<Lease> for LeaseReply {
    fn from(lease: Lease) -> Self {
        Self { status: "success".to_owned(), data: lease.clone(), flat: lease }
    }
}
