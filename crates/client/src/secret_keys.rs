//! Keys that work for apps without ever leaving.

use crate::path::{self, encoded};
use crate::{Client, ClientError};
use api::contract::secret_keys::{
    SecretKeyCiphertext, SecretKeyList, SecretKeyPlaintext, SecretKeySet, SecretKeySignature,
    SetSecretKey, UseSecretKey,
};
use api::contract::secrets::SecretsVersion;

impl Client {
    /// The keys of an app.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn secret_keys(&self, app: &str) -> Result<SecretKeyList, ClientError> {
        self.get(&path::app(app, "/secretkeys")).await
    }

    /// Sets a key, or has one drawn when `wish` brings none.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn set_secret_key(
        &self,
        app: &str,
        name: &str,
        wish: &SetSecretKey,
    ) -> Result<SecretKeySet, ClientError> {
        let verb = if wish.value.is_some() { "" } else { "/generate" };
        self.post(&key(app, name, verb), wish).await
    }

    /// Removes a key.
    ///
    /// # Errors
    /// [`ClientError`]; code `not_found`.
    pub async fn remove_secret_key(
        &self,
        app: &str,
        name: &str,
    ) -> Result<SecretsVersion, ClientError> {
        self.delete(&key(app, name, "")).await
    }

    /// Signs what `what` has as its plain text.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn sign_with_secret_key(
        &self,
        app: &str,
        name: &str,
        what: &UseSecretKey,
    ) -> Result<SecretKeySignature, ClientError> {
        self.post(&key(app, name, "/sign"), what).await
    }

    /// Encrypts what `what` has as its plain text.
    ///
    /// # Errors
    /// [`ClientError`]; code `wrong_key_type`.
    pub async fn encrypt_with_secret_key(
        &self,
        app: &str,
        name: &str,
        what: &UseSecretKey,
    ) -> Result<SecretKeyCiphertext, ClientError> {
        self.post(&key(app, name, "/encrypt"), what).await
    }

    /// Decrypts what `what` has as its ciphertext.
    ///
    /// # Errors
    /// [`ClientError`]; code `wrong_ciphertext`.
    pub async fn decrypt_with_secret_key(
        &self,
        app: &str,
        name: &str,
        what: &UseSecretKey,
    ) -> Result<SecretKeyPlaintext, ClientError> {
        self.post(&key(app, name, "/decrypt"), what).await
    }

    /// Holds the signature in `what` against its plain text.
    ///
    /// # Errors
    /// [`ClientError`]: also when it is not right.
    pub async fn verify_with_secret_key(
        &self,
        app: &str,
        name: &str,
        what: &UseSecretKey,
    ) -> Result<(), ClientError> {
        self.post(&key(app, name, "/verify"), what).await
    }
}

fn key(app: &str, name: &str, verb: &str) -> String {
    path::app(app, &format!("/secretkeys/{}{verb}", encoded(name)))
}
