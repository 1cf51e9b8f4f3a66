//! The client of all registries.

use crate::authorizer::Authorizer;
use crate::config::RegistryConfig;
use crate::credentials::Credentials;
use crate::dial::Dialer;
use crate::error::RegistryError;
use crate::http::Http;
use crate::reference::Reference;
use crate::repository::Repository;
use crate::token::Tokens;
use std::sync::Arc;

/// Registries, as they are reached through one dialer under one operator's settings.
///
/// Holds idle connections and tokens for a while; clones share them.
#[derive(Clone, Debug)]
pub struct Registry {
    http: Arc<Http>,
    tokens: Arc<Tokens>,
}

impl Registry {
    /// A client that connects through `dialer`. Needs a runtime only when it is used.
    #[must_use]
    pub fn new(config: RegistryConfig, dialer: Arc<dyn Dialer>) -> Self {
        Self { http: Arc::new(Http::new(config, dialer)), tokens: Arc::default() }
    }

    /// The image of `reference`, as it is seen with `credentials`. Asks nobody yet.
    ///
    /// # Errors
    /// [`RegistryError::NotAllowed`]
    pub fn repository(
        &self,
        reference: &Reference,
        credentials: Credentials,
    ) -> Result<Repository, RegistryError> {
        let registry = reference.registry();
        if !self.http.config().allowed.allows(reference) {
            return Err(RegistryError::NotAllowed {
                registry: registry.to_string(),
                repository: reference.repository().to_owned(),
            });
        }
        let tokens = Arc::clone(&self.tokens);
        let authorizer =
            Authorizer::new(tokens, registry.as_str(), reference.repository(), credentials);
        Ok(Repository::new(Arc::clone(&self.http), authorizer, reference.clone()))
    }
}
