//! The host: images, tokens, doctor, use.

use crate::path::{self, encoded};
use crate::{Client, ClientError};
use api::contract::{
    CreateToken, Doctor, ImageInfo, ImportImage, Ok as Done, TokenCreated, TokenInfo, Usage,
};

impl Client {
    /// Whether the daemon answers.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn health(&self) -> Result<(), ClientError> {
        self.get::<Done>("/healthz").await.map(|_| ())
    }

    /// What works on this host and what does not.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn doctor(&self) -> Result<Doctor, ClientError> {
        self.get("/v1/doctor").await
    }

    /// Makes an image from a file of the daemon's host.
    ///
    /// # Errors
    /// [`ClientError`]; codes `invalid_image`, `disk_full`.
    pub async fn import_image(&self, path: &str, name: &str) -> Result<ImageInfo, ClientError> {
        let wish = ImportImage { path: path.to_owned(), name: name.to_owned() };
        self.post("/v1/images/import", &wish).await
    }

    /// Images of the host.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn images(&self) -> Result<Vec<ImageInfo>, ClientError> {
        self.get("/v1/images").await
    }

    /// Removes an image that no machine needs.
    ///
    /// # Errors
    /// [`ClientError`]; codes `in_use`, `image_not_found`.
    pub async fn remove_image(&self, digest: &str) -> Result<(), ClientError> {
        self.delete::<Done>(&format!("/v1/images/{}", encoded(digest))).await.map(|_| ())
    }

    /// Makes a token; its secret is in this answer only.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn create_token(&self, wish: &CreateToken) -> Result<TokenCreated, ClientError> {
        self.post("/v1/tokens", wish).await
    }

    /// Tokens of the host, without secrets.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn tokens(&self) -> Result<Vec<TokenInfo>, ClientError> {
        self.get("/v1/tokens").await
    }

    /// Withdraws a token.
    ///
    /// # Errors
    /// [`ClientError`]; code `not_found`.
    pub async fn revoke_token(&self, id: &str) -> Result<(), ClientError> {
        self.delete::<Done>(&format!("/v1/tokens/{}", encoded(id))).await.map(|_| ())
    }

    /// Metered use of the host, an app or a machine of an app.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn usage(
        &self,
        app: Option<&str>,
        machine: Option<&str>,
    ) -> Result<Usage, ClientError> {
        match (app, machine) {
            (Some(app), Some(id)) => self.get(&path::machine(app, id, "/usage")).await,
            (Some(app), None) => self.get(&format!("/v1/usage?app={}", encoded(app))).await,
            (None, _) => self.get("/v1/usage").await,
        }
    }
}
