//! How do bytes come from a registry?
//!
//! Resolves references to images and streams their blobs, each verified by its digest, to whoever
//! asks. Knows nothing of files, stores or unpacking: what is kept, shared and shown is decided by
//! the caller.
//!
//! ```text
//!   Reference ─► Registry ─► Repository ─► resolve ─► Resolved { manifest, config, layers }
//!   (parsed)     allow list  credentials └► blob ───► BlobStream: bytes, resumed and verified
//!                                │
//!                 Http: redirects, bounds, time-outs     Authorizer: challenges, tokens
//!                                │
//!                 Connector: resolve ─► AddressPolicy ─► Dialer (host or a namespace) ─► TLS
//! ```
//!
//! * [`mod@reference`]: what a user writes, by Docker's rules; [`allow`]: what an operator permits.
//! * [`manifest`], [`platform`]: the documents, and which of several images is for this host.
//! * [`credentials`], [`docker_config`], [`challenge`]: who asks, and how a registry wants to know.
//! * [`address`], [`dial`], [`trust`]: where connections go, from where, and whom they believe.
//! * [`config`], [`client`], [`repository`], [`blob`]: the client itself.
//! * [`courier`]: the same way out for what machines have to tell others.
//!
//! Everything from the network is hostile until verified: each document has a bound, each wait a
//! time-out, each redirect is checked like the first address, and no secret follows one elsewhere.
//! All futures are `Send` and may be dropped at any await point: nothing is left behind but, for a
//! while, an idle connection.
//!
//! Sources: OCI distribution specification 1.1; OCI image specification 1.1; Docker Registry v2
//! token authentication; RFC 9110 for HTTP.

pub mod address;
pub mod allow;
mod authorizer;
pub mod blob;
pub mod challenge;
pub mod client;
pub mod config;
mod connector;
pub mod courier;
pub mod credentials;
pub mod dial;
pub mod docker_config;
pub mod error;
mod http;
pub mod manifest;
pub mod platform;
pub mod reference;
pub mod repository;
mod retry;
mod token;
pub mod trust;
mod url;

pub use address::AddressPolicy;
pub use allow::AllowList;
pub use blob::{BlobStream, Verifier};
pub use client::Registry;
pub use config::{RegistryConfig, Timeouts};
pub use courier::{Courier, Destination, Undelivered};
pub use credentials::{Credentials, Secret};
pub use dial::{Dialer, HostDialer, NamespaceDialer};
pub use docker_config::DockerConfig;
pub use error::{Fault, RegistryError};
pub use manifest::{Compression, Descriptor, Layer};
pub use platform::Platform;
pub use reference::{Reference, RegistryName};
pub use repository::{Repository, Resolved};
pub use trust::Trust;
