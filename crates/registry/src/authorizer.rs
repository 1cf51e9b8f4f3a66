//! Answers the challenges of one registry for one repository and one caller.

use crate::challenge::Challenge;
use crate::credentials::{Authorization, Credentials};
use crate::error::{ANYBODY, RegistryError, THESE_CREDENTIALS};
use crate::http::Http;
use crate::token::{self, Granted, TokenKey, Tokens, Wanted};
use crate::url::Origin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// How long it is remembered that a registry wants `Basic`: for the next pulls of a deployment.
const BASIC_LIFE: Duration = Duration::from_secs(300);

/// Knows what to show.
#[derive(Debug)]
pub(crate) struct Authorizer {
    tokens: Arc<Tokens>,
    key: TokenKey,
    credentials: Credentials,
    /// Held while a token is asked for: many blobs at once need one token.
    asking: Mutex<()>,
}

impl Authorizer {
    pub(crate) fn new(
        tokens: Arc<Tokens>,
        registry: &str,
        repository: &str,
        credentials: Credentials,
    ) -> Self {
        let key = TokenKey {
            registry: registry.to_owned(),
            repository: repository.to_owned(),
            credentials: credentials.fingerprint(),
        };
        Self { tokens, key, credentials, asking: Mutex::new(()) }
    }

    pub(crate) fn has_credentials(&self) -> bool {
        self.credentials != Credentials::Anonymous
    }

    /// What to show without being asked.
    pub(crate) fn current(&self) -> Option<Authorization> {
        match &self.credentials {
            Credentials::Bearer { token } => Authorization::bearer(token),
            Credentials::Anonymous
            | Credentials::Password { .. }
            | Credentials::Identity { .. } => self.tokens.get(&self.key, Instant::now()),
        }
    }

    /// What to show after `challenges` of the server at `registry`, which has just refused
    /// `refused`.
    pub(crate) async fn answer(
        &self,
        http: &Http,
        registry: &Origin,
        challenges: &[Challenge],
        refused: Option<&Authorization>,
    ) -> Result<Authorization, RegistryError> {
        let _asking = self.asking.lock().await;
        if let Some(current) = self.current()
            && Some(&current) != refused
        {
            return Ok(current);
        }
        let granted = self.ask(http, registry, challenges).await?;
        let authorization = granted.authorization.clone();
        self.tokens.put(self.key.clone(), granted, Instant::now());
        Ok(authorization)
    }

    async fn ask(
        &self,
        http: &Http,
        registry: &Origin,
        challenges: &[Challenge],
    ) -> Result<Granted, RegistryError> {
        let is_fixed = matches!(self.credentials, Credentials::Bearer { .. });
        let bearer = challenges.iter().find(|c| matches!(c, Challenge::Bearer { .. }));
        if let Some(Challenge::Bearer { realm, service, scope }) = bearer.filter(|_| !is_fixed) {
            let wanted = Wanted {
                realm,
                service: service.as_deref(),
                scope: scope.as_deref(),
                registry,
                repository: &self.key.repository,
                credentials: &self.credentials,
            };
            return token::ask(http, &wanted).await;
        }
        let basic = match &self.credentials {
            Credentials::Password { username, password }
                if challenges.contains(&Challenge::Basic) =>
            {
                Authorization::basic(username, password)
            }
            _ => None,
        };
        let granted = basic.map(|authorization| Granted { authorization, life: BASIC_LIFE });
        granted.ok_or_else(|| self.unauthorized(registry))
    }

    fn unauthorized(&self, registry: &Origin) -> RegistryError {
        RegistryError::Unauthorized {
            host: registry.to_string(),
            repository: self.key.repository.clone(),
            who: if self.has_credentials() { THESE_CREDENTIALS } else { ANYBODY },
            said_text: String::new(),
        }
    }
}
