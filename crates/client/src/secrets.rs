//! Secrets of apps.

use crate::path;
use crate::{Client, ClientError};
use api::contract::secrets::{AppSecretList, AppSecretsSet, SetAppSecrets};

impl Client {
    /// The secrets of an app, with their values if `shows_values`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn secrets(
        &self,
        app: &str,
        shows_values: bool,
    ) -> Result<AppSecretList, ClientError> {
        let query = if shows_values { "?show_secrets=true" } else { "" };
        self.get(&path::app(app, &format!("/secrets{query}"))).await
    }

    /// Sets secrets of an app; `None` removes one.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn set_secrets(
        &self,
        app: &str,
        wish: &SetAppSecrets,
    ) -> Result<AppSecretsSet, ClientError> {
        self.post(&path::app(app, "/secrets"), wish).await
    }
}
