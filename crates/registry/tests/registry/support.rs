//! What the tests share.

use registry::{
    BlobStream, Credentials, Descriptor, HostDialer, Platform, Reference, Registry, RegistryConfig,
    RegistryError, Repository, Resolved, Secret, Trust, Verifier,
};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Settings that trust nobody beyond the host's store, and try again soon.
pub(crate) fn config() -> RegistryConfig {
    config_with(Trust::of_host(&[], None).expect("the host's store"))
}

/// Settings that trust the authority in `file`, too.
pub(crate) fn trusting(file: &Path) -> RegistryConfig {
    config_with(Trust::of_host(&[file.to_owned()], None).expect("a certificate"))
}

pub(crate) fn config_with(trust: Trust) -> RegistryConfig {
    let mut config = RegistryConfig::new(trust);
    config.timeouts.first_retry = Duration::from_millis(20);
    config
}

pub(crate) fn client(config: RegistryConfig) -> Registry {
    Registry::new(config, Arc::new(HostDialer))
}

pub(crate) fn reference(text: &str) -> Reference {
    text.parse().expect("a reference")
}

/// The image `text`, asked for by nobody in particular.
pub(crate) fn anonymous(config: RegistryConfig, text: &str) -> Repository {
    with(config, text, Credentials::Anonymous)
}

pub(crate) fn with(config: RegistryConfig, text: &str, credentials: Credentials) -> Repository {
    client(config).repository(&reference(text), credentials).expect("allowed")
}

pub(crate) fn password(username: &str, password: &str) -> Credentials {
    Credentials::Password { username: username.to_owned(), password: Secret::new(password) }
}

pub(crate) async fn resolve(repository: &Repository) -> Result<Resolved, RegistryError> {
    repository.resolve(&Platform::host()).await
}

/// All bytes of a blob.
pub(crate) async fn read(
    repository: &Repository,
    blob: &Descriptor,
) -> Result<Vec<u8>, RegistryError> {
    read_on(repository.blob(Verifier::new(blob))).await
}

pub(crate) async fn read_on(mut stream: BlobStream) -> Result<Vec<u8>, RegistryError> {
    let mut all = Vec::new();
    while let Some(bytes) = stream.next().await? {
        all.extend_from_slice(&bytes);
    }
    Ok(all)
}
