//! Hooks of an app, and the secret that signs what it sends.

use crate::path::{self, encoded};
use crate::{Client, ClientError};
use api::contract::Ok as Done;
use api::contract::hooks::{Hook, PutHook, RotateHook, RotateSigningSecret, SigningSecret};
use api::contract::selfhood::Outbox;
use hyper::Method;

impl Client {
    /// Makes a hook, in place of the one of this name. A secret that was drawn is in the answer, and
    /// nowhere else.
    ///
    /// # Errors
    /// [`ClientError`]; codes `machine_not_found`, `invalid_hook_…`, `too_many_hooks`.
    pub async fn put_hook(
        &self,
        app: &str,
        name: &str,
        wish: &PutHook,
    ) -> Result<Hook, ClientError> {
        self.call(Method::PUT, &of_hook(app, name), wish).await
    }

    /// The hooks of an app.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn hooks(&self, app: &str) -> Result<Vec<Hook>, ClientError> {
        self.get(&path::app(app, "/hooks")).await
    }

    /// One hook.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn hook(&self, app: &str, name: &str) -> Result<Hook, ClientError> {
        self.get(&of_hook(app, name)).await
    }

    /// Removes a hook.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn remove_hook(&self, app: &str, name: &str) -> Result<(), ClientError> {
        self.delete::<Done>(&of_hook(app, name)).await.map(|_| ())
    }

    /// Gives a hook another secret. One that was drawn is in the answer, and nowhere else.
    ///
    /// # Errors
    /// [`ClientError`]; codes `not_found`, `no_hook_secret`, `invalid_overlap`,
    /// `too_many_secrets`.
    pub async fn rotate_hook(
        &self,
        app: &str,
        name: &str,
        wish: &RotateHook,
    ) -> Result<Hook, ClientError> {
        self.call(Method::POST, &format!("{}/rotate", of_hook(app, name)), wish).await
    }

    /// Gives an app another signing secret.
    ///
    /// # Errors
    /// [`ClientError`]; codes `invalid_overlap`, `too_many_secrets`.
    pub async fn rotate_signing_secret(
        &self,
        app: &str,
        wish: &RotateSigningSecret,
    ) -> Result<SigningSecret, ClientError> {
        self.call(Method::POST, &path::app(app, "/signing-secret/rotate"), wish).await
    }

    /// What notifications of an app are signed with.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn signing_secret(&self, app: &str) -> Result<SigningSecret, ClientError> {
        self.get(&path::app(app, "/signing-secret")).await
    }

    /// Notifications of a machine that wait to be delivered.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn outbox(&self, app: &str, id: &str) -> Result<Outbox, ClientError> {
        self.get(&path::selfhood(app, id, "/outbox")).await
    }
}

fn of_hook(app: &str, name: &str) -> String {
    path::app(app, &format!("/hooks/{}", encoded(name)))
}
